// kill -9 at random moments, then --resume: loss, gradient norm and data chain of every later step
// equal those of the undisturbed run, bit for bit.
#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "core/run/metric_stream.h"
#include "core/run/run_state.h"
#include "core/spec/run_spec.h"
#include "tests/app/run_program.h"
#include "tests/support/temp_dir.h"
#include "tests/support/toy_dataset.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using test::RunningTeragpt;

constexpr std::int64_t kSteps = 120;

class KillResume : public testing::Test {
 protected:
  void SetUp() override {
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
    spec_.training.num_steps = kSteps;
    spec_.training.checkpoint_interval = 7;
    spec_.training.eval_interval = 0;
    spec_.layout.micro_batch_size = 4;
    spec_.data.datasets.emplace_back().path = (root_ / "toy").string();
  }

  run::RunDirectory create() const {
    auto dir = run::RunDirectory::create(posix_vfs(), root_ / "runs", spec_);
    if (!dir) throw std::runtime_error(dir.error().message);
    return *dir;
  }
  static std::vector<std::string> train(const run::RunDirectory& dir) {
    std::vector<std::string> words = {"train", "--run", dir.path().string(), "--json"};
    if (has_checkpoint(dir)) words.emplace_back("--resume");
    return words;
  }
  static bool has_checkpoint(const run::RunDirectory& dir) {
    return std::any_of(fs::directory_iterator(dir.checkpoints_dir()), fs::directory_iterator(),
                       [](const auto& entry) {
                         return fs::exists(entry.path() / "COMMIT") &&
                                entry.path().extension().empty();
                       });
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

  const test::TempDir dir_;
  const fs::path root_ = dir_.path();
  spec::RunSpec spec_;
};

// Lets it train until `from` has been printed, then for `seconds` more or until `to`, and kills it
// there. The pipe is full a few records after the last line that is read here, so it cannot end.
void kill_between(RunningTeragpt& program, std::int64_t from, std::int64_t to, double seconds) {
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> end;
  for (std::int64_t step = 0; step < to;) {
    const double left = end ? std::chrono::duration<double>(*end - Clock::now()).count() : 60;
    if (end && left <= 0) break;
    const std::optional<std::string> line = program.read_line(left);
    if (!line) {
      ASSERT_TRUE(end) << "no step " << from;
      break;
    }
    const Result<run::MetricRecord> record = run::parse_json_line(*line);
    ASSERT_TRUE(record) << *line;
    step = record->step;
    if (step >= from && !end)
      end = Clock::now() +
            std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  program.send(SIGKILL);
}

TEST_F(KillResume, EveryLaterStepEqualsTheUndisturbedRun) {
  const run::RunDirectory whole = create();
  const test::ProgramResult undisturbed = test::run_teragpt(train(whole));
  ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed.err;
  const auto expected = records(whole);
  ASSERT_EQ(std::ssize(expected), kSteps);
  const double seconds_per_step =
      (expected.at(kSteps).time_s - expected.at(1).time_s) / static_cast<double>(kSteps - 1);

  std::random_device device;
  const unsigned seed = device();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const run::RunDirectory broken = create();
  // Each kill in its own third, at a random step and a random moment after it: anywhere in a step
  // or a checkpoint, the first perhaps before there is any. Records in the pipe end before kSteps.
  constexpr std::int64_t kThird = 37;
  for (int kill = 0; kill < 3; ++kill) {
    const std::int64_t first = 1 + kill * kThird;
    const std::int64_t from =
        std::uniform_int_distribution<std::int64_t>(first, first + kThird - 8)(random);
    const double seconds = std::uniform_real_distribution<double>(0, 7 * seconds_per_step)(random);
    RunningTeragpt program(train(broken), RunningTeragpt::Output::pipe);
    kill_between(program, from, first + kThird - 1, seconds);
    ASSERT_EQ(program.wait(), 128 + SIGKILL) << "kill " << kill << " after step " << from;
    EXPECT_EQ(run::run_status(broken)->state, run::RunState::died);
    EXPECT_GE(run::run_status(broken)->step, from);
  }
  const test::ProgramResult last = test::run_teragpt(train(broken));
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_EQ(run::run_status(broken)->attempt, 4) << "three were killed";

  const auto got = records(broken);
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [step, record] : expected) {
    EXPECT_EQ(got.at(step).value("loss", -1), record.value("loss", -2)) << "step " << step;
    EXPECT_EQ(got.at(step).value("grad_norm", -1), record.value("grad_norm", -2))
        << "step " << step;
    EXPECT_EQ(got.at(step).data_chain, record.data_chain) << "step " << step;
  }
}

}  // namespace
}  // namespace tera
