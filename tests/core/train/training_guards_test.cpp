// Whole runs with a batch that grows, steps that are left out, and a running mean of the weights.
#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "core/base/thread_pool.h"
#include "core/infer/load_model.h"
#include "core/run/run_state.h"
#include "core/spec/step_samples.h"
#include "core/tensor/cpu_backend.h"
#include "tests/core/train/trainer_fixture.h"

namespace tera::train {
namespace {

class TrainingGuards : public test::TrainerTest {
 protected:
  // The run in one piece and in two leave the same bytes; returns the whole one's directory.
  run::RunDirectory expect_exact_resume(const spec::RunSpec& spec, std::int64_t stop) const {
    const run::RunDirectory whole = create(spec);
    EXPECT_EQ(run(whole), TrainEnd::completed);
    const run::RunDirectory parts = create(spec);
    EXPECT_EQ(run(parts, {.stop_at_step = stop}), TrainEnd::stopped);
    EXPECT_EQ(run(parts, {.resume = true}), TrainEnd::completed);
    EXPECT_EQ(final_tensors(parts), final_tensors(whole));
    const auto expected = records(whole);
    const auto got = records(parts);
    EXPECT_EQ(got.size(), expected.size());
    for (const auto& [step, record] : expected) {
      EXPECT_EQ(got.at(step).data_chain, record.data_chain) << step;
      for (const char* name : {"loss", "loss_zscore", "grad_norm_zscore", "skipped", "tokens"})
        EXPECT_EQ(got.at(step).value(name, -1), record.value(name, -1)) << step << " " << name;
    }
    return whole;
  }
  static std::vector<float> floats(const std::vector<char>& bytes) {
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
};

TEST_F(TrainingGuards, AGrowingBatchTakesTheSamplesInTheSameOrder) {
  spec::RunSpec spec = small_spec();
  spec.training.rampup_batch_size = 2;
  spec.training.rampup_increment = 2;
  spec.training.rampup_tokens = 24 * spec.training.seq_length;  // 2, 4, 6 for 8 samples each
  const auto found = records(expect_exact_resume(spec, 5));
  const double sizes[] = {2, 2, 2, 2, 4, 4, 6, 6, 8, 8, 8, 8};
  double tokens = 0;
  for (std::int64_t step = 1; step <= 12; ++step) {
    const double size = sizes[step - 1];
    tokens += size * spec.training.seq_length;
    EXPECT_EQ(found.at(step).value("batch_size", 0), size) << step;
    EXPECT_EQ(found.at(step).value("tokens", 0), tokens) << step;
  }
  EXPECT_EQ(tokens, spec::tokens_before(spec.training, 12));
  // The ranks that share the samples out do not matter.
  spec.layout.micro_batch_size = 1;
  spec.layout.data_parallel_size = 2;
  const run::RunDirectory ranks = create(spec);
  run(ranks);
  for (const auto& [step, record] : records(ranks))
    EXPECT_EQ(record.data_chain, found.at(step).data_chain) << step;
}

TEST_F(TrainingGuards, OutliersAreLeftOutRecordedAndRemembered) {
  spec::RunSpec spec = small_spec();
  spec.training.skip_step_threshold = 0.05;  // low enough that ordinary steps stand out
  spec.training.skip_step_window = 8;  // half of it is filled, then all others may be left out
  spec.training.checkpoint_interval = 1;
  spec.training.keep_checkpoints = 20;
  const run::RunDirectory dir = expect_exact_resume(spec, 7);
  std::vector<std::int64_t> skipped;
  for (const auto& [step, record] : records(dir)) {
    const bool stands_out =
        std::max(record.value("loss_zscore", 9), record.value("grad_norm_zscore", 9)) > 0.05;
    EXPECT_EQ(record.value("skipped", -1), stands_out ? 1 : 0) << step;
    if (stands_out) skipped.push_back(step);
  }
  ASSERT_FALSE(skipped.empty()) << "the test needs a threshold that some step exceeds";
  std::vector<std::int64_t> noted;
  const auto events = run::read_events(dir);
  ASSERT_TRUE(events.has_value());
  for (const run::RunEvent& event : *events) {
    if (event.state != "skipped") continue;
    noted.push_back(event.step);
    EXPECT_NE(event.detail.find("standard deviations"), std::string::npos) << event.detail;
  }
  EXPECT_EQ(noted, skipped);
  // A step that was left out changed no trained tensor.
  const auto at_step = [&](std::int64_t step) {
    return tensors_of(checkpoint::Reader::open(
        posix_vfs(), dir.checkpoints_dir() / fmt::format("step-{:09}", step)));
  };
  EXPECT_EQ(at_step(skipped.front()), at_step(skipped.front() - 1));
}

TEST_F(TrainingGuards, NothingButOutliersIsDivergence) {
  spec::RunSpec spec = small_spec();
  spec.training.learning_rate = 90;
  spec.training.min_learning_rate = 90;
  spec.training.warmup_steps = 0;
  spec.training.weight_decay = 10;
  spec.training.num_steps = 80;
  spec.training.checkpoint_interval = 0;
  spec.training.skip_step_threshold = 1e6;
  spec.training.skip_step_window = 5;
  const run::RunDirectory dir = create(spec);
  const Result<TrainEnd> end = run_training(dir, {});
  ASSERT_FALSE(end.has_value());
  EXPECT_NE(end.error().message.find("diverged at step"), std::string::npos) << end.error().message;
  double skipped = 0;
  for (const auto& [step, record] : records(dir))
    skipped += record.value("skipped", 0);
  EXPECT_GE(skipped, 5);
}

TEST_F(TrainingGuards, TheRunningMeanIsSavedAndEvaluated) {
  spec::RunSpec spec = small_spec();
  const run::RunDirectory without = create(spec);
  run(without);
  spec.training.ema_decay = 0.75;
  spec.training.checkpoint_interval = 1;
  spec.training.keep_checkpoints = 20;
  const run::RunDirectory dir = expect_exact_resume(spec, 5);
  // It follows the weights, exactly as the formula says, from the first checkpoint on.
  const auto at_step = [&](std::int64_t step) {
    return tensors_of(checkpoint::Reader::open(
        posix_vfs(), dir.checkpoints_dir() / fmt::format("step-{:09}", step)));
  };
  auto before = at_step(1);
  for (std::int64_t step = 2; step <= 12; ++step) {
    const auto now = at_step(step);
    int means = 0;
    for (const auto& [name, bytes] : now) {
      if (name.rfind("ema/", 0) != 0) continue;
      ++means;
      const std::vector<float> mean = floats(bytes);
      const std::vector<float> old = floats(before.at(name));
      const std::vector<float> weight = floats(now.at("weight/" + name.substr(4)));
      for (std::size_t i = 0; i < mean.size(); ++i)
        ASSERT_NEAR(mean[i], 0.75F * old[i] + 0.25F * weight[i], 1e-6F) << name << " " << step;
    }
    EXPECT_GT(means, 10);
    before = now;
  }
  // Generation may start from it.
  std::vector<std::string> passed_over;
  const auto reader =
      checkpoint::open_latest_valid(posix_vfs(), dir.checkpoints_dir(), passed_over);
  ASSERT_TRUE(reader.has_value());
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool);
  nn::ParamStore store(*backend, plan::make_param_table(spec.model), {.gradients = false});
  ASSERT_TRUE(infer::load_weights(*reader, store, infer::WeightSet::ema).has_value());
  const std::vector<float> mean = floats(before.at("ema/head.weight"));
  const auto* loaded = store.get("head.weight").value.data<float>();
  EXPECT_EQ(std::vector<float>(loaded, loaded + mean.size()), mean);
  const auto none = infer::load_weights(
      *checkpoint::open_latest_valid(posix_vfs(), without.checkpoints_dir(), passed_over), store,
      infer::WeightSet::ema);
  ASSERT_FALSE(none.has_value());
  EXPECT_NE(none.error().hint.find("training.ema_decay"), std::string::npos);
  // Looking at it does not change the training.
  const auto plain = final_tensors(without);
  for (const auto& [name, bytes] : plain)
    EXPECT_EQ(before.at(name), bytes) << name;
  const auto found = records(dir);
  for (const std::int64_t step : {6, 12}) {
    EXPECT_EQ(found.at(step).value("eval_loss", -1),
              records(without).at(step).value("eval_loss", -2));
    EXPECT_TRUE(std::isfinite(found.at(step).value("eval_loss_ema", NAN)));
    EXPECT_NE(found.at(step).value("eval_loss_ema", 0), found.at(step).value("eval_loss", 0));
  }
}

}  // namespace
}  // namespace tera::train
