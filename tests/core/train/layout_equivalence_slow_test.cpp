// The same for a model of every router family, over all layouts: see layout_equivalence_test.cpp.
#include "tests/core/train/layout_fixture.h"

namespace tera::train {
namespace {

using spec::ModelConfig;
using test::ModelCase;

void dense_tied(ModelConfig& m) {
  m.num_experts = 0;
  m.tie_embeddings = true;
  m.position = spec::PositionKind::learned;
  m.norm = spec::NormKind::layer;
  m.attention_bias = spec::AttentionBias::all;
  m.ffn_bias = true;
}

void softmax_global_balance(ModelConfig& m) {
  m.aux_loss_scope = spec::AuxLossScope::global_batch;
  m.moe_layer_interval = 2;
  m.tie_embeddings = true;
}

void sigmoid_groups_latent_prediction(ModelConfig& m) {
  m.attention = spec::AttentionKind::latent;
  m.q_lora_rank = 24;
  m.kv_lora_rank = 16;
  m.qk_nope_head_dim = 12;
  m.qk_rope_head_dim = 8;
  m.v_head_dim = 12;
  m.router_score = spec::RouterScore::sigmoid;
  m.aux_loss_scope = spec::AuxLossScope::sequence;
  m.router_num_groups = 4;
  m.router_top_groups = 2;
  m.num_shared_experts = 1;
  m.shared_expert_gate = true;
  m.num_dense_layers = 1;
  m.num_mtp_layers = 1;
}

void capacity_by_gate_jitter(ModelConfig& m) {
  m.router_top_k = 1;
  m.router_renormalize = false;
  m.expert_bias_update_rate = 0;
  m.expert_capacity_factor = 1.25;
  m.router_jitter = 0.01;
}

void capacity_by_position(ModelConfig& m) {
  m.router_renormalize = false;
  m.expert_capacity_factor = 1;
  m.capacity_policy = spec::CapacityPolicy::position;
}

void expert_choice(ModelConfig& m) {
  m.router_choice = spec::RouterChoice::expert;
  m.router_renormalize = false;
  m.aux_loss_coeff = 0;
  m.expert_bias_update_rate = 0;
  m.expert_capacity_factor = 1;
  m.num_shared_experts = 1;
}

class LayoutEquivalenceOfAll : public test::LayoutTest,
                               public testing::WithParamInterface<ModelCase> {};

TEST_P(LayoutEquivalenceOfAll, EveryLayoutTrainsLikeOneRank) {
  spec::RunSpec spec = descent_spec();
  spec.training.global_batch_size = 16;
  spec.model.num_layers = 6;
  spec.model.num_attention_heads = 4;
  spec.model.num_key_value_heads = 2;
  spec.model.head_dim = 8;
  spec.model.ffn_hidden_size = 48;
  spec.model.num_experts = 8;
  GetParam().change(spec.model);
  std::vector<test::LayoutCase> layouts = test::layout_cases();
  for (const test::LayoutCase& wide : test::wide_layout_cases())
    layouts.push_back(wide);
  expect_trains_alike(spec, layouts);
}

INSTANTIATE_TEST_SUITE_P(
    Models,
    LayoutEquivalenceOfAll,
    testing::Values(ModelCase{"dense_tied", dense_tied},
                    ModelCase{"softmax_global_balance", softmax_global_balance},
                    ModelCase{"sigmoid_groups_latent_prediction", sigmoid_groups_latent_prediction},
                    ModelCase{"capacity_by_gate_jitter", capacity_by_gate_jitter},
                    ModelCase{"capacity_by_position", capacity_by_position},
                    ModelCase{"expert_choice", expert_choice}),
    testing::PrintToStringParamName());

}  // namespace
}  // namespace tera::train
