#include "core/spec/model_difference.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

#include <fmt/format.h>

namespace tera::spec {
namespace {

// The settings of experts, at their defaults.
void without_experts(ModelConfig& m) {
  const ModelConfig defaults;
  m.router_top_k = m.moe_ffn_hidden_size = m.num_shared_experts = m.num_dense_layers = 0;
  m.shared_expert_gate = false;
  m.moe_layer_interval = 1;
  m.router_score = defaults.router_score;
  m.router_choice = defaults.router_choice;
  m.router_renormalize = false;
  m.routed_scaling_factor = 1;
  m.router_num_groups = 1;
  m.expert_capacity_factor = m.router_jitter = 0;
  m.capacity_pad = false;
  m.aux_loss_coeff = m.z_loss_coeff = m.expert_bias_update_rate = 0;
}

// Fields that have no effect in this architecture at their defaults, so that they compare equal.
ModelConfig without_idle_fields(ModelConfig m) {
  const ModelConfig defaults;
  if (m.attention == AttentionKind::latent) {
    m.head_dim = defaults.head_dim;
    m.num_key_value_heads = m.num_attention_heads;
  } else {
    m.q_lora_rank = m.kv_lora_rank = m.qk_nope_head_dim = m.qk_rope_head_dim = m.v_head_dim = 0;
  }
  if (m.position == PositionKind::learned) {
    m.rope_theta = defaults.rope_theta;
    m.rotary_fraction = defaults.rotary_fraction;
    m.rope_scaling = RopeScaling::none;
  }
  if (m.rope_scaling != RopeScaling::yarn) {
    m.rope_beta_fast = defaults.rope_beta_fast;
    m.rope_beta_slow = defaults.rope_beta_slow;
    m.rope_attention_factor = 0;
  } else if (m.rope_attention_factor == 0) {
    m.rope_attention_factor = 0.1 * std::log(m.rope_factor) + 1;
  }
  if (m.rope_scaling != RopeScaling::llama3) {
    m.rope_low_freq_factor = defaults.rope_low_freq_factor;
    m.rope_high_freq_factor = defaults.rope_high_freq_factor;
    if (m.rope_scaling != RopeScaling::yarn) m.rope_original_max_position = 0;
  }
  if (m.rope_scaling == RopeScaling::none) m.rope_factor = 1;
  m.attention_scale = m.score_scale();
  if (m.num_mtp_layers == 0) m.mtp_loss_coeff = defaults.mtp_loss_coeff;
  if (m.num_experts == 0) {
    without_experts(m);
  } else if (m.num_moe_layers(m.num_layers) == m.num_layers) {
    m.ffn_hidden_size = 0;
    m.ffn_bias = false;
  }
  if (m.num_moe_layers(m.num_layers) == 1) {  // one layer follows from many settings
    m.num_dense_layers += m.moe_layer_interval - 1;
    m.moe_layer_interval = 1;
  }
  if (m.router_num_groups == 1) {
    m.router_top_groups = defaults.router_top_groups;
    m.router_group_best = defaults.router_group_best;
  }
  // The rate is of training, but whether there is a bias is of the architecture.
  if (m.expert_bias_update_rate > 0) m.expert_bias_update_rate = 0.001;
  return m;
}

using FieldValue = std::variant<double, std::string_view>;

struct FieldCollector {
  std::vector<std::pair<std::string_view, FieldValue>>& values;
  template <class T>
  void operator()(const Field& field, const T& member) const {
    if constexpr (std::is_enum_v<T>) {
      values.emplace_back(field.name, enum_name(member));
    } else {
      values.emplace_back(field.name, static_cast<double>(member));
    }
  }
};

std::vector<std::pair<std::string_view, FieldValue>> fields_of(const ModelConfig& model) {
  std::vector<std::pair<std::string_view, FieldValue>> values;
  ModelConfig::visit_fields(model, FieldCollector{values});
  return values;
}

std::string shown(const FieldValue& value) {
  if (const double* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  return std::string(std::get<std::string_view>(value));
}

bool equal(const FieldValue& a, const FieldValue& b) {
  const double* x = std::get_if<double>(&a);
  const double* y = std::get_if<double>(&b);
  if (x == nullptr || y == nullptr) return a == b;
  // Factors go through logarithms and square roots on their way.
  return std::abs(*x - *y) <= 1e-9 * std::max(std::abs(*x), std::abs(*y));
}

}  // namespace

std::vector<FieldDifference> model_differences(const ModelConfig& ours, const ModelConfig& theirs) {
  const auto a = fields_of(without_idle_fields(ours));
  const auto b = fields_of(without_idle_fields(theirs));
  std::vector<FieldDifference> differences;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!equal(a[i].second, b[i].second))
      differences.push_back({a[i].first, shown(a[i].second), shown(b[i].second)});
  }
  return differences;
}

}  // namespace tera::spec
