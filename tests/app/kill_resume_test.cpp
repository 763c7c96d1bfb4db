// kill -9 at random moments, then --resume: the loss of every later step equals the undisturbed
// run.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "core/run/metric_stream.h"
#include "core/run/run_state.h"
#include "core/spec/yaml.h"
#include "tests/support/toy_dataset.h"

extern char** environ;

namespace tera {
namespace {

namespace fs = std::filesystem;

class KillResume : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("tera-kill-" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
    test::write_toy_dataset(root_ / "toy");
    spec_.name = "kill";
    spec_.model.num_layers = 2;
    spec_.model.hidden_size = 64;
    spec_.model.num_attention_heads = 4;
    spec_.model.num_key_value_heads = 2;
    spec_.model.head_dim = 16;
    spec_.model.vocab_size = 64;
    spec_.model.num_experts = 4;
    spec_.model.router_top_k = 2;
    spec_.model.moe_ffn_hidden_size = 64;
    spec_.training.seq_length = 64;
    spec_.training.global_batch_size = 8;
    spec_.training.num_steps = 120;
    spec_.training.checkpoint_interval = 7;
    spec_.training.eval_interval = 0;
    spec_.layout.micro_batch_size = 4;
    spec_.data.datasets.emplace_back().path = (root_ / "toy").string();
  }
  void TearDown() override { fs::remove_all(root_); }

  run::RunDirectory create() const {
    auto dir = run::RunDirectory::create(posix_vfs(), root_ / "runs", spec_);
    if (!dir) throw std::runtime_error(dir.error().message);
    return *dir;
  }

  static pid_t start(const run::RunDirectory& dir, bool resume) {
    const std::string program =
        std::string(std::getenv("TERA_BINARY_DIR")) + "/app/teragpt/teragpt";
    std::vector<std::string> words = {program, "train", "--run", dir.path().string(), "--json"};
    if (resume) words.emplace_back("--resume");
    std::vector<char*> argv;
    for (std::string& word : words)
      argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", 1, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
    pid_t pid = -1;
    const int error = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    EXPECT_EQ(error, 0) << program;
    return pid;
  }

  static int wait_for(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
  }

  static std::map<std::int64_t, run::MetricRecord> records(const run::RunDirectory& dir) {
    run::MetricReader reader(dir.metrics_dir());
    std::map<std::int64_t, run::MetricRecord> found;
    const auto update = reader.poll();
    EXPECT_TRUE(update.has_value());
    for (const run::MetricRecord& record : update->records)
      found[record.step] = record;
    return found;
  }

  fs::path root_;
  spec::RunSpec spec_;
};

TEST_F(KillResume, LossesEqualTheUndisturbedRun) {
  const run::RunDirectory whole = create();
  ASSERT_EQ(wait_for(start(whole, false)), 0);
  const auto expected = records(whole);
  ASSERT_EQ(expected.size(), 120U);
  const double seconds = expected.at(120).time_s - expected.at(1).time_s;

  std::random_device device;
  const unsigned seed = device();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const run::RunDirectory broken = create();
  int kills = 0;
  bool has_checkpoint = false;
  while (kills < 3) {
    const pid_t pid = start(broken, has_checkpoint);
    std::uniform_real_distribution<double> moment(0.05, 0.6);
    std::this_thread::sleep_for(std::chrono::duration<double>(0.05 + seconds * moment(random)));
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    const int status = wait_for(pid);
    if (WIFSIGNALED(status)) ++kills;
    EXPECT_NE(run::run_status(broken)->state, run::RunState::running);
    has_checkpoint = fs::exists(broken.checkpoints_dir()) &&
                     !fs::is_empty(broken.checkpoints_dir()) &&
                     std::any_of(fs::directory_iterator(broken.checkpoints_dir()),
                                 fs::directory_iterator(), [](const auto& entry) {
                                   return fs::exists(entry.path() / "COMMIT") &&
                                          entry.path().extension().empty();
                                 });
    if (WIFEXITED(status)) break;  // it finished before the kill: all steps are there
  }
  ASSERT_EQ(wait_for(start(broken, has_checkpoint)), 0);
  const auto got = records(broken);
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [step, record] : expected) {
    EXPECT_EQ(got.at(step).value("loss", -1), record.value("loss", -2)) << "step " << step;
    EXPECT_EQ(got.at(step).value("grad_norm", -1), record.value("grad_norm", -2))
        << "step " << step;
    EXPECT_EQ(got.at(step).data_chain, record.data_chain) << "step " << step;
  }
  EXPECT_GE(kills, 1);
}

}  // namespace
}  // namespace tera
