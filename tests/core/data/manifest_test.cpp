#include "core/data/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/data/provenance.h"
#include "tests/core/data/data_fixture.h"

namespace tera::data {
namespace {

using test::make_dataset;
using test::TempDir;

TEST(Manifest, ReadsWhatItWrote) {
  const TempDir dir;
  Manifest manifest = make_dataset(dir / "m", {5, 6, 7}, 1);
  Source source;
  source.id = source.title = "s";
  source.origin_kind = "file";
  source.origin_ref = "s.txt";
  source.inputs = {{"s.txt", std::string(64, '0'), 12}};
  source.licence = {"CC0-1.0", "/c", std::string(64, '1'), "declared", "me"};
  manifest.sources = {source};
  ProcessingStep step;
  step.name = "prepare";
  step.options = {{"a", "b"}};
  step.seed = 7;
  step.dropped = {{"duplicate", 2}};
  manifest.steps = {step};
  manifest.datasheet = {{"motivation", "tests"}};
  const Result<Manifest> again = Manifest::parse(manifest.to_json());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, manifest);
  EXPECT_EQ(again->id(), manifest.id());
}

TEST(Manifest, IdLeavesOutTheTimeAndNothingElse) {
  const TempDir dir;
  const Manifest manifest = make_dataset(dir / "m", {5, 6, 7}, 1);
  Manifest later = manifest;
  later.created = "2030-01-01T00:00:00Z";
  EXPECT_EQ(later.id(), manifest.id());
  Manifest other = manifest;
  other.splits[0].last = 1;
  EXPECT_NE(other.id(), manifest.id());
  EXPECT_EQ(manifest.id().size(), 64U);
}

TEST(Manifest, NamesTheFieldThatIsWrong) {
  const TempDir dir;
  const std::string good = make_dataset(dir / "m", {5, 6, 7}, 1).to_json();
  const auto error = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    const Result<Manifest> manifest = Manifest::parse(text);
    return manifest ? std::string("accepted") : manifest.error().message;
  };
  using testing::HasSubstr;
  EXPECT_THAT(error("teragpt.dataset/1", "teragpt.dataset/9"),
              HasSubstr("schema: got teragpt.dataset/9"));
  EXPECT_THAT(error("\"sequences\": 3", "\"sequences\": -3"),
              HasSubstr("counts.sequences: got -3"));
  EXPECT_THAT(error("\"sequences\": 3", "\"sequences\": \"3\""), HasSubstr("counts.sequences"));
  EXPECT_THAT(error("\"sequences\": 3", "\"sequences\": 2"), HasSubstr("splits.valid"));
  EXPECT_THAT(error("m.bin", "../m.bin"), HasSubstr("files[0].path"));
  EXPECT_THAT(error("\"eod_id\": 0", "\"eod_ix\": 0"), HasSubstr("eod_id: got nothing"));
  EXPECT_THAT(error("\"name\": \"m\"", "\"name\": \"m\", \"extra\": 1"),
              HasSubstr("does not know"));
  EXPECT_THAT(error("{", "["), HasSubstr("not JSON"));
}

TEST(Manifest, VerifyFindsTheBlockThatChanged) {
  const TempDir dir;
  const Manifest manifest = make_dataset(dir / "v", std::vector<int>(10, 50), 0);
  EXPECT_TRUE(verify_file(dir.path(), *manifest.file(".bin"), true));
  std::string bytes = test::read_all(dir / "v.bin");
  bytes[0] = static_cast<char>(bytes[0] ^ 1);
  test::write_all(dir / "v.bin", bytes);
  EXPECT_TRUE(verify_file(dir.path(), *manifest.file(".bin"), false));  // sizes alone
  const Result<void> deep = verify_file(dir.path(), *manifest.file(".bin"), true);
  ASSERT_FALSE(deep);
  EXPECT_THAT(deep.error().message, testing::HasSubstr("block 0"));
}

TEST(Provenance, ReadsWhatItWroteAndNoticesDamage) {
  const TempDir dir;
  const std::vector<ProvenanceRecord> records = {{0, 0, 5, 77}, {1, 1, 1ULL << 40, ~0ULL}};
  const std::string bytes = provenance_bytes(records);
  EXPECT_EQ(bytes.size(), 32U + 2 * 24);
  test::write_all(dir / "p.prov", bytes);
  EXPECT_EQ(read_provenance(dir / "p.prov").value(), records);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i >= 20 && i < 24) continue;  // reserved
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    test::write_all(dir / "p.prov", damaged);
    EXPECT_FALSE(read_provenance(dir / "p.prov")) << "byte " << i;
  }
}

}  // namespace
}  // namespace tera::data
