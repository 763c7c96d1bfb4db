// What happens to `teragpt train` in the foreground when its terminal or its reader goes away.
#include <csignal>

#include "core/run/metric_stream.h"
#include "tests/app/toy_run.h"

namespace tera {
namespace {

using test::RunningTeragpt;
using enum test::RunningTeragpt::Output;

class TrainSignals : public test::ToyRun {
 protected:
  static constexpr const char* kEndless = "training.num_steps=1000000";

  // Reads until the third step has been printed.
  static void read_three_steps(RunningTeragpt& program) {
    for (int steps = 0; steps < 3;) {
      const std::optional<std::string> line = program.read_line();
      ASSERT_TRUE(line.has_value()) << "no third step";
      const bool step = line->find("  loss ") != std::string::npos ||
                        line->find("\"loss\":") != std::string::npos;
      steps += step ? 1 : 0;
    }
  }
  run::RunStatus only_run() const {
    const Result<run::RunList> list = run::list_runs(posix_vfs(), root_ / "runs");
    if (!list || list->runs.size() != 1) throw std::runtime_error("expected one run");
    return list->runs.front();
  }
  // It left as after Ctrl-C: with a checkpoint of its last step.
  void expect_stopped_with_a_checkpoint() const {
    const run::RunStatus status = only_run();
    EXPECT_EQ(status.state, run::RunState::stopped) << status.detail;
    EXPECT_GE(status.step, 3);
    EXPECT_EQ(json_of({"ckpt", "list", status.id}).at("checkpoints").at(0).at("step"), status.step);
  }
};

TEST_F(TrainSignals, AClosedTerminalEndsItWithACheckpoint) {
  RunningTeragpt program({"train", spec_file(), "--set", kEndless}, terminal);
  read_three_steps(program);
  program.close_output();
  EXPECT_EQ(program.wait(), 75);
  expect_stopped_with_a_checkpoint();
}

// A shell passes SIGHUP on to what the kernel has told already, and a session manager adds SIGTERM:
// none of this is the second Ctrl-C of somebody who will not wait.
TEST_F(TrainSignals, ManyHangupsAreOne) {
  RunningTeragpt program({"train", spec_file(), "--set", kEndless}, pipe);
  read_three_steps(program);
  for (const int number : {SIGHUP, SIGHUP, SIGTERM, SIGHUP})
    program.send(number);
  while (program.read_line()) {
  }
  EXPECT_EQ(program.wait(), 75);
  expect_stopped_with_a_checkpoint();
}

TEST_F(TrainSignals, NohupMeansGoOn) {
  std::signal(SIGHUP, SIG_IGN);  // as nohup does, and exec keeps
  RunningTeragpt program({"train", spec_file(), "--json"}, pipe);
  std::signal(SIGHUP, SIG_DFL);
  read_three_steps(program);  // a pipe holds about three records: it has not finished
  program.send(SIGHUP);
  while (program.read_line()) {
  }
  EXPECT_EQ(program.wait(), 0);
  EXPECT_EQ(only_run().state, run::RunState::completed);
}

TEST_F(TrainSignals, AReaderWhoLeavesDoesNotEndTheTraining) {
  for (const bool as_json : {false, true}) {
    // More text than the pipe holds: it meets the closed end.
    std::vector<std::string> arguments = {"train", spec_file(),
                                          "--set", "training.num_steps=200",
                                          "--set", "training.checkpoint_interval=0"};
    if (as_json) arguments.emplace_back("--json");
    RunningTeragpt program(arguments, pipe);
    read_three_steps(program);
    program.close_output();
    EXPECT_EQ(program.wait(), 0);
    const run::RunStatus status = only_run();
    EXPECT_EQ(status.state, run::RunState::completed) << status.detail;
    run::MetricReader reader(status.path / "metrics");
    EXPECT_EQ(reader.poll()->records.size(), 200U) << "metrics go on";
    std::filesystem::remove_all(status.path);
  }
}

}  // namespace
}  // namespace tera
