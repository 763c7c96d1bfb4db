// What is left when saving fails, is killed, or loses power, at every single operation.
#include <chrono>
#include <csignal>
#include <thread>

#include <sys/wait.h>

#include "core/base/fault_vfs.h"
#include "tests/core/checkpoint/sample_state.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::expect_equal;
using test::make_sample;
using test::SampleState;

class CheckpointFaults : public test::TempDirTest {
 protected:
  void SetUp() override {
    TempDirTest::SetUp();
    ASSERT_TRUE(previous_.save_to(posix_vfs(), dir_));
  }
  // The newest checkpoint that loads must be this one, bit for bit, with nothing passed over: a
  // final name is never half-written.
  void expect_newest(const SampleState& sample, const std::string& when) const {
    SCOPED_TRACE(when);
    std::vector<std::string> skipped;
    const Result<Reader> reader = open_latest_valid(posix_vfs(), dir_, skipped);
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_TRUE(skipped.empty()) << skipped.front();
    expect_equal(*reader, sample);
  }
  std::int64_t num_temp() const {
    std::int64_t count = 0;
    for (const std::string& name : names())
      count += name.find(".tmp-") != std::string::npos ? 1 : 0;
    return count;
  }

  SampleState previous_ = make_sample(100);
  SampleState next_ = make_sample(
      200, {{"a", "weight", DType::f32, {30, 64}}, {"a", "exp_avg", DType::f32, {30, 64}}});
  SaveOptions options_{.max_shard_bytes = 4096};  // several shards, so several places to die at
};

TEST_F(CheckpointFaults, AnErrorAtAnyOperationLeavesThePreviousAndNoTrace) {
  for (const auto fault : {FaultVfs::Fault::error, FaultVfs::Fault::short_write}) {
    for (const int reason : {ENOSPC, EIO}) {
      std::int64_t k = 0;
      for (;; ++k) {
        FaultVfs vfs;
        vfs.set_fault(fault, k, reason);
        const Result<fs::path> saved = next_.save_to(vfs, dir_, options_);
        const std::string when = "operation " + std::to_string(k);
        if (!vfs.fault_hit()) {
          ASSERT_TRUE(saved) << when << ": " << saved.error().message;
          break;
        }
        ASSERT_FALSE(saved) << when;
        EXPECT_NE(
            saved.error().message.find(reason == EIO ? "Input/output error" : "No space left"),
            std::string::npos)
            << saved.error().message;
        EXPECT_EQ(names(), std::vector<std::string>{"step-000000100"}) << when;
        expect_newest(previous_, when);
      }
      EXPECT_GT(k, 30) << "the loop went over every operation of a save";
      expect_newest(next_, "no fault");
      fs::remove_all(dir_ / "step-000000200");
    }
  }
}

TEST_F(CheckpointFaults, AKillAtAnyOperationLeavesAWholeCheckpoint) {
  std::int64_t num_old = 0;
  std::int64_t num_new = 0;
  for (std::int64_t k = 0;; ++k) {
    FaultVfs vfs;
    vfs.set_fault(FaultVfs::Fault::crash, k);
    const Result<fs::path> saved = next_.save_to(vfs, dir_, options_);
    const std::string when = "killed at operation " + std::to_string(k);
    const bool named = fs::exists(dir_ / "step-000000200");
    expect_newest(named ? next_ : previous_, when);
    (named ? num_new : num_old) += 1;
    ASSERT_TRUE(prune(posix_vfs(), dir_, 2)) << when;
    EXPECT_EQ(num_temp(), 0) << when << ": what was unfinished is cleaned by the next prune";
    expect_newest(named ? next_ : previous_, when + ", pruned");
    fs::remove_all(dir_ / "step-000000200");
    if (!vfs.fault_hit()) break;
    ASSERT_FALSE(saved) << when;
  }
  EXPECT_GT(num_old, 30);
  EXPECT_EQ(num_new, 2) << "killed between the rename and its fsync, and not killed at all";
}

