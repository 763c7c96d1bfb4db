// A model trained over the stages of a pipeline is the one that one rank trains, under every
// schedule.
//
// Bits are equal where every tensor's gradient is added up in the same order: on one rank and under
// every schedule that is the order of the micro-batches
// (tests/core/plan/schedule_messages_test.cpp). An embedding matrix that is also the head, or that
// multi-token prediction reads, is added up in another: on one rank the parts take turns, over
// stages each end adds up its own.
#include "core/base/vfs.h"
#include "core/plan/estimate.h"
#include "core/plan/placement.h"
#include "core/plan/schedule_check.h"
#include "tests/core/train/pipeline_fixture.h"
#include "tests/support/temp_dir.h"

namespace tera::train {
namespace {

using plan::ScheduleKind;
using namespace test;  // NOLINT(google-build-using-namespace)

// Every schedule at 2 stages for 20 steps, at 4 for a few; the slow tests take more.
void expect_trains_as_one_rank(const spec::RunSpec& base) {
  std::map<std::pair<int, int>, PipelineOutcome> on_one;  // [layers, steps]
  for (const ScheduleKind kind : plan::kScheduleKinds) {
    for (const int stages : {2, 4}) {
      const spec::RunSpec spec = over_stages(base, kind, stages);
      SCOPED_TRACE(name_of(spec));
      const int steps = stages == 2 ? 20 : 4;
      const PipelineOutcome outcome = train_stages(spec, steps);
      PipelineOutcome& expected = on_one[{spec.model.num_layers, steps}];
      if (expected.losses.empty()) expected = train_stages(on_one_rank(spec), steps);
      expect_equal_bits(outcome, expected);
      expect_runs_the_schedule(spec, outcome);
      EXPECT_LT(outcome.losses.back(), outcome.losses.front());
      EXPECT_EQ(outcome.copies, 0);
    }
  }
}

TEST(Pipeline, DenseModelsHaveTheBitsOfOneRank) {
  expect_trains_as_one_rank(pipeline_spec());
}

TEST(Pipeline, ExpertsHaveTheBitsOfOneRank) {
  spec::RunSpec spec = pipeline_spec();
  add_experts(spec);
  expect_trains_as_one_rank(spec);
}

TEST(Pipeline, RecomputedModelsHaveTheBitsOfOneRank) {
  spec::RunSpec spec = pipeline_spec();
  add_experts(spec);
  for (const auto recompute : {spec::RecomputeKind::full, spec::RecomputeKind::selective}) {
    spec.layout.recompute = recompute;
    for (const ScheduleKind kind : {ScheduleKind::one_f_one_b, ScheduleKind::zb_v}) {
      const spec::RunSpec cut = over_stages(spec, kind, 2);
      SCOPED_TRACE(name_of(cut));
      expect_equal_bits(train_stages(cut, 4), train_stages(on_one_rank(cut), 4));
    }
  }
}

// Forwards of the second stage in another order than they arrive in, halves apart at will.
TEST(Pipeline, RunsAnOrderThatAPersonWrote) {
  spec::RunSpec spec = over_stages(pipeline_spec(), ScheduleKind::one_f_one_b, 2);
  spec.training.global_batch_size = 3;
  const tera::test::TempDir dir;
  spec.layout.schedule_file = (dir.path() / "mine.txt").string();
  const std::string text =
      "F0 F1 F2 BW0 B1 B2 W1 W2  # first stage\n"
      "F1 F0 B0 B1 W0 W1 F2 BW2\n";
  ASSERT_TRUE(write_file_atomic(posix_vfs(), spec.layout.schedule_file, text));
  const PipelineOutcome outcome = train_stages(spec, 5);
  for (std::size_t stage = 0; stage < 2; ++stage) {
    std::string ran;
    for (const plan::PlayedAction& played : outcome.actions[stage])
      ran += (ran.empty() ? "" : " ") + plan::action_name(played.action, 1);
    EXPECT_NE(text.find(ran), std::string::npos) << ran;
  }
  for (int stage = 0; stage < 2; ++stage) {
    const auto& memory = outcome.memory[static_cast<std::size_t>(stage)];
    EXPECT_EQ(memory.at(MemoryKind::activations).peak_bytes,
              plan::engine_bytes(spec, stage).activations);
  }
  // The head adds micro-batch 1 to its gradient before 0: a + b is b + a, and 2 follows.
  spec.layout.schedule_file.clear();
  expect_equal_bits(outcome, train_stages(on_one_rank(spec), 5));
}

// The links at the ends hold no layer, only what counts as one.
TEST(Pipeline, EndsMayStandForLayers) {
  spec::RunSpec base = pipeline_spec();
  base.layout.ends_count_as_layers = true;
  for (const ScheduleKind kind : {ScheduleKind::interleaved, ScheduleKind::zb_v}) {
    spec::RunSpec spec = over_stages(base, kind, 2);
    spec.model.num_layers = 2;
    SCOPED_TRACE(name_of(spec));
    const std::vector<plan::StageChunk> chunks = plan::stage_chunks(spec, 0);
    ASSERT_EQ(chunks.front().layers.size(), 0);
    expect_equal_bits(train_stages(spec, 4), train_stages(on_one_rank(spec), 4));
  }
}

// Models whose ends share the embedding matrix.
std::vector<spec::RunSpec> shared_embeddings() {
  spec::RunSpec tied = pipeline_spec();
  tied.training.optimizer = spec::OptimizerKind::sgd;
  tied.training.sgd_momentum = 0;
  spec::RunSpec predicts = tied;
  tied.model.tie_embeddings = true;
  add_experts(predicts);
  predicts.model.num_mtp_layers = 2;
  spec::RunSpec both = predicts;
  both.model.tie_embeddings = true;
  return {tied, predicts, both};
}

TEST(Pipeline, SharedEmbeddingsAreThoseOfOneRankUpToTheOrderOfSums) {
  constexpr int kSteps = 8;
  for (const spec::RunSpec& base : shared_embeddings()) {
    const PipelineOutcome expected = train_stages(on_one_rank(base), kSteps);
    for (const ScheduleKind kind : plan::kScheduleKinds) {
      const spec::RunSpec spec = over_stages(base, kind, 2);
      SCOPED_TRACE(name_of(spec) + (base.model.tie_embeddings ? " tied" : ""));
      ASSERT_EQ(spec.model.num_layers, base.model.num_layers);
      const PipelineOutcome outcome = train_stages(spec, kSteps);
      expect_close(outcome, expected, order_of_sums(spec, kSteps));
      expect_runs_the_schedule(spec, outcome);
      EXPECT_EQ(outcome.copies, spec::runs_in_v(kind) ? 0 : 1) << "a V has both ends on stage 0";
    }
  }
}

// Plan equals reality on every stage, to the byte.
TEST(Pipeline, HoldsWhatIsPlanned) {
  spec::RunSpec dense = pipeline_spec();
  dense.model.tie_embeddings = true;
  spec::RunSpec experts = pipeline_spec();
  add_experts(experts);
  experts.model.num_mtp_layers = 1;
  experts.training.precision = spec::Precision::bf16;
  for (spec::RunSpec base : {dense, experts}) {
    for (const auto recompute :
         {spec::RecomputeKind::none, spec::RecomputeKind::selective, spec::RecomputeKind::full}) {
      base.layout.recompute = recompute;
      for (const ScheduleKind kind : plan::kScheduleKinds) {
        const int stages = recompute == spec::RecomputeKind::selective ? 4 : 2;
        const spec::RunSpec spec = over_stages(base, kind, stages);
        const auto name = name_of(spec);
        const PipelineOutcome outcome = train_stages(spec, 2);
        for (int stage = 0; stage < spec.layout.pipeline_parallel_size; ++stage) {
          SCOPED_TRACE(name + ", stage " + std::to_string(stage));
          const plan::EngineBytes planned = plan::engine_bytes(spec, stage);
          const auto& memory = outcome.memory[static_cast<std::size_t>(stage)];
          const auto peak = [&](MemoryKind memory_kind) {
            return memory.at(memory_kind).peak_bytes;
          };
          EXPECT_EQ(peak(MemoryKind::weights), planned.weights);
          EXPECT_EQ(peak(MemoryKind::gradients), planned.gradients);
          EXPECT_EQ(peak(MemoryKind::optimizer), planned.optimizer);
          EXPECT_EQ(peak(MemoryKind::activations), planned.activations);
          EXPECT_EQ(memory.at(MemoryKind::activations).live_bytes, 0);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tera::train
