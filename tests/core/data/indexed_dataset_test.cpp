#include "core/data/indexed_dataset.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/core/data/data_fixture.h"

namespace tera::data {
namespace {

using test::make_dataset;
using test::read_all;
using test::TempDir;
using test::write_all;

std::string unhex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

nlohmann::json golden() {
  return nlohmann::json::parse(
      read_all(test::source_dir() / "tests/golden/data/megatron_index.json"));
}

std::string error_of(const std::filesystem::path& prefix) {
  const Result<IndexedDataset> dataset = IndexedDataset::open(prefix);
  return dataset ? "" : dataset.error().message;
}

TEST(IndexedDataset, WritesTheIndexOfMegatronToTheByte) {
  const TempDir dir;
  auto writer = IndexedDatasetWriter::create(posix_vfs(), dir / "g", TokenType::u16).value();
  const std::vector<int> lengths = golden()["lengths"];
  const std::vector<std::int64_t> documents = golden()["document_indices"];
  for (std::size_t s = 0; s < lengths.size(); ++s) {
    const std::vector<std::int32_t> tokens(static_cast<std::size_t>(lengths[s]), 500);
    ASSERT_TRUE(writer->add_sequence(tokens));
    if (std::find(documents.begin(), documents.end(), static_cast<std::int64_t>(s) + 1) !=
        documents.end()) {
      writer->end_document();
    }
  }
  ASSERT_TRUE(writer->finish());
  ASSERT_TRUE(writer->publish());
  EXPECT_EQ(read_all(dir / "g.idx"), unhex(golden()["idx_hex"]));
  const IndexedDataset dataset = IndexedDataset::open(dir / "g").value();
  EXPECT_EQ(dataset.num_documents(), 3);
  EXPECT_EQ(dataset.document_start(1), 4);
  EXPECT_EQ(dataset.document_of_token(8), 2);
  EXPECT_THAT(dir.names(), testing::ElementsAre("g.bin", "g.idx"));
}

TEST(IndexedDataset, ReadsBackEveryTokenOfEveryType) {
  for (const TokenType type : {TokenType::u16, TokenType::i32, TokenType::i64}) {
    const TempDir dir;
    auto writer = IndexedDatasetWriter::create(posix_vfs(), dir / "t", type).value();
    std::vector<std::int32_t> all;
    for (int s = 0; s < 50; ++s) {
      std::vector<std::int32_t> tokens;
      for (int i = 0; i < s % 7; ++i)
        tokens.push_back((s * 131 + i) % 65000);
      all.insert(all.end(), tokens.begin(), tokens.end());
      ASSERT_TRUE(writer->add_sequence(tokens));
      writer->end_document();
    }
    ASSERT_TRUE(writer->finish());
    ASSERT_TRUE(writer->publish());
    const IndexedDataset dataset = IndexedDataset::open(dir / "t").value();
    EXPECT_EQ(dataset.num_tokens(), std::ssize(all));
    std::vector<std::int32_t> got(all.size());
    ASSERT_TRUE(dataset.read_tokens(0, got));
    EXPECT_EQ(got, all);
    std::vector<std::int32_t> part(5);
    ASSERT_TRUE(dataset.read_tokens(17, part));
    EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + 17));
  }
}

TEST(IndexedDataset, FindsTheDocumentOfAToken) {
  const TempDir dir;
  make_dataset(dir / "d", {3, 0, 5, 1, 0, 4}, 1);
  const IndexedDataset dataset = IndexedDataset::open(dir / "d").value();
  const std::vector<std::int64_t> expected = {0, 0, 0, 2, 2, 2, 2, 2, 3, 5, 5, 5, 5};
  for (std::size_t token = 0; token < expected.size(); ++token) {
    EXPECT_EQ(dataset.document_of_token(static_cast<std::int64_t>(token)), expected[token])
        << token;
  }
}

TEST(IndexedDataset, ReadsFilesMergedWithoutDocumentsAndSaysSo) {
  const TempDir dir;
  make_dataset(dir / "m", {3, 4, 5}, 0);
  const std::vector<std::int32_t> lengths = {3, 4, 5};
  const std::vector<std::int64_t> only_first = {0};
  write_all(dir / "m.idx", index_bytes(TokenType::u16, lengths, only_first));
  const IndexedDataset dataset = IndexedDataset::open(dir / "m").value();
  EXPECT_EQ(dataset.num_documents(), 3);
  EXPECT_EQ(dataset.document_start(2), 7);
  EXPECT_THAT(dataset.note(),
              testing::HasSubstr("each of the 3 sequences is read as one document"));
}

