// `teragpt train` of a layout with several ranks: processes that it starts, one run directory, one
// end for all of them.
#include <csignal>

#include "core/checkpoint/checkpoint.h"
#include "core/run/metric_stream.h"
#include "tests/app/ranks_fixture.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_teragpt;
using test::RunningTeragpt;
using enum test::RunningTeragpt::Output;

class TrainRanks : public test::ToyRanks {
 protected:
  void expect_processes_train_as_threads(std::vector<std::string> more, int num_ranks) const {
    const ProgramResult processes = run_teragpt(train(more));
    ASSERT_EQ(processes.exit_code, 0) << processes.err;
    EXPECT_NE(processes.out.find("step     20/20"), std::string::npos) << processes.out;
    const run::RunStatus first = newest_run();
    EXPECT_EQ(first.state, run::RunState::completed);
    for (int rank = 0; rank < num_ranks; ++rank) {
      const std::string log = "rank-0000" + std::to_string(rank) + ".log";
      EXPECT_TRUE(fs::exists(first.path / "logs" / "a001" / log)) << log;
    }
    more.insert(more.end(), {"--ranks", "threads"});
    const ProgramResult threads = run_teragpt(train(more));
    ASSERT_EQ(threads.exit_code, 0) << threads.err;
    ASSERT_NE(newest_run().path, first.path);
    EXPECT_EQ(weights_of(newest_run().path), weights_of(first.path));
  }
};

TEST_F(TrainRanks, ProcessesTrainAsThreadsDoToTheBit) {
  const std::vector<std::string> stages = {"--set", "model.num_layers=2",
                                           "--set", "layout.pipeline_parallel_size=2",
                                           "--set", "layout.schedule=zb-v",
                                           "--set", "layout.virtual_stages=2",
                                           "--set", "layout.ends_count_as_layers=true"};
  expect_processes_train_as_threads({}, 2);
  expect_processes_train_as_threads(stages, 4);
}

TEST_F(TrainRanks, ADryRunTellsTheCommandAndWhy) {
  const ProgramResult plan = run_teragpt(train({"--dry-run"}));
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_NE(plan.out.find("mpirun --bind-to none"), std::string::npos) << plan.out;
  EXPECT_NE(plan.out.find("each rank has threads of its own"), std::string::npos) << plan.out;
  EXPECT_FALSE(fs::exists(root_ / "runs")) << "nothing was made";
  const nlohmann::json document = json_of(train({"--dry-run", "--ranks", "threads"}));
  EXPECT_EQ(document.at("ranks"), 2);
  EXPECT_EQ(document.at("processes"), 1);
}

TEST_F(TrainRanks, CtrlCLeavesACheckpoint) {
  RunningTeragpt program(train({"--set", kEndless}), pipe);
  read_a_step(program);
  program.send(SIGINT);
  rest_of(program);
  EXPECT_EQ(program.wait(), 75);
  const run::RunStatus status = newest_run();
  EXPECT_EQ(status.state, run::RunState::stopped) << status.detail;
  const ProgramResult more = run_teragpt({"train", "--run", status.path.string(), "--resume",
                                          "--steps", std::to_string(status.step + 2)});
  EXPECT_EQ(more.exit_code, 75) << more.err;
  EXPECT_EQ(newest_run().step, status.step + 2);
}

TEST_F(TrainRanks, TheFirstErrorOfARankIsTheOneThatIsTold) {
  const ProgramResult result =
      run_teragpt(train({"--set", "training.learning_rate=90", "--set",
                         "training.min_learning_rate=90", "--set", "training.warmup_steps=0",
                         "--set", "training.weight_decay=10", "--set", "training.num_steps=60"}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("diverged at step"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("mpirun"), std::string::npos) << result.err;
  EXPECT_EQ(newest_run().state, run::RunState::failed);
}

}  // namespace
}  // namespace tera
