#include "core/plan/step_traffic.h"

#include <gtest/gtest.h>

#include "core/plan/param_table.h"
#include "core/plan/rank_extents.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

PlannedMessages find(const spec::RunSpec& spec, std::string_view axis, MessageKind kind) {
  const RankMesh mesh = *RankMesh::make(spec.layout);
  for (const PlannedMessages& messages : step_traffic(spec, mesh, 0)) {
    if (messages.axis == axis && messages.kind == kind) return messages;
  }
  return {};
}

std::int64_t params_of(const spec::RunSpec& spec) {
  return count_params(spec.model).total;
}

TEST(StepTraffic, OneRankSaysNothing) {
  const spec::RunSpec spec = run_spec("tiny-moe");
  EXPECT_TRUE(step_traffic(spec, *RankMesh::make(spec.layout), 0).empty());
}

// Rajbhandari et al. 2020, section 7: gradients once, whatever the stage; weights once more from
// stage 1 on, and in stage 3 once forward and once backward.
TEST(StepTraffic, ReplicasSumGradientsAndShareWeights) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.training.precision = spec::Precision::fp32;
  spec.layout.data_parallel_size = 2;
  spec.layout.micro_batch_size = 1;
  spec.training.global_batch_size = 8;  // 4 micro-batches, which change nothing below stage 3
  const PlannedMessages whole = find(spec, "replica", MessageKind::all_reduce);
  EXPECT_EQ(whole.bytes, 4 * params_of(spec));
  EXPECT_EQ(whole.ranks, 2);
  EXPECT_EQ(find(spec, "replica", MessageKind::all_gather).bytes, 0);
  const auto near = [&](std::int64_t bytes, std::int64_t times) {  // but for padding
    EXPECT_GE(bytes, 4 * times * params_of(spec));
    EXPECT_LT(bytes, 4.01 * static_cast<double>(times * params_of(spec)));
  };
  for (const int stage : {1, 2, 3}) {
    spec.layout.zero_stage = stage;
    near(find(spec, "replica", MessageKind::reduce_scatter).bytes, 1);
    if (stage < 3) near(find(spec, "replica", MessageKind::all_gather).bytes, 1);
  }
  const std::int64_t four = find(spec, "replica", MessageKind::all_gather).bytes;
  spec.training.global_batch_size = 2;
  EXPECT_EQ(find(spec, "replica", MessageKind::all_gather).bytes * 4, four);
  EXPECT_GT(four, 4 * 4 * params_of(spec)) << "more than once for each micro-batch";
}

// Zhao et al. 2023, section 3.2.2: gradients and weights stay within a copy, whose shards of the
// gradients alone are summed over the copies.
TEST(StepTraffic, CopiesSumTheirShards) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.training.precision = spec::Precision::fp32;
  spec.layout.data_parallel_size = 8;
  spec.layout.zero_stage = 1;
  spec.layout.micro_batch_size = 1;
  spec.training.global_batch_size = 8;
  const std::int64_t all = find(spec, "replica", MessageKind::all_gather).bytes;
  spec.layout.zero_replicas = 2;
  EXPECT_EQ(find(spec, "shard", MessageKind::reduce_scatter).bytes, all);
  EXPECT_EQ(find(spec, "shard", MessageKind::reduce_scatter).ranks, 4);
  EXPECT_EQ(find(spec, "shard", MessageKind::all_gather).bytes, all);
  EXPECT_EQ(find(spec, "copy", MessageKind::all_reduce).bytes, all / 4);
  EXPECT_EQ(find(spec, "copy", MessageKind::all_reduce).ranks, 2);
  EXPECT_EQ(find(spec, "replica", MessageKind::all_gather).bytes, 0);
  EXPECT_EQ(find(spec, "replica", MessageKind::all_reduce).bytes, 0);
  spec.training.reproducible_sums = true;  // of all replicas in a row
  EXPECT_EQ(find(spec, "copy", MessageKind::all_reduce).bytes, 0);
  EXPECT_GE(find(spec, "replica", MessageKind::all_reduce).bytes, all);
  EXPECT_EQ(find(spec, "shard", MessageKind::all_gather).bytes, all);
}

