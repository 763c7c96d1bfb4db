// Ranks that another launcher started than Open MPI's mpirun, or another program than teragpt: srun
// stands here for all of them. There is none, so that mpirun starts the processes and their
// environment is made srun's.
#include <csignal>

#include <gmock/gmock.h>

#include "tests/app/ranks_fixture.h"
#include "tests/support/mpi_job.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using test::JobEnd;
using test::ProgramResult;
using test::run_teragpt;
using test::RunningTeragpt;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using enum test::RunningTeragpt::Output;

class TrainLaunchers : public test::ToyRanks {
 protected:
  // Two processes, the second by `second` of a shell, in which "$@" is the program as a rank.
  JobEnd srun(const std::vector<std::string>& arguments,
              const std::string& second = "exec \"$@\"") const {
    const fs::path step = root_ / "step";
    std::ofstream(step) << "cd " + root_.string() +
                               "\n"
                               "export SLURM_PROCID=$OMPI_COMM_WORLD_RANK SLURM_STEP_NUM_TASKS=2 "
                               "SLURM_STEP_TASKS_PER_NODE=2 SLURM_NODEID=0\n"
                               "unset OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE "
                               "OMPI_COMM_WORLD_LOCAL_SIZE\n";
    std::string words = std::string(std::getenv("TERA_BINARY_DIR")) + "/app/teragpt/teragpt";
    for (const std::string& argument : arguments)
      words += " '" + argument + "'";
    const auto process = [&](const std::string& command) {
      return " -n 1 sh -c '. " + step.string() + "; " + command + "' sh " + words;
    };
    return test::run_mpi_job(process("exec \"$@\"") + " :" + process(second));
  }
  std::size_t num_runs() const {
    const Result<run::RunList> list = run::list_runs(posix_vfs(), root_ / "runs");
    return list ? list->runs.size() : 0;
  }
};

TEST_F(TrainLaunchers, TheProcessesOfAStepAreTheRanksOfOneRun) {
  const JobEnd end = srun(train());
  EXPECT_EQ(end.exit_code, 0) << end.output;
  EXPECT_EQ(end.count("run /"), 1U) << end.output;
  EXPECT_EQ(end.count(" 20/20 "), 1U) << end.output;
  ASSERT_EQ(num_runs(), 1U);
  EXPECT_EQ(newest_run().state, run::RunState::completed);
  for (const char* rank : {"rank-00000.log", "rank-00001.log"})
    EXPECT_TRUE(fs::exists(newest_run().path / "logs/a001" / rank)) << rank;
}

TEST_F(TrainLaunchers, AStepStopsAndGoesOnLikeAnyRun) {
  const JobEnd stopped = srun(train({"--steps", "2"}));
  EXPECT_EQ(stopped.exit_code, 75) << stopped.output;
  EXPECT_EQ(stopped.count("stopped after a checkpoint"), 1U) << stopped.output;
  const std::string path = newest_run().path.string();
  const JobEnd again = srun({"train", "--run", path});
  EXPECT_THAT(again.output, HasSubstr("error: run " + newest_run().id + " has checkpoints up to"));
  const JobEnd more = srun({"train", "--run", path, "--resume"});
  EXPECT_EQ(more.exit_code, 0) << more.output;
  EXPECT_EQ(newest_run().state, run::RunState::completed);
}

TEST_F(TrainLaunchers, WhatRankZeroRefusesIsSaidOnce) {
  const JobEnd end = srun(train({"--set", "layout.data_parallel_size=3"}));
  EXPECT_NE(end.exit_code, 0);
  EXPECT_EQ(end.count("error: "), 1U) << end.output;
  EXPECT_EQ(num_runs(), 0U);
}

TEST_F(TrainLaunchers, ARankThatIsToldAnotherThingIsNamed) {
  const JobEnd end = srun(train(), "exec \"$@\" --set seed=99");
  EXPECT_EQ(end.exit_code, 2) << end.output;
  EXPECT_EQ(end.count("error: "), 1U) << end.output;
  EXPECT_THAT(end.output, HasSubstr("error: rank 1 was started as `train "));
  EXPECT_THAT(end.output, HasSubstr(" --set seed=99`, rank 0 as `train "));
  EXPECT_EQ(num_runs(), 0U);
}

// Rank 1 does not see what rank 0 made, as on a computer that does not share its disk.
TEST_F(TrainLaunchers, ARankThatCannotReadTheRunEndsAll) {
  const JobEnd end =
      srun(train({"--runs-root", "/proc/self/cwd/runs", "--set", kEndless}), "cd / && exec \"$@\"");
  EXPECT_NE(end.exit_code, 0) << end.output;
  EXPECT_THAT(end.output, ContainsRegex("error: rank 1: .*/proc/self/cwd/runs/"));
  EXPECT_THAT(end.output, ContainsRegex("rank 0: aborted: rank 1: .*/proc/self/cwd/runs/"));
  EXPECT_LT(end.seconds, 20);
}

