#include "core/spec/model_config.h"

#include <gtest/gtest.h>

namespace tera::spec {
namespace {

ModelConfig moe() {
  ModelConfig m;
  m.num_layers = 10;
  m.num_experts = 8;
  m.router_top_k = 2;
  return m;
}

TEST(ModelConfig, EveryNthLayerBehindTheDenseOnesHasExperts) {
  ModelConfig m = moe();
  m.num_dense_layers = 3;
  m.moe_layer_interval = 2;
  std::vector<int> with_experts;
  for (int layer = 0; layer < 10; ++layer) {
    if (m.is_moe_layer(layer)) with_experts.push_back(layer);
  }
  EXPECT_EQ(with_experts, (std::vector<int>{4, 6, 8}));
  for (const int dense : {0, 1, 3, 12}) {
    for (const int interval : {1, 2, 3, 20}) {
      m.num_dense_layers = dense;
      m.moe_layer_interval = interval;
      int count = 0;
      for (int end = 0; end <= 10; ++end) {
        EXPECT_EQ(m.num_moe_layers(end), count) << dense << " " << interval << " " << end;
        count += m.is_moe_layer(end);
      }
    }
  }
  m = ModelConfig();
  EXPECT_FALSE(m.is_moe_layer(5));
  EXPECT_EQ(m.num_moe_layers(6), 0);
}

TEST(ModelConfig, DroplessBuffersHoldEveryChoice) {
  const ModelConfig m = moe();
  EXPECT_EQ(m.expert_capacity(100), 0);
  EXPECT_EQ(m.routed_rows(100), 200);
  EXPECT_EQ(m.router_slots(), 2);
  EXPECT_EQ(m.experts_per_token(), 2);
}

TEST(ModelConfig, CapacityIsRoundedUpAndBoundsTheBuffers) {
  ModelConfig m = moe();
  m.expert_capacity_factor = 1.25;
  EXPECT_EQ(m.expert_capacity(64), 20);
  EXPECT_EQ(m.expert_capacity(65), 21);  // 20.3
  EXPECT_EQ(m.routed_rows(64), 128);     // every choice, fewer than 8 x 20
  EXPECT_EQ(m.experts_per_token(), 2);
  m.expert_capacity_factor = 0.5;
  EXPECT_EQ(m.expert_capacity(64), 8);
  EXPECT_EQ(m.routed_rows(64), 64);
  EXPECT_EQ(m.experts_per_token(), 1);
  EXPECT_EQ(m.expert_capacity(1), 1);  // never less
  m.expert_capacity_factor = 900;
  EXPECT_EQ(m.expert_capacity(64), 64);  // an expert is at most once among a token's choices
  m.num_experts = 10;
  m.router_top_k = 1;
  m.expert_capacity_factor = 1.1;
  EXPECT_EQ(m.expert_capacity(100), 11);  // though 1.1 x 100 / 10 is a little more in f64
}

TEST(ModelConfig, PaddedExpertsComputeTheirWholeCapacity) {
  ModelConfig m = moe();
  m.expert_capacity_factor = 1.25;
  EXPECT_EQ(m.rows_per_token(), 2);
  m.capacity_pad = true;
  EXPECT_EQ(m.routed_rows(64), 160);
  EXPECT_EQ(m.rows_per_token(), 2.5);
  EXPECT_EQ(m.experts_per_token(), 2);  // that compute something
  m.expert_capacity_factor = 0.5;
  EXPECT_EQ(m.rows_per_token(), 1);
  m.expert_capacity_factor = 900;
  EXPECT_EQ(m.rows_per_token(), 8);  // every expert for every token
  EXPECT_EQ(m.routed_rows(64), 512);
}

TEST(ModelConfig, ExpertsThatChooseAlwaysHaveACapacity) {
  ModelConfig m = moe();
  m.router_choice = RouterChoice::expert;
  EXPECT_EQ(m.router_slots(), 8);
  EXPECT_EQ(m.expert_capacity(64), 16);
  EXPECT_EQ(m.routed_rows(64), 128);
  m.expert_capacity_factor = 2;
  EXPECT_EQ(m.routed_rows(64), 256);
  EXPECT_EQ(m.experts_per_token(), 4);
}

}  // namespace
}  // namespace tera::spec
