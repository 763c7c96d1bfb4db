// One model, any layout: whatever axes a run is spread over, it trains like one rank. A new axis
// adds rows to layout_cases(); layout_equivalence_slow_test.cpp has more of both.
#include "tests/core/train/layout_fixture.h"

namespace tera::train {
namespace {

using test::ModelCase;

class LayoutEquivalence : public test::LayoutTest, public testing::WithParamInterface<ModelCase> {};

TEST_P(LayoutEquivalence, EveryLayoutTrainsLikeOneRank) {
  spec::RunSpec spec = descent_spec();
  GetParam().change(spec.model);
  expect_trains_alike(spec, test::layout_cases());
}

INSTANTIATE_TEST_SUITE_P(Models,
                         LayoutEquivalence,
                         testing::Values(ModelCase{"dense",
                                                   [](spec::ModelConfig& m) {
                                                     m.num_experts = 0;
                                                     m.ffn_hidden_size = 48;
                                                     m.tie_embeddings = true;
                                                   }},
                                         ModelCase{"softmax", [](spec::ModelConfig&) {}},
                                         ModelCase{"sigmoid_groups_shared_prediction",
                                                   [](spec::ModelConfig& m) {
                                                     m.router_score = spec::RouterScore::sigmoid;
                                                     m.router_num_groups = 2;
                                                     m.num_shared_experts = 1;
                                                     m.num_dense_layers = 1;
                                                     m.num_mtp_layers = 1;
                                                     m.ffn_hidden_size = 48;
                                                   }},
                                         ModelCase{"capacity",
                                                   [](spec::ModelConfig& m) {
                                                     m.router_top_k = 1;
                                                     m.router_renormalize = false;
                                                     m.expert_bias_update_rate = 0;
                                                     m.expert_capacity_factor = 1.25;
                                                   }},
                                         ModelCase{"expert_choice",
                                                   [](spec::ModelConfig& m) {
                                                     m.router_choice = spec::RouterChoice::expert;
                                                     m.router_renormalize = false;
                                                     m.aux_loss_coeff = 0;
                                                     m.expert_bias_update_rate = 0;
                                                     m.expert_capacity_factor = 1;
                                                   }}),
                         testing::PrintToStringParamName());

// Ranks add up what each sums over its heads; of four, two hold the same key head.
using LayoutEquivalenceOfTensorRanks = test::LayoutTest;
TEST_F(LayoutEquivalenceOfTensorRanks, NormsOverAllHeadsTrainLikeOneRank) {
  spec::RunSpec spec = descent_spec();
  spec.model.num_attention_heads = 4;
  spec.model.num_key_value_heads = 2;
  spec.model.head_dim = 8;
  spec.model.qk_norm = spec::QkNormKind::full;
  std::vector<test::LayoutCase> layouts = {{.tp = 4},
                                           {.tp = 2, .recompute = spec::RecomputeKind::full}};
  for (const test::LayoutCase& layout : test::layout_cases()) {
    if (layout.tp > 1) layouts.push_back(layout);
  }
  expect_trains_alike(spec, layouts);
}

}  // namespace
}  // namespace tera::train