TEST_F(CheckpointFaults, APowerCutAtAnyOperationLosesNoAcknowledgedSave) {
  for (std::int64_t k = 0;; ++k) {
    FaultVfs vfs;
    vfs.set_fault(FaultVfs::Fault::crash, k);
    const Result<fs::path> saved = next_.save_to(vfs, dir_, options_);
    vfs.power_cut();
    expect_newest(saved ? next_ : previous_, "power cut at operation " + std::to_string(k));
    ASSERT_TRUE(prune(posix_vfs(), dir_, 2));
    fs::remove_all(dir_ / "step-000000200");
    if (!vfs.fault_hit()) break;
  }
}

TEST_F(CheckpointFaults, AKillDuringPruneLeavesTheNewest) {
  ASSERT_TRUE(next_.save_to(posix_vfs(), dir_, options_));
  const SampleState newest = make_sample(300);
  ASSERT_TRUE(newest.save_to(posix_vfs(), dir_));
  const SampleState last = make_sample(400);
  ASSERT_TRUE(last.save_to(posix_vfs(), dir_));
  for (std::int64_t k = 0;; ++k) {
    FaultVfs vfs;
    vfs.set_fault(FaultVfs::Fault::crash, k);
    const Result<void> pruned = prune(vfs, dir_, 2);
    expect_newest(last, "prune killed at operation " + std::to_string(k));
    const auto found = list(posix_vfs(), dir_);
    ASSERT_TRUE(found);
    for (const CheckpointInfo& info : *found) {
      const Result<Reader> reader = Reader::open(posix_vfs(), info.path);
      ASSERT_TRUE(reader) << "half removed: " << reader.error().message;
      EXPECT_TRUE(reader->verify());
    }
    if (!vfs.fault_hit()) {
      EXPECT_TRUE(pruned);
      break;
    }
  }
  EXPECT_EQ(names(), (std::vector<std::string>{"step-000000300", "step-000000400"}));
}

// A real process, killed by a real signal, at moments spread over its saves.
TEST_F(CheckpointFaults, SigkillAtRandomMomentsLosesNoAcknowledgedSave) {
  const SampleState bulk = make_sample(1, {{"bulk", "weight", DType::u8, {4 << 20}}});
  std::mt19937 random(20260101);
  for (int round = 0; round < 12; ++round) {
    const fs::path dir = dir_ / ("round-" + std::to_string(round));
    int acknowledged[2];
    ASSERT_EQ(pipe(acknowledged), 0);
    const pid_t child = fork();
    if (child == 0) {
      SampleState sample = bulk;
      for (std::int64_t step = 1; step < 1000; ++step) {
        sample.state.step = step;
        if (!sample.save_to(posix_vfs(), dir)) _exit(1);
        if (write(acknowledged[1], &step, sizeof(step)) != sizeof(step)) _exit(1);
      }
      _exit(0);
    }
    ASSERT_GT(child, 0);
    close(acknowledged[1]);
    std::this_thread::sleep_for(std::chrono::microseconds(5000 + random() % 60000));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the child failed by itself: " << status;
    std::int64_t last = 0;
    for (std::int64_t step = 0; read(acknowledged[0], &step, sizeof(step)) == sizeof(step);)
      last = step;
    close(acknowledged[0]);
    const auto found = list(posix_vfs(), dir);
    ASSERT_TRUE(found);
    ASSERT_GE(found->empty() ? 0 : found->front().step, last) << "an acknowledged save is gone";
    for (const CheckpointInfo& info : *found) {
      const Result<Reader> reader = Reader::open(posix_vfs(), info.path);
      ASSERT_TRUE(reader) << reader.error().message;
      EXPECT_TRUE(reader->verify());
    }
    fs::remove_all(dir);
  }
}

}  // namespace
}  // namespace tera::checkpoint
