// Small datasets made on the spot.
#pragma once
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/hash.h"
#include "core/base/vfs.h"
#include "core/data/indexed_dataset.h"
#include "core/data/manifest.h"
#include "tests/support/temp_dir.h"

namespace tera::data::test {

using tera::test::TempDir;

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_all(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::filesystem::path source_dir() {
  const char* dir = std::getenv("TERA_SOURCE_DIR");
  return dir != nullptr ? dir : ".";
}

// Writes documents of the given lengths, ids counted up modulo vocab, with a manifest whose valid
// split is the last num_valid documents. Returns the manifest.
inline Manifest make_dataset(const std::filesystem::path& prefix,
                             const std::vector<int>& lengths,
                             int num_valid,
                             std::int64_t vocab = 1000) {
  auto writer =
      IndexedDatasetWriter::create(posix_vfs(), prefix, token_type_for_vocab(vocab)).value();
  std::int64_t next = 0;
  for (const int length : lengths) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i + 1 < length; ++i) {
      tokens.push_back(static_cast<std::int32_t>(1 + next++ % (vocab - 1)));
    }
    if (length > 0) tokens.push_back(0);
    EXPECT_TRUE(writer->add_sequence(tokens));
    writer->end_document();
  }
  const auto files = writer->finish().value();
  EXPECT_TRUE(writer->publish());
  Manifest manifest;
  manifest.name = prefix.filename().string();
  manifest.created = "2026-01-01T00:00:00Z";
  manifest.tool_version = "test";
  manifest.tokenizer.sha256 = std::string(64, 'a');
  manifest.tokenizer.vocab = vocab;
  manifest.tokenizer.eod_id = 0;
  manifest.documents = manifest.sequences = writer->num_sequences();
  manifest.tokens = writer->num_tokens();
  manifest.files = {files.bin, files.idx};
  const auto count = static_cast<std::int64_t>(lengths.size());
  manifest.splits = {SequenceRange{0, count - num_valid}, SequenceRange{count - num_valid, count},
                     SequenceRange{count, count}};
  EXPECT_TRUE(write_file_atomic(posix_vfs(), with_suffix(prefix, ".tgd.json"), manifest.to_json()));
  return manifest;
}

}  // namespace tera::data::test
