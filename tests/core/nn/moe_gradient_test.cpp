// Gradients of MoE layers: every variant of router, capacity, balance and shared experts.
#include <fmt/format.h>

#include "core/nn/moe_layer.h"
#include "tests/core/nn/check_module.h"

namespace tera::nn::test {
namespace {

constexpr int kLayer = 1;

std::string describe(const spec::ModelConfig& c) {
  return fmt::format(
      "{} choice {} renormalize {} groups {} scaling {} capacity {} {} gate {} z {} aux {} {}",
      enum_name(c.router_score), enum_name(c.router_choice), c.router_renormalize,
      c.router_num_groups, c.routed_scaling_factor, c.expert_capacity_factor,
      enum_name(c.capacity_policy), c.shared_expert_gate, c.z_loss_coeff, c.aux_loss_coeff,
      enum_name(c.aux_loss_scope));
}

// A step that began with other sequences: their choices count in the balance over the global batch.
void check(const spec::ModelConfig& config, std::size_t num_single) {
  SCOPED_TRACE(describe(config));
  TinyModel tiny(config);
  tiny.place = {.seed = 3, .step = 5, .first_sequence = 4};
  MoeLayer moe(tiny.params, config, kLayer, "layers.1.ffn.norm_out");
  check_module(tiny, moe, "layers.1.ffn.norm_out", "layers.1.moe", num_single);
}

TEST(MoeGradient, EveryConfigurationOfTheModels) {
  for (const NamedConfig& named : all_and_training_configs()) {
    if (named.config.num_experts > 0) check(named.config, 12);
  }
}

// Strong auxiliary losses, so that nothing hides behind the gradient of the output.
TEST(MoeGradient, EveryVariantOfTheRouter) {
  spec::ModelConfig c = moe_config();
  c.num_experts = 6;
  for (const spec::RouterScore score : {spec::RouterScore::softmax, spec::RouterScore::sigmoid}) {
    c.router_score = score;
    for (int variant = 0; variant < 32; ++variant) {
      c.router_renormalize = (variant & 1) != 0;
      c.router_num_groups = (variant & 2) != 0 ? 3 : 1;
      c.router_top_groups = (variant & 2) != 0 ? 2 : 1;
      c.routed_scaling_factor = (variant & 4) != 0 ? 2.5 : 1;
      c.shared_expert_gate = (variant & 8) != 0;
      c.num_shared_experts = c.shared_expert_gate ? 1 : 0;
      c.z_loss_coeff = (variant & 16) != 0 ? 10 : 0;
      for (const double capacity : {0.0, 0.7}) {
        c.expert_capacity_factor = capacity;
        for (const spec::AuxLossScope scope :
             {spec::AuxLossScope::micro_batch, spec::AuxLossScope::sequence,
              spec::AuxLossScope::global_batch}) {
          c.aux_loss_scope = scope;
          c.aux_loss_coeff = 30;
          // Both policies, and no balance loss, in turn: all pairs with the rest come up.
          c.capacity_policy = scope == spec::AuxLossScope::sequence
                                  ? spec::CapacityPolicy::position
                                  : spec::CapacityPolicy::probability;
          check(c, 2);
        }
      }
    }
  }
}

TEST(MoeGradient, ExpertsThatChoose) {
  spec::ModelConfig c = moe_config();
  c.router_choice = spec::RouterChoice::expert;
  c.aux_loss_coeff = 0;
  for (const spec::RouterScore score : {spec::RouterScore::softmax, spec::RouterScore::sigmoid}) {
    for (const double factor : {0.0, 0.6, 2.5}) {
      for (const double jitter : {0.0, 0.2}) {
        c.router_score = score;
        c.expert_capacity_factor = factor;
        c.router_jitter = jitter;
        c.z_loss_coeff = 10;
        check(c, 6);
      }
    }
  }
}

}  // namespace
}  // namespace tera::nn::test
