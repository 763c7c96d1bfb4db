#include "core/data/tokenize.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/fault_vfs.h"
#include "core/data/document.h"
#include "core/data/provenance.h"
#include "core/data/tokenizer.h"
#include "core/data/tokenizer_file.h"
#include "tests/core/data/data_fixture.h"

namespace tera::data {
namespace {

using test::read_all;
using test::TempDir;
using test::write_all;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kDocuments = 500;

void write_bytes_tokenizer(const std::filesystem::path& path) {
  TokenizerFile file;
  file.added_tokens = {{0, "<|endoftext|>", true}};
  file.tokens = {"<|endoftext|>"};
  for (const std::uint8_t byte : bytes_by_code_point()) {
    file.tokens.emplace_back(1, static_cast<char>(byte));
  }
  write_all(path, write_tokenizer_file(file));
}

std::string text_of(int i) {
  return "text of document " + std::to_string(i);
}

TokenizeOptions inputs(const TempDir& dir) {
  std::string lines;
  for (int i = 0; i < kDocuments; ++i) {
    lines += format_document({"d" + std::to_string(i), 0, i, text_of(i)}) + "\n";
  }
  write_all(dir / "docs.jsonl", lines);
  write_bytes_tokenizer(dir / "tokenizer.json");
  TokenizeOptions options;
  options.documents = dir / "docs.jsonl";
  options.tokenizer = dir / "tokenizer.json";
  options.prefix = dir / "out";
  options.valid_share = 0.1;
  options.test_share = 0.05;
  return options;
}

TEST(Tokenize, WritesEveryDocumentOnceWithExplicitSplits) {
  const TempDir dir;
  ThreadPool pool(2);
  const Manifest manifest = tokenize(posix_vfs(), pool, inputs(dir)).value();
  const IndexedDataset dataset = IndexedDataset::open(dir / "out", &manifest).value();
  const auto records = read_provenance(dir / "out.prov").value();
  const Tokenizer tokenizer = Tokenizer::load(dir / "tokenizer.json").value();
  ASSERT_EQ(dataset.num_documents(), kDocuments);
  EXPECT_NEAR(static_cast<double>(manifest.splits[1].size()), 50, 25);  // 3.7 standard deviations
  EXPECT_NEAR(static_cast<double>(manifest.splits[2].size()), 25, 18);
  EXPECT_EQ(manifest.splits[0].last, manifest.splits[1].first);
  EXPECT_EQ(manifest.splits[2].last, kDocuments);
  std::vector<bool> seen(kDocuments, false);
  std::int64_t bytes = 0;
  for (std::int64_t d = 0; d < kDocuments; ++d) {
    const std::int64_t first = dataset.document_start(d);
    std::vector<std::int32_t> tokens(
        static_cast<std::size_t>(dataset.document_start(d + 1) - first));
    ASSERT_TRUE(dataset.read_tokens(first, tokens));
    EXPECT_EQ(tokens.back(), 0);  // the end-of-document token
    tokens.pop_back();
    const ProvenanceRecord& record = records[static_cast<std::size_t>(d)];
    EXPECT_EQ(tokenizer.decode(tokens).value(), text_of(static_cast<int>(record.ordinal)));
    EXPECT_EQ(record.text_xxh3, xxh3_64(text_of(static_cast<int>(record.ordinal))));
    const int split = d < manifest.splits[0].last ? 0 : d < manifest.splits[1].last ? 1 : 2;
    EXPECT_EQ(record.flags, static_cast<std::uint32_t>(split));
    EXPECT_FALSE(seen[record.ordinal]);
    seen[record.ordinal] = true;
    bytes += std::ssize(tokens);
  }
  EXPECT_EQ(manifest.utf8_bytes, bytes);
  EXPECT_EQ(manifest.tokens, bytes + kDocuments);
  EXPECT_EQ(manifest.tokenizer.sha256, tokenizer.sha256());
  EXPECT_EQ(Manifest::load(dir / "out.tgd.json").value().id(), manifest.id());
}

TEST(Tokenize, GivesTheSameBytesForAnyNumberOfThreads) {
  const TempDir dir;
  TokenizeOptions options = inputs(dir);
  std::vector<std::string> bins;
  std::vector<std::string> provs;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    options.prefix = dir / std::to_string(threads);
    ASSERT_TRUE(tokenize(posix_vfs(), pool, options));
    bins.push_back(read_all(with_suffix(options.prefix, ".bin")));
    provs.push_back(read_all(with_suffix(options.prefix, ".prov")));
  }
  EXPECT_EQ(bins[0], bins[1]);
  EXPECT_EQ(provs[0], provs[1]);
}

// A full disk at every operation of the way: an error, and no half-written file under any name.
TEST(Tokenize, LeavesNothingHalfWrittenWhereverTheDiskIsFull) {
  const TempDir dir;
  const TokenizeOptions options = inputs(dir);
  ThreadPool pool(1);
  const std::vector<std::string> inputs_only = dir.names();
  int faults = 0;
  for (std::int64_t at = 0;; ++at) {
    FaultVfs disk;
    disk.set_fault(FaultVfs::Fault::short_write, at, ENOSPC);
    const Result<Manifest> manifest = tokenize(disk, pool, options);
    if (!disk.fault_hit()) break;
    const FaultVfs::Kind kind = disk.operations()[static_cast<std::size_t>(at)].kind;
    if (!manifest) {
      ++faults;
      // Only renames come after the last byte is written; before them no name of the dataset is
      // there. What cannot be removed stays.
      using enum FaultVfs::Kind;
      if (kind != rename && kind != sync_dir && kind != remove_all) {
        EXPECT_EQ(dir.names(), inputs_only) << "operation " << at;
      }
    }
    for (const std::string& name : dir.names()) {
      EXPECT_TRUE(kind == FaultVfs::Kind::remove_all || !name.ends_with(".part")) << at;
      // What is there is whole; without a manifest it is no dataset.
      if (name == "out.tgd.json") {
        EXPECT_TRUE(Manifest::load(dir / name)) << at;
      }
      if (std::find(inputs_only.begin(), inputs_only.end(), name) == inputs_only.end())
        std::filesystem::remove(dir / name);
    }
  }
  EXPECT_GT(faults, 10);
}

// A folder that takes no files is told before gigabytes are read: here the documents are not even
// there.
TEST(Tokenize, LooksAtItsOutputFirst) {
  const TempDir dir;
  TokenizeOptions options = inputs(dir);
  ThreadPool pool(1);
  options.documents = dir / "missing.jsonl";
  for (const char* prefix : {"nowhere/out", "docs.jsonl/out"}) {
    options.prefix = dir / prefix;
    const Result<Manifest> manifest = tokenize(posix_vfs(), pool, options);
    ASSERT_FALSE(manifest);
    EXPECT_THAT(manifest.error().message, HasSubstr(prefix + std::string(".bin")));
    EXPECT_FALSE(manifest.error().hint.empty());
  }
  options.prefix = dir.path() / "";
  EXPECT_THAT(tokenize(posix_vfs(), pool, options).error().message,
              HasSubstr("expected the prefix"));
  EXPECT_THAT(dir.names(), ElementsAre("docs.jsonl", "tokenizer.json"));
}

TEST(Tokenize, StopsCleanlyAndRefusesToOverwrite) {
  const TempDir dir;
  TokenizeOptions options = inputs(dir);
  ThreadPool pool(1);
  options.on_progress = [](std::int64_t, std::int64_t) { return false; };
  EXPECT_FALSE(tokenize(posix_vfs(), pool, options));
  EXPECT_THAT(dir.names(), ElementsAre("docs.jsonl", "tokenizer.json"));
  options.on_progress = {};
  ASSERT_TRUE(tokenize(posix_vfs(), pool, options));
  const Result<Manifest> again = tokenize(posix_vfs(), pool, options);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("out.bin exists"));
  options.overwrite = true;
  EXPECT_TRUE(tokenize(posix_vfs(), pool, options));
}

TEST(Tokenize, NamesTheLineThatIsWrong) {
  const TempDir dir;
  TokenizeOptions options = inputs(dir);
  write_all(dir / "docs.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"b\"}\n");
  ThreadPool pool(1);
  const Result<Manifest> manifest = tokenize(posix_vfs(), pool, options);
  ASSERT_FALSE(manifest);
  EXPECT_THAT(manifest.error().message, HasSubstr("docs.jsonl:2: text: got nothing"));
  options.valid_share = 1.5;
  EXPECT_FALSE(tokenize(posix_vfs(), pool, options));
}

}  // namespace
}  // namespace tera::data
