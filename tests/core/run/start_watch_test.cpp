#include "core/run/start_watch.h"

#include <chrono>

#include <gmock/gmock.h>

#include "core/base/clock.h"
#include "tests/core/run/temp_dir.h"

namespace tera::run {
namespace {

using testing::ElementsAre;

class StartWatches : public test::TempDirTest {
 protected:
  static constexpr double kTimeoutS = 1;

  std::unique_ptr<RankPulse> pulse(int rank) const {
    return std::make_unique<RankPulse>(run_, 1, rank, kTimeoutS);
  }
  // What it finds within a time, and after how long.
  std::optional<LostRanks> lost_within(double seconds) {
    const double begin_s = monotonic_s();
    std::optional<LostRanks> found;
    do {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      found = watch_.lost();
      after_s_ = monotonic_s() - begin_s;
    } while (!found && after_s_ < seconds);
    return found;
  }
  bool is_there(int rank) const {
    return std::filesystem::exists(run_.launch_dir(1) / ("start-0000" + std::to_string(rank)));
  }

  const RunDirectory run_ = RunDirectory::planned(posix_vfs(), dir_ / "runs", "one");
  StartWatch watch_ = StartWatch::begin(run_, 1, 3, kTimeoutS).value();
  double after_s_ = 0;
};

TEST_F(StartWatches, HaveHopeAsLongAsAllAreHeardOf) {
  auto first = pulse(0);
  auto second = pulse(1);
  auto third = pulse(2);
  EXPECT_FALSE(lost_within(0.6 * kTimeoutS));
  first.reset();  // it is together with the others, who have not seen it yet
  EXPECT_FALSE(lost_within(1.5 * kTimeoutS));
  second.reset();
  third.reset();
  EXPECT_FALSE(lost_within(1.5 * kTimeoutS));
  for (int rank = 0; rank < 3; ++rank)
    EXPECT_FALSE(is_there(rank)) << rank;
}

TEST_F(StartWatches, NameWhoNeverCame) {
  const auto second = pulse(1);
  const auto found = lost_within(20);
  ASSERT_TRUE(found);
  EXPECT_THAT(found->silent, ElementsAre(0, 2));
  EXPECT_EQ(found->timeout_s, kTimeoutS);
  EXPECT_GE(after_s_, 0.9 * kTimeoutS);
}

// A stopped process: what it wrote is there, and nothing comes.
TEST_F(StartWatches, NameWhoFellSilent) {
  const auto first = pulse(0);
  const auto second = pulse(1);
  std::ofstream(run_.launch_dir(1) / "start-00002") << ".";
  const auto found = lost_within(20);
  ASSERT_TRUE(found);
  EXPECT_THAT(found->silent, ElementsAre(2));
}

// Of a launcher that tells no rank its number.
TEST_F(StartWatches, EndWithTheLockOfTheAttempt) {
  {
    const RunLock lock = RunLock::acquire(run_, 1).value();
    EXPECT_FALSE(lost_within(0.5 * kTimeoutS));
  }
  EXPECT_FALSE(lost_within(1.5 * kTimeoutS)) << "for good";
}

TEST_F(StartWatches, DoNotEndWithTheLockOfAnotherAttempt) {
  const RunLock lock = RunLock::acquire(run_, 2).value();
  EXPECT_TRUE(lost_within(20));
}

TEST_F(StartWatches, TellWhenAllAreThereAndDoNotFindEachOther) {
  const auto first = pulse(0);
  const auto second = pulse(1);
  const auto third = pulse(2);
  const auto found = lost_within(20);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->silent.empty());
}

}  // namespace
}  // namespace tera::run