// Every field of the header and tables, damaged one at a time.
TEST(IndexedDataset, RefusesDamagedIndexesByName) {
  const TempDir dir;
  make_dataset(dir / "x", {3, 4, 5}, 0);
  const std::string good = read_all(dir / "x.idx");
  const auto damaged = [&](const std::function<void(std::string&)>& damage) {
    std::string bytes = good;
    damage(bytes);
    write_all(dir / "x.idx", bytes);
    return error_of(dir / "x");
  };
  using testing::HasSubstr;
  EXPECT_THAT(damaged([](auto& b) { b[0] = 'X'; }), HasSubstr("expected magic MMIDIDX"));
  EXPECT_THAT(damaged([](auto& b) { b.replace(0, 8, std::string("TNTIDX\0\0", 8)); }),
              HasSubstr("old lazy or cached format"));
  EXPECT_THAT(damaged([](auto& b) { b[9] = 2; }), HasSubstr("version 2, expected 1"));
  EXPECT_THAT(damaged([](auto& b) { b[17] = 6; }), HasSubstr("float type"));
  EXPECT_THAT(damaged([](auto& b) { b[17] = 1; }), HasSubstr("dtype code 1"));
  EXPECT_THAT(damaged([](auto& b) { b[18] = 4; }), HasSubstr("bytes, expected"));
  EXPECT_THAT(damaged([](auto& b) { b[25] = '\x7f'; }), HasSubstr("sequences and"));
  EXPECT_THAT(damaged([](auto& b) { b[26] = 0; }), HasSubstr("bytes, expected"));
  EXPECT_THAT(damaged([](auto& b) { b[37] = '\x80'; }), HasSubstr("sequence 0: length -"));
  EXPECT_THAT(damaged([](auto& b) { b[34] = 4; }), HasSubstr("sequence 1"));
  EXPECT_THAT(damaged([](auto& b) { b[46 + 8] = 7; }),
              HasSubstr("sequence 1: length 4 at byte 7, expected"));
  EXPECT_THAT(damaged([](auto& b) { b[70] = 1; }), HasSubstr("document index 0 is 1"));
  EXPECT_THAT(damaged([](auto& b) { b[78] = 9; }), HasSubstr("document index 1 is 9"));
  EXPECT_THAT(damaged([](auto& b) { b.resize(20); }), HasSubstr("got 20 bytes"));
  EXPECT_THAT(damaged([](auto& b) { b.clear(); }), HasSubstr("got 0 bytes"));
  for (std::size_t size = 1; size < good.size(); ++size) {  // cut anywhere: an error, never a crash
    EXPECT_NE(damaged([size](auto& b) { b.resize(size); }), "") << size;
  }
}

TEST(IndexedDataset, RefusesAShortTokenFile) {
  const TempDir dir;
  make_dataset(dir / "s", {3, 4, 5}, 0);
  std::filesystem::resize_file(dir / "s.bin", 22);
  EXPECT_THAT(error_of(dir / "s"), testing::HasSubstr("got 22 bytes, expected 24"));
}

TEST(IndexedDataset, AFileCutWhileOpenIsAnErrorAndNotASignal) {
  const TempDir dir;
  make_dataset(dir / "c", std::vector<int>(100, 100), 0);
  const IndexedDataset dataset = IndexedDataset::open(dir / "c").value();
  std::filesystem::resize_file(dir / "c.bin", 5000);
  std::vector<std::int32_t> tokens(100);
  EXPECT_TRUE(dataset.read_tokens(0, tokens));
  const Result<void> read = dataset.read_tokens(9000, tokens);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::corrupt);
  EXPECT_THAT(read.error().message, testing::HasSubstr("has become shorter"));
}

TEST(IndexedDataset, ChecksBlocksAgainstTheManifestOnFirstTouch) {
  const TempDir dir;
  const Manifest manifest = make_dataset(dir / "b", std::vector<int>(10, 50), 0);
  std::string bytes = read_all(dir / "b.bin");
  bytes[501] = static_cast<char>(bytes[501] ^ 1);
  write_all(dir / "b.bin", bytes);
  const IndexedDataset dataset = IndexedDataset::open(dir / "b", &manifest).value();
  std::vector<std::int32_t> tokens(10);
  const Result<void> read = dataset.read_tokens(0, tokens);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message,
              testing::HasSubstr("b.bin: block 0 (bytes 0 to 1000): expected XXH3"));
  const IndexedDataset unchecked =
      IndexedDataset::open(dir / "b", &manifest, VerifyOnRead::off).value();
  EXPECT_TRUE(unchecked.read_tokens(0, tokens));
}

TEST(IndexedDatasetWriter, LeavesNothingBehindWhenAbandoned) {
  const TempDir dir;
  {
    auto writer = IndexedDatasetWriter::create(posix_vfs(), dir / "a", TokenType::i32).value();
    ASSERT_TRUE(writer->add_sequence(std::vector<std::int32_t>(1000, 1)));
    EXPECT_THAT(dir.names(), testing::ElementsAre("a.bin.part"));
  }
  EXPECT_THAT(dir.names(), testing::IsEmpty());
}

TEST(TokenType, FollowsTheVocabulary) {
  EXPECT_EQ(token_type_for_vocab(65499), TokenType::u16);
  EXPECT_EQ(token_type_for_vocab(65500), TokenType::i32);
}

}  // namespace
}  // namespace tera::data
