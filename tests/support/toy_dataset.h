// Token files for tests: documents of a small language that a model can learn in a few steps.
#pragma once
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/base/rng.h"
#include "core/base/vfs.h"
#include "core/data/indexed_dataset.h"
#include "core/data/manifest.h"

namespace tera::test {

struct ToyDataset {
  int vocab_size = 64;
  int num_documents = 60;
  int tokens_per_document = 200;
  std::uint64_t seed = 1;
};

// Writes PREFIX.bin, .idx and .tgd.json; the last tenth of the documents is the valid split. Each
// token is mostly its predecessor plus a step that belongs to the document; id 0 ends a document.
inline void write_toy_dataset(const std::filesystem::path& prefix, const ToyDataset& toy = {}) {
  const auto check = [](const auto& result) {
    if (!result) throw std::runtime_error(result.error().message);
  };
  auto writer = data::IndexedDatasetWriter::create(posix_vfs(), prefix,
                                                   data::token_type_for_vocab(toy.vocab_size));
  check(writer);
  const Philox rng(toy.seed, RngPurpose::test);
  for (int d = 0; d < toy.num_documents; ++d) {
    std::vector<std::int32_t> tokens;
    int at = 1 + d % (toy.vocab_size - 1);
    const int stride = 1 + d % 3;
    for (int i = 0; i + 1 < toy.tokens_per_document; ++i) {
      tokens.push_back(at);
      const std::uint32_t noise =
          rng.words(static_cast<std::uint64_t>(d), static_cast<std::uint64_t>(i))[0];
      at = noise % 10 == 0
               ? 1 + static_cast<int>(noise / 10 % static_cast<std::uint32_t>(toy.vocab_size - 1))
               : 1 + (at - 1 + stride) % (toy.vocab_size - 1);
    }
    tokens.push_back(0);
    check((*writer)->add_sequence(tokens));
    (*writer)->end_document();
  }
  const std::int64_t sequences = (*writer)->num_sequences();
  data::Manifest manifest;
  manifest.name = prefix.filename().string();
  manifest.created = data::now_rfc3339();
  manifest.tool_version = "test";
  manifest.tokenizer.sha256 = std::string(64, '0');
  manifest.tokenizer.name = "toy";
  manifest.tokenizer.vocab = toy.vocab_size;
  manifest.tokenizer.eod_id = 0;
  manifest.documents = toy.num_documents;
  manifest.sequences = sequences;
  manifest.tokens = (*writer)->num_tokens();
  manifest.eod_tokens = toy.num_documents;
  const auto files = (*writer)->finish();
  check(files);
  manifest.files = {files->bin, files->idx};
  const std::int64_t train = sequences - sequences / 10;
  manifest.splits = {{{0, train}, {train, sequences}, {sequences, sequences}}};
  check((*writer)->publish());
  check(write_file_atomic(posix_vfs(), data::with_suffix(prefix, ".tgd.json"), manifest.to_json()));
}

}  // namespace tera::test
