// `teragpt train` of a toy with several ranks.
#pragma once
#include "tests/app/rank_processes.h"
#include "tests/app/toy_run.h"

namespace tera::test {

class ToyRanks : public ToyRun {
 protected:
  static constexpr const char* kEndless = "training.num_steps=1000000";

  std::vector<std::string> train(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {
        "train", spec_file(),           "--set", "layout.data_parallel_size=2",
        "--set", "layout.zero_stage=1", "--set", "layout.micro_batch_size=1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  run::RunStatus newest_run() const {
    const Result<run::RunList> list = run::list_runs(posix_vfs(), root_ / "runs");
    if (!list || list->runs.empty()) throw std::runtime_error("expected a run");
    return list->runs.front();
  }
  // Reads until a step has been printed.
  static void read_a_step(RunningTeragpt& program) {
    for (;;) {
      const std::optional<std::string> line = program.read_line();
      ASSERT_TRUE(line.has_value()) << "no step";
      if (line->find("  loss ") != std::string::npos) return;
    }
  }
  // What is still printed, until the end.
  static std::string rest_of(RunningTeragpt& program) {
    std::string text;
    while (const std::optional<std::string> line = program.read_line())
      text += *line + "\n";
    return text;
  }

  const RankProcesses processes_ = RankProcesses((root_ / "runs").string());
};

}  // namespace tera::test
