// Layouts that add up in the same order give the same bits, and what one of them saves any other
// goes on with.
#include <functional>
#include <map>
#include <tuple>

#include "tests/core/train/pipeline_cuts.h"
#include "tests/core/train/trainer_fixture.h"

namespace tera::train {
namespace {

using test::cut;
using LayoutBits = test::TrainerTest;

TEST_F(LayoutBits, StagesOfZeroGiveTheSameBits) {
  for (const auto precision : {spec::Precision::fp32, spec::Precision::bf16,
                               spec::Precision::bf16_stochastic, spec::Precision::fp16}) {
    for (const int ranks : {2, 4}) {
      spec::RunSpec spec = small_spec();
      spec.training.precision = precision;
      spec.training.ema_decay = ranks == 2 ? 0.9 : 0;
      spec.training.grad_clip = 0.5;
      spec.model.num_mtp_layers = ranks == 2 ? 1 : 0;
      spec.model.tie_embeddings = ranks == 2;
      spec.layout.data_parallel_size = ranks;
      const run::RunDirectory replicated = create(spec);
      run(replicated);
      const Records expected = records(replicated);
      const auto tensors = final_tensors(replicated);
      ASSERT_TRUE(expected.at(12).has("eval_loss"));
      ASSERT_EQ(expected.at(12).has("eval_loss_ema"), ranks == 2);
      for (const int stage : {1, 2, 3}) {
        SCOPED_TRACE(testing::Message()
                     << enum_name(precision) << ", " << ranks << " ranks, ZeRO " << stage);
        spec.layout.zero_stage = stage;
        const run::RunDirectory dir = create(spec);
        run(dir);
        const auto got = records(dir);
        for (const auto& [step, record] : expected)
          expect_equal_values(got.at(step), record,
                              {"loss", "grad_norm", "eval_loss", "eval_loss_ema"});
        EXPECT_EQ(final_tensors(dir), tensors);
      }
    }
  }
}

// The order of sums is that of copies and of ranks within each, whatever is shared out: every stage
// of ZeRO gives the same bits, and where a copy is one rank, those of all replicas in a row.
TEST_F(LayoutBits, StagesOfZeroInCopiesGiveTheSameBits) {
  for (const int copies : {2, 4}) {
    spec::RunSpec spec = small_spec();
    spec.training.precision = spec::Precision::bf16;
    spec.training.ema_decay = 0.9;
    spec.training.grad_clip = 0.5;
    spec.layout.data_parallel_size = 4;
    spec.layout.expert_parallel_size = 1;
    spec.layout.zero_replicas = copies;
    Records expected;
    std::map<std::string, std::vector<char>> tensors;
    for (const int stage : copies == 4 ? std::vector{0, 1, 2, 3} : std::vector{1, 2, 3}) {
      SCOPED_TRACE(testing::Message() << copies << " copies, ZeRO " << stage);
      spec.layout.zero_stage = stage;
      const run::RunDirectory dir = create(spec);
      run(dir);
      if (expected.empty()) {
        expected = records(dir);
        tensors = final_tensors(dir);
        continue;
      }
      const Records got = records(dir);
      for (const auto& [step, record] : expected)
        expect_equal_values(got.at(step), record,
                            {"loss", "grad_norm", "eval_loss", "eval_loss_ema"});
      EXPECT_EQ(final_tensors(dir), tensors);
    }
  }
}

// Gradients come in the order of micro-batches under every schedule, and sums over ranks add zeros
// of other stages. Where both ends hold the embedding matrix the order is another.
TEST_F(LayoutBits, StagesOfAPipelineGiveTheSameBits) {
  using enum spec::ScheduleKind;
  for (const auto precision : {spec::Precision::fp32, spec::Precision::bf16,
                               spec::Precision::bf16_stochastic, spec::Precision::fp16}) {
    for (const int replicas : {1, 2}) {
      spec::RunSpec spec = small_spec();
      spec.model.num_layers = 3;
      spec.training.precision = precision;
      spec.training.ema_decay = 0.9;
      spec.training.grad_clip = 0.5;
      spec.layout.data_parallel_size = replicas;
      const run::RunDirectory whole = create(spec);
      run(whole);
      const Records expected = records(whole);
      const auto tensors = final_tensors(whole);
      ASSERT_TRUE(expected.at(12).has("eval_loss"));
      ASSERT_TRUE(expected.at(12).has("eval_loss_ema"));
      for (const auto schedule : {one_f_one_b, interleaved, zb_v}) {
        SCOPED_TRACE(testing::Message() << enum_name(precision) << ", " << replicas << " replicas, "
                                        << enum_name(schedule));
        cut(spec.layout, schedule);
        spec.layout.zero_stage = schedule == zb_v ? 1 : 0;
        const run::RunDirectory dir = create(spec);
        run(dir);
        const auto got = records(dir);
        ASSERT_EQ(got.size(), expected.size());
        for (const auto& [step, record] : expected) {
          expect_equal_values(
              got.at(step), record,
              {"loss", "grad_norm", "eval_loss", "eval_loss_ema", "expert_imbalance"});
          EXPECT_EQ(got.at(step).expert_load, record.expert_load) << step;
          EXPECT_FALSE(record.has("wait_s"));
          EXPECT_GT(got.at(step).value("wait_s", 0), 0) << step;
        }
        EXPECT_EQ(final_tensors(dir), tensors);
      }
    }
  }
}

// Each micro-batch is computed as if alone, and adds its gradients in its turn.
TEST_F(LayoutBits, MicroBatchesInTurnsGiveTheSameBits) {
  using spec::ParallelLayout;
  using enum spec::ScheduleKind;
  struct Case {
    const char* name;
    int replicas;
    std::function<void(ParallelLayout&)> change;
  };
  const auto zero = [](int stage) { return [stage](ParallelLayout& l) { l.zero_stage = stage; }; };
  const auto stages = [](spec::ScheduleKind schedule) {
    return [schedule](ParallelLayout& l) { cut(l, schedule); };
  };
  const std::vector<Case> cases = {
      {"zero 0", 2, zero(0)},
      {"zero 1", 2, zero(1)},
      {"zero 2", 2, zero(2)},
      {"tensor ranks", 1,
       [](ParallelLayout& l) { l.tensor_parallel_size = 2, l.sequence_parallel = true; }},
      {"expert tensor ranks", 4, [](ParallelLayout& l) { l.expert_tensor_parallel_size = 2; }},
      {"overflowing buffers", 2, [](ParallelLayout& l) { l.expert_load_percentile = 0; }},
      {"all-gather into overflowing buffers", 2,
       [](ParallelLayout& l) {
         l.expert_dispatcher = spec::ExpertDispatcher::all_gather;
         l.expert_load_percentile = 0;
       }},
      {"recompute", 2, [](ParallelLayout& l) { l.recompute = spec::RecomputeKind::full; }},
      {"1f1b", 2, stages(one_f_one_b)},
      {"interleaved", 2, stages(interleaved)},
      {"dualpipe-v", 2, stages(dualpipe_v)},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    spec::RunSpec spec = small_spec();
    spec.model.num_layers = 3;
    spec.model.aux_loss_scope = spec::AuxLossScope::global_batch;
    spec.training.global_batch_size = 16;
    spec.layout.expert_parallel_size = 2;
    spec.layout.data_parallel_size = c.replicas;
    c.change(spec.layout);
    const run::RunDirectory alone = create(spec);
    run(alone);
    const Records expected = records(alone);
    spec.software.expert_overlap = true;
    ASSERT_TRUE(spec.overlaps_experts());
    const run::RunDirectory in_turns = create(spec);
    run(in_turns);
    const Records got = records(in_turns);
    ASSERT_EQ(got.size(), expected.size());
    for (const auto& [step, record] : expected) {
      expect_equal_values(got.at(step), record, {"loss", "grad_norm", "eval_loss"});
      EXPECT_EQ(got.at(step).expert_load, record.expert_load) << step;
    }
    EXPECT_EQ(final_tensors(in_turns), final_tensors(alone));
  }
}

TEST_F(LayoutBits, EveryOptimizerUpdatesStagesAsOneRank) {
  for (std::size_t kind = 0; kind < EnumNames<spec::OptimizerKind>::value.size(); ++kind) {
    spec::RunSpec spec = small_spec();
    spec.training.optimizer = static_cast<spec::OptimizerKind>(kind);
    SCOPED_TRACE(std::string(enum_name(spec.training.optimizer)));
    const run::RunDirectory one = create(spec);
    run(one);
    cut(spec.layout, spec::ScheduleKind::one_f_one_b);
    const run::RunDirectory two = create(spec);
    run(two);
    EXPECT_EQ(final_tensors(two), final_tensors(one));
  }
}

// What one layout saves another goes on with: tensors are kept by name, whoever held which part.
TEST_F(LayoutBits, ACheckpointServesEveryLayout) {
  using spec::ParallelLayout;
  using enum spec::ScheduleKind;
  const auto zero = [](int stage) { return [stage](ParallelLayout& l) { l.zero_stage = stage; }; };
  // As copies of one rank, or of two among four replicas: each has an order of sums of its own.
  const auto copies = [](int stage, int count) {
    return [=](ParallelLayout& l) { l.zero_stage = stage, l.zero_replicas = count; };
  };
  const auto stages = [](spec::ScheduleKind schedule, int zero_stage = 0) {
    return [=](ParallelLayout& l) { cut(l, schedule), l.zero_stage = zero_stage; };
  };
  const auto replicated = [](int replicas) {
    ParallelLayout layout;
    layout.data_parallel_size = replicas;
    layout.micro_batch_size = 2;
    return layout;
  };
  using Change = std::function<void(ParallelLayout&)>;
  const std::vector<std::tuple<int, Change, Change>> moves = {
      {2, zero(0), zero(3)},
      {2, zero(3), zero(1)},
      {2, zero(1), zero(2)},
      {2, zero(2), zero(0)},
      {2, zero(3), copies(2, 2)},
      {2, copies(3, 2), zero(1)},
      {2, zero(3), stages(one_f_one_b, 1)},
      {2, stages(zb_v, 1), stages(interleaved)},
      {2, stages(one_f_one_b), zero(3)},
      {1, zero(0), stages(zb_v)},
      {1, stages(interleaved), zero(0)},
      {1, stages(one_f_one_b), stages(one_f_one_b)},
  };
  spec::RunSpec spec = small_spec();
  spec.model.num_layers = 3;
  spec.training.precision = spec::Precision::bf16;
  spec.training.ema_decay = 0.9;
  std::map<int, std::map<std::string, std::vector<char>>> expected;  // [replicas]
  for (std::size_t i = 0; i < moves.size(); ++i) {
    SCOPED_TRACE("move " + std::to_string(i));
    const auto& [replicas, from, to] = moves[i];
    spec.layout = replicated(replicas);
    if (expected.count(replicas) == 0) {
      const run::RunDirectory whole = create(spec);
      run(whole);
      expected[replicas] = final_tensors(whole);
    }
    from(spec.layout);
    const run::RunDirectory dir = create(spec);
    EXPECT_EQ(run(dir, {.stop_at_step = 5}), TrainEnd::stopped);
    spec.layout = replicated(replicas);
    to(spec.layout);
    rewrite(dir, spec);
    EXPECT_EQ(run(dir, {.resume = true}), TrainEnd::completed);
    EXPECT_EQ(final_tensors(dir), expected[replicas]);
  }
}

}  // namespace
}  // namespace tera::train
