// Whole runs of a small model: they learn, resume bit for bit, do not depend on ranks or threads,
// and end with a message when something is wrong.
#include "core/train/trainer.h"

#include <cmath>
#include <fstream>

#include "core/plan/param_table.h"
#include "core/run/run_state.h"
#include "tests/core/train/trained_precisions.h"
#include "tests/core/train/trainer_fixture.h"

namespace tera::train {
namespace {

namespace fs = std::filesystem;
using test::TrainerTest;

TEST_F(TrainerTest, LearnsAndLeavesARecordOfEveryStep) {
  const spec::RunSpec spec = small_spec();
  const run::RunDirectory dir = create(spec);
  EXPECT_EQ(run(dir), TrainEnd::completed);
  const auto found = records(dir);
  ASSERT_EQ(found.size(), 12U);
  EXPECT_NEAR(found.at(1).value("loss", 0), std::log(64.0), 0.3);  // untrained: near uniform
  EXPECT_LT(found.at(12).value("loss", 99), found.at(1).value("loss", 0) - 0.5);
  EXPECT_LT(found.at(12).value("eval_loss", 99), found.at(6).value("eval_loss", 0));
  EXPECT_FALSE(found.at(5).has("eval_loss"));
  const run::MetricRecord& last = found.at(12);
  EXPECT_EQ(last.value("tokens", 0), 12 * 8 * 32);
  EXPECT_EQ(last.data_chain.size(), 32U);
  ASSERT_EQ(last.expert_load.size(), 2U);
  for (const auto& load : last.expert_load) {
    double sum = 0;
    for (const double tokens : load)
      sum += tokens;
    EXPECT_EQ(sum, 8 * 32 * 2);  // every token goes to two experts: none is dropped
  }
  EXPECT_GE(last.value("expert_imbalance", 0), 1.0);
  const auto kept = checkpoint::list(posix_vfs(), dir.checkpoints_dir());
  ASSERT_TRUE(kept.has_value());
  ASSERT_EQ(kept->size(), 3U);
  EXPECT_EQ(kept->front().step, 12);
  const auto status = run::run_status(dir);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->state, run::RunState::completed);
  EXPECT_EQ(status->step, 12);
}

TEST_F(TrainerTest, ResumeIsBitExact) {
  for (const spec::Precision precision : test::trained_precisions()) {
    spec::RunSpec spec = small_spec();
    spec.training.precision = precision;
    SCOPED_TRACE(std::string(enum_name(spec.training.precision)));
    const run::RunDirectory whole = create(spec);
    EXPECT_EQ(run(whole), TrainEnd::completed);
    const run::RunDirectory parts = create(spec);
    EXPECT_EQ(run(parts, {.stop_at_step = 5}), TrainEnd::stopped);
    EXPECT_EQ(run(parts, {.resume = true, .stop_at_step = 9}), TrainEnd::stopped);
    EXPECT_EQ(run(parts, {.resume = true}), TrainEnd::completed);
    const auto expected = records(whole);
    const auto got = records(parts);
    ASSERT_EQ(got.size(), expected.size());
    for (const auto& [step, record] : expected) {
      EXPECT_EQ(got.at(step).value("loss", -1), record.value("loss", -2)) << "step " << step;
      EXPECT_EQ(got.at(step).value("grad_norm", -1), record.value("grad_norm", -2))
          << "step " << step;
      EXPECT_EQ(got.at(step).data_chain, record.data_chain) << "step " << step;
    }
    EXPECT_EQ(final_tensors(parts), final_tensors(whole));
    EXPECT_LT(expected.at(12).value("loss", 99), expected.at(1).value("loss", 0) - 0.5);
  }
}

// A learning rate at which each optimizer learns in a dozen steps.
double rate_of(spec::OptimizerKind kind) {
  switch (kind) {
    case spec::OptimizerKind::lion:
      return 2e-3;
    case spec::OptimizerKind::adafactor:
      return 1e-1;  // relative to the size of the weights
    case spec::OptimizerKind::sgd:
      return 5e-1;
    default:
      return 1e-2;
  }
}

TEST_F(TrainerTest, EveryOptimizerLearnsAndResumesBitForBit) {
  for (std::size_t kind = 0; kind < EnumNames<spec::OptimizerKind>::value.size(); ++kind) {
    spec::RunSpec spec = small_spec();
    spec.training.optimizer = static_cast<spec::OptimizerKind>(kind);
    spec.training.learning_rate = rate_of(spec.training.optimizer);
    SCOPED_TRACE(std::string(enum_name(spec.training.optimizer)));
    const run::RunDirectory whole = create(spec);
    EXPECT_EQ(run(whole), TrainEnd::completed);
    const auto losses = records(whole);
    EXPECT_LT(losses.at(12).value("loss", 99), losses.at(1).value("loss", 0) - 0.3);
    const run::RunDirectory parts = create(spec);
    EXPECT_EQ(run(parts, {.stop_at_step = 5}), TrainEnd::stopped);
    EXPECT_EQ(run(parts, {.resume = true}), TrainEnd::completed);
    EXPECT_EQ(final_tensors(parts), final_tensors(whole));
  }
}

TEST_F(TrainerTest, ThreadsNeverChangeABit) {
  for (const spec::Precision precision : test::trained_precisions()) {
    spec::RunSpec spec = small_spec();
    spec.training.precision = precision;
    spec.launch.num_threads = 1;
    const run::RunDirectory one = create(spec);
    run(one);
    spec.launch.num_threads = 3;
    const run::RunDirectory three = create(spec);
    run(three);
    EXPECT_EQ(final_tensors(one), final_tensors(three)) << enum_name(spec.training.precision);
  }
}

TEST_F(TrainerTest, RanksAndAccumulationTrainTheSameModel) {
  spec::RunSpec spec = small_spec();
  const run::RunDirectory one = create(spec);
  run(one);
  const auto expected = records(one);
  for (const int ranks : {2, 4}) {
    spec.layout.data_parallel_size = ranks;
    const run::RunDirectory dir = create(spec);
    run(dir);
    const auto got = records(dir);
    for (const auto& [step, record] : expected) {
      // The same tokens in the same micro-batches; gradients are added in another order, and Adam's
      // first steps, of size lr whatever the gradient, carry that into the loss.
      EXPECT_EQ(got.at(step).data_chain, record.data_chain);
      EXPECT_NEAR(got.at(step).value("loss", 0), record.value("loss", 99), 2e-4)
          << ranks << " ranks, step " << step;
      EXPECT_EQ(got.at(step).value("tokens", 0), record.value("tokens", 1));
    }
    // f32 gradients in a ring, and a few numbers in f64: five and some per layer and expert,
    // and squares of each tensor.
    const double ring = 2.0 * (ranks - 1) / ranks;
    const double gradients = ring * 4 * static_cast<double>(plan::count_params(spec.model).total);
    const double numbers = ring * 8 *
                           (5.0 + spec.model.num_layers * (4 + spec.model.num_experts) +
                            static_cast<double>(plan::make_param_table(spec.model).size()));
    EXPECT_GE(got.at(1).value("traffic", 0), gradients);
    EXPECT_LE(got.at(1).value("traffic", 0), gradients + numbers);
    EXPECT_EQ(expected.at(1).value("traffic", 1), 0);
    EXPECT_NEAR(got.at(1).value("loss", 0), expected.at(1).value("loss", 99), 1e-12)
        << "the same token losses, summed in another order";
  }
}

TEST_F(TrainerTest, CountsWhatCapacityDrops) {
  spec::RunSpec spec = small_spec();
  spec.training.num_steps = 4;
  spec.model.expert_capacity_factor = 0.5;
  spec.model.aux_loss_scope = spec::AuxLossScope::global_batch;
  spec.model.router_jitter = 0.02;
  const run::RunDirectory one = create(spec);
  run(one);
  const auto expected = records(one);
  EXPECT_GE(expected.at(4).value("dropped_share", 0),
            0.5);  // half of the choices have a row at most
  EXPECT_LT(expected.at(4).value("dropped_share", 1), 1.0);
  spec.layout.data_parallel_size = 2;  // the same micro-batches, noise and running counts
  const run::RunDirectory two = create(spec);
  run(two);
  const auto got = records(two);
  for (const char* name : {"dropped_share", "balance_loss", "z_loss"})
    EXPECT_NEAR(got.at(1).value(name, -1), expected.at(1).value(name, -2), 1e-12) << name;
  spec.model.expert_capacity_factor = 0;
  const run::RunDirectory dropless = create(spec);
  run(dropless);
  EXPECT_FALSE(records(dropless).at(1).has("dropped_share"));
}

TEST_F(TrainerTest, TellsTheLossOfMultiTokenPrediction) {
  spec::RunSpec spec = small_spec();
  spec.training.num_steps = 4;
  const run::RunDirectory without = create(spec);
  run(without);
  EXPECT_FALSE(records(without).at(1).has("mtp_loss"));
  spec.model.num_mtp_layers = 1;
  const run::RunDirectory one = create(spec);
  run(one);
  const auto expected = records(one);
  EXPECT_EQ(expected.at(1).value("loss", 0), records(without).at(1).value("loss", 1));
  EXPECT_NEAR(expected.at(1).value("mtp_loss", 0), std::log(spec.model.vocab_size), 0.5);
  EXPECT_LT(expected.at(4).value("mtp_loss", 99), expected.at(1).value("mtp_loss", 0));
  spec.layout.data_parallel_size = 2;
  const run::RunDirectory two = create(spec);
  run(two);
  EXPECT_NEAR(records(two).at(1).value("mtp_loss", 0), expected.at(1).value("mtp_loss", 1), 1e-12);
}

TEST_F(TrainerTest, AStopRequestLeavesACheckpoint) {
  std::atomic<int> stop{0};
  const run::RunDirectory dir = create(small_spec());
  TrainOptions options;
  options.stop_requested = &stop;
  options.on_record = [&](const run::MetricRecord& record) { stop = record.step >= 3 ? 1 : 0; };
  EXPECT_EQ(run(dir, options), TrainEnd::stopped);
  const auto kept = checkpoint::list(posix_vfs(), dir.checkpoints_dir());
  ASSERT_TRUE(kept.has_value());
  ASSERT_EQ(kept->size(), 1U);
  EXPECT_EQ(kept->front().step, 4);  // the request is seen by all ranks in the step after it
  EXPECT_EQ(run::run_status(dir)->state, run::RunState::stopped);
}

TEST_F(TrainerTest, AResumePastTheStepToStopAtTrainsNothing) {
  const run::RunDirectory dir = create(small_spec());
  TrainOptions options;
  options.stop_at_step = 3;
  EXPECT_EQ(run(dir, options), TrainEnd::stopped);
  options.resume = true;
  for (const std::int64_t step : {3, 2}) {
    options.stop_at_step = step;
    EXPECT_EQ(run(dir, options), TrainEnd::stopped);
  }
  EXPECT_EQ(records(dir).rbegin()->first, 3);
  EXPECT_EQ(checkpoint::list(posix_vfs(), dir.checkpoints_dir())->front().step, 3);
}

TEST_F(TrainerTest, DivergenceIsSaidAndNotSaved) {
  spec::RunSpec spec = small_spec();
  spec.training.learning_rate = 90;
  spec.training.min_learning_rate = 90;
  spec.training.warmup_steps = 0;
  spec.training.weight_decay = 10;  // multiplies weights by -899 each step
  spec.training.num_steps = 60;
  spec.training.checkpoint_interval = 0;
  const run::RunDirectory dir = create(spec);
  const Result<TrainEnd> end = run_training(dir, {});
  ASSERT_FALSE(end.has_value());
  EXPECT_NE(end.error().message.find("diverged at step"), std::string::npos) << end.error().message;
  EXPECT_FALSE(end.error().hint.empty());
  EXPECT_EQ(run::run_status(dir)->state, run::RunState::failed);
  const auto kept = checkpoint::list(posix_vfs(), dir.checkpoints_dir());
  EXPECT_TRUE(!kept || kept->empty());
}

TEST_F(TrainerTest, MissingAndDamagedInputsAreNamed) {
  const auto message_of = [&](const spec::RunSpec& spec, TrainOptions options = {}) {
    const Result<TrainEnd> end = run_training(create(spec), std::move(options));
    return end ? std::string("no error") : end.error().message;
  };
  spec::RunSpec spec = small_spec();
  spec.data.datasets.front().path = (root_ / "absent").string();
  EXPECT_NE(message_of(spec).find("absent"), std::string::npos) << message_of(spec);

  spec = small_spec();
  EXPECT_NE(message_of(spec, {.resume = true}).find("ckpt"), std::string::npos);

  fs::resize_file(root_ / "toy.bin", fs::file_size(root_ / "toy.bin") / 2);
  const std::string truncated = message_of(spec);
  EXPECT_NE(truncated.find("toy.bin"), std::string::npos) << truncated;
}

TEST_F(TrainerTest, ADamagedCheckpointIsPassedOver) {
  const run::RunDirectory dir = create(small_spec());
  EXPECT_EQ(run(dir, {.stop_at_step = 9}), TrainEnd::stopped);  // checkpoints at 4, 8, 9
  const fs::path shard = dir.checkpoints_dir() / "step-000000009" / "shard-00000.safetensors";
  std::fstream file(shard, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(fs::file_size(shard) / 2));
  file.put('\x5a');
  file.close();
  EXPECT_EQ(run(dir, {.resume = true}), TrainEnd::completed);
  EXPECT_EQ(records(dir).size(), 12U);  // steps 9 to 12 were trained again from step 8
}

TEST_F(TrainerTest, StartingOverARunWithCheckpointsIsRefused) {
  const run::RunDirectory dir = create(small_spec());
  EXPECT_EQ(run(dir, {.stop_at_step = 4}), TrainEnd::stopped);
  const Result<TrainEnd> end = run_training(dir, {});
  ASSERT_FALSE(end.has_value());
  EXPECT_NE(end.error().message.find("checkpoints up to step 4"), std::string::npos)
      << end.error().message;
  EXPECT_NE(end.error().hint.find("--resume"), std::string::npos);
}

TEST_F(TrainerTest, ASecondWriterIsRefused) {
  const run::RunDirectory dir = create(small_spec());
  const Result<run::RunLock> lock = run::RunLock::acquire(dir, 1);
  ASSERT_TRUE(lock.has_value());
  const Result<TrainEnd> end = run_training(dir, {});
  ASSERT_FALSE(end.has_value());
}

TEST_F(TrainerTest, UnsupportedLayoutsAreRefusedBeforeAnythingStarts) {
  spec::RunSpec spec = small_spec();
  spec.layout.tensor_parallel_size = 2;
  const Result<TrainEnd> end = run_training(create(spec), {});
  ASSERT_FALSE(end.has_value());
  EXPECT_NE(end.error().message.find("tensor_parallel_size"), std::string::npos)
      << end.error().message;
}

}  // namespace
}  // namespace tera::train