// Shoeybi et al. 2019, section 3: two sums of [T, H] forward and two backward in every layer, here
// beside those of the embedding, of the gradient at the head's input and of what the loss needs.
TEST(StepTraffic, TensorRanksSumTwiceForwardAndTwiceBackward) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.training.precision = spec::Precision::fp32;
  spec.layout.tensor_parallel_size = 2;
  spec.layout.micro_batch_size = 1;
  spec.training.global_batch_size = 1;
  const std::int64_t tokens = spec.training.seq_length;
  const std::int64_t stream = tokens * spec.model.hidden_size * 4;
  const PlannedMessages sums = find(spec, "tensor", MessageKind::all_reduce);
  EXPECT_EQ(sums.bytes, (4 * spec.model.num_layers + 2) * stream + 4 * tokens);
  // Korthikanti et al. 2022, section 4.2.2: the same bytes in two halves, and the input of the
  // weights' gradients once more.
  spec.layout.sequence_parallel = true;
  EXPECT_EQ(find(spec, "tensor", MessageKind::reduce_scatter).bytes,
            (4 * spec.model.num_layers + 2) * stream);
  EXPECT_EQ(find(spec, "tensor", MessageKind::all_gather).bytes,
            (6 * spec.model.num_layers + 2) * stream + 2 * 2 * 4 * tokens);
}

// A norm over all heads takes the sum of a token's squares forward and of its products with the
// gradient backward, of queries and of keys.
TEST(StepTraffic, TensorRanksSumForNormsOverAllHeads) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.layout.tensor_parallel_size = 2;
  const auto of_norms = [&spec] {
    spec.model.qk_norm = spec::QkNormKind::full;
    PlannedMessages sums = find(spec, "tensor", MessageKind::all_reduce);
    spec.model.qk_norm = spec::QkNormKind::none;
    const PlannedMessages others = find(spec, "tensor", MessageKind::all_reduce);
    sums.calls -= others.calls;
    sums.bytes -= others.bytes;
    return sums;
  };
  const std::int64_t layers = spec.model.num_layers * spec.num_micro_batches();
  const std::int64_t bytes = rank_extents(spec).tokens * 4;
  EXPECT_EQ(of_norms().calls, 4 * layers);
  EXPECT_EQ(of_norms().bytes, 4 * layers * bytes);
  spec.layout.recompute = spec::RecomputeKind::full;
  EXPECT_EQ(of_norms().bytes, 6 * layers * bytes) << "forward twice";
}

// Of rows of H numbers dispatch, combine and the same backward, and of a gate each of the two ways.
TEST(StepTraffic, RowsGoToTheirExpertsAndBackTwice) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.layout.data_parallel_size = spec.layout.expert_parallel_size = 2;
  spec.training.global_batch_size = 2 * spec.layout.micro_batch_size;
  const std::int64_t rows = rank_extents(spec).tokens * spec.model.router_top_k / 2;  // to others
  const PlannedMessages sent = find(spec, "expert", MessageKind::all_to_all);
  EXPECT_EQ(sent.bytes, spec.model.num_layers * rows * (4 * spec.model.hidden_size * 4 + 2 * 4));
  EXPECT_EQ(sent.calls, 6 * spec.model.num_layers);
  EXPECT_EQ(find(spec, "expert", MessageKind::all_gather).bytes,
            spec.model.num_layers * 2 * spec.model.num_experts * 8);
  spec.layout.recompute = spec::RecomputeKind::full;
  EXPECT_EQ(find(spec, "expert", MessageKind::all_to_all).calls, 9 * spec.model.num_layers);
}

