// `teragpt train --transport nccl`: on one GPU as without, and what is said where there is none.
#include <algorithm>

#include <gmock/gmock.h>

#include "tests/app/ranks_fixture.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_teragpt;
using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;

class TrainNccl : public test::ToyRanks {
 protected:
  std::vector<std::string> train_by_nccl(std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--transport", "nccl"});
    return train(more);
  }
  // What, got, expected and a hint, before anything is made.
  void expect_refused(const std::vector<std::string>& arguments) const {
    const ProgramResult result = run_teragpt(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, AnyOf(HasSubstr("error: NCCL: got no GPU ("),
                                  HasSubstr("error: NCCL: got 64 ranks for a computer with "),
                                  HasSubstr("error: this build of TeraGPT has no NCCL")));
    EXPECT_THAT(result.err, HasSubstr("\nhint:  "));
  }
  bool has_a_gpu() const {
    const nlohmann::json checks = json_of({"doctor"}).at("checks");
    return std::any_of(checks.begin(), checks.end(), [](const nlohmann::json& check) {
      return check.at("name") == "NCCL" && check.at("status") == "ok";
    });
  }
  const std::vector<std::string> one_rank_ = {"--set", "layout.data_parallel_size=1"};
};

TEST_F(TrainNccl, OneRankTrainsAsWithoutWhereThereIsAGpu) {
  if (!has_a_gpu()) {
    expect_refused(train_by_nccl(one_rank_));
    std::ofstream(root_ / "hosts") << "localhost slots=2\n";
    std::vector<std::string> hosts = one_rank_;
    hosts.insert(hosts.end(), {"--hostfile", (root_ / "hosts").string()});
    expect_refused(train_by_nccl(hosts));  // this process trains it
    EXPECT_FALSE(fs::exists(root_ / "runs"));
    return;
  }
  const ProgramResult by_nccl = run_teragpt(train_by_nccl(one_rank_));
  ASSERT_EQ(by_nccl.exit_code, 0) << by_nccl.err;
  const std::string weights = weights_of(newest_run().path);
  ASSERT_EQ(run_teragpt(train(one_rank_)).exit_code, 0);
  EXPECT_EQ(weights_of(newest_run().path), weights);
}

// More ranks than a computer has GPUs, of a new run and of one that exists.
TEST_F(TrainNccl, TakesAGpuForEachRank) {
  const std::vector<std::string> many = {"--set", "layout.data_parallel_size=64", "--set",
                                         "training.global_batch_size=64"};
  expect_refused(train_by_nccl(many));
  std::vector<std::string> plan = train_by_nccl(many);
  plan.emplace_back("--dry-run");
  expect_refused(plan);
  EXPECT_FALSE(fs::exists(root_ / "runs"));
  if (has_a_gpu()) return;
  ASSERT_EQ(run_teragpt(train({"--steps", "1"})).exit_code, 75);
  expect_refused({"train", "--run", newest_run().path.string(), "--resume", "--transport", "nccl"});
  EXPECT_EQ(newest_run().state, run::RunState::stopped);
}

// Of computers in a hostfile the ranks find out: one that lacks a GPU ends all.
TEST_F(TrainNccl, ARankWithoutAGpuEndsTheRun) {
  if (has_a_gpu()) GTEST_SKIP() << "there is a GPU";
  const fs::path hosts = root_ / "hosts";
  std::ofstream(hosts) << "localhost slots=2\n";
  const double start_s = monotonic_s();
  const ProgramResult result = run_teragpt(train_by_nccl({"--hostfile", hosts.string()}));
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, ContainsRegex("error: rank [01]: (NCCL: got no GPU \\(|this build of "
                                        "TeraGPT has no NCCL)"));
  EXPECT_LT(monotonic_s() - start_s, 60);
  EXPECT_EQ(newest_run().state, run::RunState::failed);
  const fs::path launch = newest_run().path / "launch/a001";  // each rank has a word of its own
  EXPECT_FALSE(fs::exists(launch / "error-start.json"));
  EXPECT_TRUE(fs::exists(launch / "error-00000.json") || fs::exists(launch / "error-00001.json"));
}

// Of a launcher whose processes MPI need not know.
TEST_F(TrainNccl, RanksFindEachOtherInAStoreWithoutMpi) {
  const std::string store = (root_ / "store").string();
  const ProgramResult alone = run_teragpt(train_by_nccl({"--store", store}));
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_THAT(alone.err, HasSubstr("train: got --store " + store + ", expected it with"));
  const test::ScopedVariable rank("SLURM_PROCID", "1");
  const test::ScopedVariable size("SLURM_STEP_NUM_TASKS", "2");
  {
    const test::ScopedVariable one("SLURM_STEP_NUM_TASKS", "1");
    const test::ScopedVariable first("SLURM_PROCID", "0");
    EXPECT_THAT(run_teragpt(train_by_nccl({"--store", store})).err,
                HasSubstr("a launcher such as srun started, two or more"));
  }
  const ProgramResult mpi = run_teragpt(train({"--store", store}));
  EXPECT_EQ(mpi.exit_code, 2);
  EXPECT_THAT(mpi.err, HasSubstr("expected it with --transport nccl"));
  const ProgramResult result = run_teragpt(train_by_nccl({"--store", store, "--timeout", "2"}));
  if (!has_a_gpu()) {
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, ContainsRegex("error: rank 1: (NCCL: got no GPU \\(|this build)"));
    return;
  }
  EXPECT_EQ(result.exit_code, 1);  // rank 0 never came
  EXPECT_THAT(result.err, HasSubstr("error: rank 0 does not answer: barrier on world, rank 1"));
  EXPECT_FALSE(fs::exists(root_ / "runs"));
}

TEST_F(TrainNccl, ARankWithoutAGpuTellsTheOthersInTheStore) {
  if (has_a_gpu()) GTEST_SKIP() << "there is a GPU";
  const fs::path store = root_ / "store";
  const test::ScopedVariable size("SLURM_STEP_NUM_TASKS", "2");
  const double start_s = monotonic_s();
  for (const std::string number : {"1", "0"}) {
    const test::ScopedVariable rank("SLURM_PROCID", number);
    const ProgramResult result = run_teragpt(train_by_nccl({"--store", store.string()}));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("error: rank " + number + ": "));
    EXPECT_THAT(*read_text(posix_vfs(), store / "abort", 4096), HasSubstr("rank 1: "));
  }
  EXPECT_LT(monotonic_s() - start_s, 60);  // --timeout is 120
}

TEST_F(TrainNccl, ConnectsProcessesOnly) {
  const ProgramResult threads = run_teragpt(train_by_nccl({"--ranks", "threads"}));
  EXPECT_EQ(threads.exit_code, 2);
  EXPECT_THAT(threads.err,
              HasSubstr("got --transport nccl with --ranks threads, expected processes"));
  const ProgramResult other = run_teragpt(train({"--transport", "tcp"}));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("--transport"));
}

}  // namespace
}  // namespace tera