// MPI waits for ever for who never joins, and nobody watches.
TEST_F(TrainLaunchers, ARankThatNeverComesIsWaitedForNoLongerThanTheTimeout) {
  const JobEnd end = srun(train({"--timeout", "3"}), "sleep 100");
  EXPECT_EQ(end.exit_code, 1) << end.output;
  EXPECT_THAT(end.output,
              HasSubstr("error: rank 0 of 2 waited 3 s for the others, which are not all there"));
  EXPECT_THAT(end.output, HasSubstr("did all of them start"));
  EXPECT_GE(end.seconds, 3);
  EXPECT_LT(end.seconds, 20);
  EXPECT_EQ(num_runs(), 0U);
}

TEST_F(TrainLaunchers, AStoppedRankIsNamed) {
  const std::string events = (root_ / "runs/*/events.jsonl").string();
  const JobEnd end = srun(
      train({"--set", kEndless, "--timeout", "5"}),
      "(until grep -qs running " + events + "; do sleep 0.1; done; kill -STOP $$) & exec \"$@\"");
  EXPECT_EQ(end.exit_code, 1) << end.output;
  EXPECT_THAT(end.output, HasSubstr("error: rank 1 does not answer: "));
  EXPECT_LT(end.seconds, 20);
}

// srun without --mpi=pmix: each process would be alone, with a run of its own.
TEST_F(TrainLaunchers, ProcessesThatMpiDoesNotKnowAreRefused) {
  const test::ScopedVariable rank("SLURM_PROCID", "1");
  const test::ScopedVariable size("SLURM_STEP_NUM_TASKS", "2");
  const ProgramResult result = run_teragpt(train());
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("error: rank 1 of 2: MPI knows of 1 process, expected 2"));
  EXPECT_THAT(result.err, HasSubstr("--mpi=pmix"));
  const ProgramResult threads = run_teragpt(train({"--ranks", "threads"}));
  EXPECT_EQ(threads.exit_code, 2);
  EXPECT_THAT(threads.err, HasSubstr("train: got --ranks threads in rank 1 of 2, expected"));
  EXPECT_EQ(num_runs(), 0U);
  const ProgramResult plan = run_teragpt(train({"--dry-run"}));
  EXPECT_THAT(plan.out, HasSubstr("rank 1 of 2, which a launcher started"));
}

// Each rank looks for a GPU where it is.
TEST_F(TrainLaunchers, RanksWithoutAGpuSaySo) {
  const JobEnd end = srun(train({"--transport", "nccl"}));
  if (end.exit_code == 0) GTEST_SKIP() << "there is a GPU for each";
  EXPECT_THAT(end.output, ContainsRegex("error: rank [01]: .*NCCL"));
  EXPECT_LT(end.seconds, 60);
  EXPECT_EQ(num_runs(), 0U);
}

// The script of a Slurm job, and a step of one process, start ranks as a terminal does.
TEST_F(TrainLaunchers, AProcessAloneStartsTheRanks) {
  const test::ScopedVariable rank("SLURM_PROCID", "0");
  const test::ScopedVariable size("SLURM_NTASKS", "2");
  EXPECT_THAT(run_teragpt(train({"--dry-run"})).out, HasSubstr("mpirun --bind-to none"));
  const test::ScopedVariable step("SLURM_STEP_NUM_TASKS", "1");
  EXPECT_THAT(run_teragpt(train({"--dry-run"})).out, HasSubstr("mpirun --bind-to none"));
}

// Who started it must hear of it by whatever name its launcher gave it.
TEST_F(TrainLaunchers, ARankOfAnotherLauncherIsNotTakenForLost) {
  start_rank_1_by("", "sh -c 'unset OMPI_COMM_WORLD_RANK; exec \"$@\"' sh \"$program\" \"$@\"");
  RunningTeragpt program(train({"--set", kEndless, "--timeout", "5"}), terminal);
  const double begin_s = monotonic_s();
  while (monotonic_s() - begin_s < 8)
    ASSERT_NO_FATAL_FAILURE(read_a_step(program));
  program.send(SIGINT);
  const std::string text = rest_of(program);
  EXPECT_EQ(program.wait(), 75) << text;
  EXPECT_THAT(text, Not(HasSubstr("error: ")));
  EXPECT_EQ(newest_run().state, run::RunState::stopped) << newest_run().detail;
}

}  // namespace
}  // namespace tera
