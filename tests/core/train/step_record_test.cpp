// What ranks tell each other about a step, and the record made of it.
#include "core/train/step_record.h"

#include <functional>

#include <gtest/gtest.h>

#include "core/base/thread_pool.h"
#include "core/tensor/cpu_backend.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/spawn_ranks.h"

namespace tera::train {
namespace {

// A dense layer, then one with three experts.
StageResult result_of_rank(int rank) {
  StageResult result;
  result.loss_sum = 1.5 * (rank + 1);
  result.num_targets = 10 + rank;
  result.prediction = {.loss_sum = 2.0, .num_targets = 4};
  result.router.resize(2);
  nn::RouterStats& stats = result.router[1];
  stats.expert_tokens = {1, 2, 3 + rank};
  stats.dropped = rank;
  stats.offered = 8;
  stats.balance_loss = 0.25;
  stats.z_loss = 0.5;
  return result;
}

// On both ranks of the layout: what they have summed, of which the second wanted to stop.
void expect_summed(const spec::ParallelLayout& layout,
                   const std::function<void(StageResult&, comm::MeshGroups&, Backend&)>& expect) {
  test::spawn_ranks(2, [&](comm::Communicator& world) {
    comm::MeshGroups groups(*plan::RankMesh::make(layout), world);
    ThreadPool pool(1);
    const auto backend = make_cpu_backend(pool);
    StageResult result = result_of_rank(world.rank());
    EXPECT_TRUE(sum_over_ranks(result, world.rank() == 1, groups, *backend));
    EXPECT_EQ(result.router[1].expert_tokens, (std::vector<std::int64_t>{2, 4, 7}));
    EXPECT_EQ(result.router[1].dropped, 1);
    EXPECT_EQ(result.router[1].offered, 16);
    EXPECT_DOUBLE_EQ(result.router[1].balance_loss, 0.5);
    EXPECT_DOUBLE_EQ(result.router[1].z_loss, 1.0);
    expect(result, groups, *backend);
  });
}

TEST(StepRecord, RanksAgreeOnSumsAndOnStopping) {
  spec::ParallelLayout layout;
  layout.data_parallel_size = 2;
  expect_summed(layout, [](StageResult& result, comm::MeshGroups& groups, Backend& backend) {
    EXPECT_DOUBLE_EQ(result.loss_sum, 4.5);
    EXPECT_EQ(result.num_targets, 21);
    EXPECT_DOUBLE_EQ(result.prediction.loss_sum, 4.0);
    EXPECT_EQ(result.prediction.num_targets, 8);
    EXPECT_FALSE(sum_over_ranks(result, false, groups, backend));
    EXPECT_EQ(expert_counts(result), (std::vector<std::vector<std::int64_t>>{{}, {4, 8, 14}}));
  });
}

// They have the same tokens, and each has routed its own.
TEST(StepRecord, LossesOfTensorRanksCountOnce) {
  spec::ParallelLayout layout;
  layout.tensor_parallel_size = 2;
  expect_summed(layout, [](StageResult& result, comm::MeshGroups&, Backend&) {
    EXPECT_DOUBLE_EQ(result.loss_sum, 1.5);
    EXPECT_EQ(result.num_targets, 10);
    EXPECT_EQ(result.prediction.num_targets, 4);
  });
}

TEST(StepRecord, NamesTheLoadOfLayersWithExperts) {
  spec::RunSpec spec;
  spec.model = nn::test::moe_config();
  spec.model.expert_capacity_factor = 1;
  run::MetricRecord record;
  add_losses(result_of_rank(1), 2.5, spec, record);
  EXPECT_EQ(record.value("loss", 0), 2.5);
  EXPECT_EQ(record.value("mtp_loss", 0), 0.5);
  EXPECT_EQ(record.value("balance_loss", 0), 0.25);
  EXPECT_EQ(record.value("z_loss", 0), 0.5);
  EXPECT_DOUBLE_EQ(record.value("expert_imbalance", 0), 4 / (7.0 / 3));
  EXPECT_EQ(record.value("dropped_share", 0), 0.125);
  EXPECT_EQ(record.expert_load, (std::vector<std::vector<double>>{{1, 2, 4}}));
  EXPECT_EQ(record.expert_layers, (std::vector<int>{1}));
}

TEST(StepRecord, ADenseStepHasItsLossAlone) {
  StageResult result;
  result.router.resize(2);
  run::MetricRecord record;
  add_losses(result, 3, {}, record);
  ASSERT_EQ(record.values.size(), 1U);
  EXPECT_EQ(record.value("loss", 0), 3);
  EXPECT_TRUE(record.expert_load.empty());
}

}  // namespace
}  // namespace tera::train
