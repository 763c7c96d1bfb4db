// `teragpt train` of a toy with several ranks.
#pragma once
#include <cstdlib>
#include <optional>

#include "core/checkpoint/checkpoint.h"
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
  // Every byte of the tensors in a run's last checkpoint.
  static std::string weights_of(const std::filesystem::path& run) {
    std::vector<std::string> skipped;
    const auto reader = checkpoint::open_latest_valid(posix_vfs(), run / "ckpt", skipped);
    EXPECT_TRUE(reader.has_value());
    std::string all;
    for (const checkpoint::TensorInfo& info : reader->tensors()) {
      std::string bytes(static_cast<std::size_t>(info.num_bytes()), '\0');
      EXPECT_TRUE(reader->read(info, bytes.data()).has_value());
      all += bytes;
    }
    return all;
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
  // From now on rank 1 is started by `command` of a shell, in which "$program" "$@" is what
  // teragpt starts as a rank, and "$3" its run.
  void start_rank_1_by(const std::string& prepare, const std::string& command) {
    mpirun_is("while [ \"$1\" != -n ]; do shift; done\nshift 2; program=$1; shift\ncd " +
              root_.string() + "\n" + prepare +
              "\nexec " TERA_MPIEXEC
              " --oversubscribe --bind-to none -n 1 \"$program\" \"$@\" : -n 1 " +
              command + "\n");
  }
  // From now on mpirun is this script of bash.
  void mpirun_is(const std::string& script) {
    std::filesystem::create_directories(root_ / "bin");
    std::ofstream(root_ / "bin" / "mpirun") << "#!/bin/bash\n" << script;
    std::filesystem::permissions(root_ / "bin" / "mpirun", std::filesystem::perms::owner_all);
    path_.emplace("PATH", (root_ / "bin").string() + ":" + std::getenv("PATH"));
  }

  const RankProcesses processes_ = RankProcesses((root_ / "runs").string());

 private:
  std::optional<ScopedVariable> path_;
};

}  // namespace tera::test