// Tokens with their choices and gates to all ranks, sums back; gradients likewise. As large as the
// batch, whatever is chosen.
TEST(StepTraffic, TokensGoToAllRanksAndTheirSumsBack) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.layout.data_parallel_size = spec.layout.expert_parallel_size = 4;
  spec.training.global_batch_size = 4 * spec.layout.micro_batch_size;
  spec.layout.expert_dispatcher = spec::ExpertDispatcher::all_gather;
  const std::int64_t tokens = 4 * rank_extents(spec).tokens;
  const std::int64_t layers = spec.model.num_layers;
  const std::int64_t counts = 4 * spec.model.num_experts * 8;
  const std::int64_t row = spec.model.hidden_size * 4;
  const std::int64_t choice = spec.model.router_top_k * 4;  // a row of i32, or a gate of f32
  EXPECT_EQ(find(spec, "expert", MessageKind::all_to_all).calls, 0);
  const PlannedMessages gathered = find(spec, "expert", MessageKind::all_gather);
  EXPECT_EQ(gathered.calls, 5 * layers);
  EXPECT_EQ(gathered.bytes, layers * (tokens * (2 * row + 2 * choice) + counts));
  const PlannedMessages summed = find(spec, "expert", MessageKind::reduce_scatter);
  EXPECT_EQ(summed.calls, 3 * layers);
  EXPECT_EQ(summed.bytes, layers * tokens * (2 * row + choice));
  ExpertCounts all_to_the_first(static_cast<std::size_t>(4 * spec.model.num_experts));
  all_to_the_first[0] = tokens;
  spec.layout.expert_load_percentile = 0;
  const std::vector<ExpertCounts> uneven(static_cast<std::size_t>(layers), all_to_the_first);
  for (const PlannedMessages& sent : step_traffic(spec, *RankMesh::make(spec.layout), 1, uneven)) {
    if (sent.axis != "expert" || sent.kind != MessageKind::all_gather) continue;
    EXPECT_EQ(sent.calls, 7 * layers) << "inputs and gates of rows beyond the buffer once more";
  }
}

TEST(StepTraffic, StagesSendEachMicroBatchUpAndDown) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.layout.pipeline_parallel_size = 2;
  const std::int64_t stream = rank_extents(spec).tokens * spec.model.hidden_size * 4;
  for (const MessageKind kind : {MessageKind::send, MessageKind::recv}) {
    const PlannedMessages messages = find(spec, "pipeline", kind);
    EXPECT_EQ(messages.calls, spec.num_micro_batches());
    EXPECT_EQ(messages.bytes, spec.num_micro_batches() * stream);
  }
}

// Rows beyond the buffers go once more, in backward.
TEST(StepTraffic, RowsBeyondTheBuffersAreSentAgain) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.layout.data_parallel_size = spec.layout.expert_parallel_size = 2;
  spec.layout.expert_load_percentile = 0;
  spec.training.global_batch_size = 2 * spec.layout.micro_batch_size;
  const std::int64_t rows = rank_extents(spec).tokens * spec.model.router_top_k;
  ExpertCounts all_to_the_first(static_cast<std::size_t>(2 * spec.model.num_experts));
  all_to_the_first[0] = rows;
  all_to_the_first[static_cast<std::size_t>(spec.model.num_experts)] = rows;
  const RankMesh mesh = *RankMesh::make(spec.layout);
  const std::int64_t row_bytes = spec.model.hidden_size * 4;
  for (const PlannedMessages& sent : step_traffic(spec, mesh, 1, {all_to_the_first})) {
    if (sent.axis != "expert" || sent.kind != MessageKind::all_to_all) continue;
    EXPECT_EQ(sent.calls, 6 + 8) << "two chunks";
    // All rows forward, and dispatch once more for the second chunk, which holds this rank's.
    EXPECT_EQ(sent.bytes, rows * (2 * row_bytes + 4) + rows * (row_bytes + 4));
  }
}

}  // namespace
}  // namespace tera::plan
