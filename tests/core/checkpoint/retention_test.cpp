#include <fstream>

#include "tests/core/checkpoint/sample_state.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::expect_equal;
using test::make_sample;

class Retention : public test::TempDirTest {
 protected:
  void save(std::int64_t step) {
    ASSERT_TRUE(make_sample(step).save_to(posix_vfs(), dir_)) << step;
  }
  std::vector<std::int64_t> steps() const {
    std::vector<std::int64_t> all;
    const auto found = list(posix_vfs(), dir_);
    for (const CheckpointInfo& info : *found)
      all.push_back(info.step);
    return all;
  }
  void damage(std::int64_t step) const {
    std::fstream file(
        dir_ /
            ("step-" + std::string(9 - std::to_string(step).size(), '0') + std::to_string(step)) /
            "shard-00000.safetensors",
        std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5000);
    file.put('\x55');
    file.put('\x56');
  }
};

TEST_F(Retention, ListsFinalNamesByNumberNewestFirst) {
  EXPECT_TRUE(list(posix_vfs(), dir_ / "none")->empty());
  for (const std::int64_t step : {20, 100, 3})
    save(step);
  for (const char* name : {"step-000000050.tmp-00ff", "step-5", "step-00000x100", "step-0000000007",
                           ".trash-000000001-00", "notes"})
    fs::create_directories(dir_ / name);
  fs::create_directories(dir_ / "step-1234567890");  // ten digits: longer, and later
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{1234567890, 100, 20, 3}));
}

TEST_F(Retention, LatestPassesOverDamagedOnesAndSaysWhy) {
  for (const std::int64_t step : {1, 2, 3})
    save(step);
  damage(3);
  std::vector<std::string> skipped;
  const Result<Reader> reader = open_latest_valid(posix_vfs(), dir_, skipped);
  ASSERT_TRUE(reader) << reader.error().message;
  expect_equal(*reader, make_sample(2));
  ASSERT_EQ(skipped.size(), 1U);
  EXPECT_NE(skipped.front().find("step-000000003"), std::string::npos) << skipped.front();
}

TEST_F(Retention, NothingValidIsAnErrorNotAFreshStart) {
  std::vector<std::string> skipped;
  const auto none = open_latest_valid(posix_vfs(), dir_, skipped);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  save(1);
  damage(1);
  const auto damaged = open_latest_valid(posix_vfs(), dir_, skipped);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::corrupt);
  EXPECT_EQ(skipped.size(), 1U);
}

TEST_F(Retention, AMissingFileIsDamageAMissingCheckpointIsNot) {
  save(1);
  for (const char* name : {"shard-00000.safetensors", "manifest.json", "COMMIT"}) {
    fs::remove(dir_ / "step-000000001" / name);
    const auto reader = Reader::open(posix_vfs(), dir_ / "step-000000001");
    ASSERT_FALSE(reader);
    EXPECT_EQ(reader.error().code, ErrorCode::corrupt) << name;
    EXPECT_FALSE(reader.error().hint.empty()) << name;
  }
  EXPECT_EQ(Reader::open(posix_vfs(), dir_ / "step-000000002").error().code, ErrorCode::not_found);
}

TEST_F(Retention, PruneKeepsTheNewestAndAtLeastTwo) {
  for (std::int64_t step = 1; step <= 6; ++step)
    save(step);
  EXPECT_EQ(*prune_steps(posix_vfs(), dir_, 4), (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{6, 5, 4, 3}));
  ASSERT_TRUE(prune(posix_vfs(), dir_, 0));
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{6, 5}));
  EXPECT_EQ(names().size(), 2U);
  EXPECT_TRUE(prune(posix_vfs(), dir_ / "none", 2)) << "nothing to prune";
}

TEST_F(Retention, PruneDoesNotCountWhatDoesNotOpen) {
  for (std::int64_t step = 1; step <= 4; ++step)
    save(step);
  fs::remove(dir_ / "step-000000004" / "COMMIT");
  fs::remove(dir_ / "step-000000003" / "manifest.json");
  ASSERT_TRUE(prune(posix_vfs(), dir_, 2));
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{4, 3, 2, 1})) << "1 and 2 are the two good ones";
}

TEST_F(Retention, PruneCleansWhatOthersLeftBehind) {
  save(1);
  fs::create_directories(dir_ / "step-000000002.tmp-00112233" / "deep");
  fs::create_directories(dir_ / "step-000000001.damaged-00");
  fs::create_directories(dir_ / ".trash-000000000-00");
  std::ofstream(dir_ / "notes.txt") << "mine";
  ASSERT_TRUE(prune(posix_vfs(), dir_, 3));
  EXPECT_EQ(names(), (std::vector<std::string>{"notes.txt", "step-000000001"}));
}

}  // namespace
}  // namespace tera::checkpoint
