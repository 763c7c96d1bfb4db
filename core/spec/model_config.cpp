#include "core/spec/model_config.h"

#include <algorithm>
#include <cmath>

namespace tera::spec {

bool ModelConfig::is_moe_layer(int layer) const {
  return num_experts > 0 && layer >= num_dense_layers &&
         (layer - num_dense_layers + 1) % moe_layer_interval == 0;
}

int ModelConfig::num_moe_layers(int end) const {
  return num_experts > 0 ? std::max(0, end - num_dense_layers) / moe_layer_interval : 0;
}

int ModelConfig::router_slots() const {
  return router_choice == RouterChoice::expert ? num_experts : router_top_k;
}

std::int64_t ModelConfig::expert_capacity(std::int64_t num_tokens) const {
  const bool always = router_choice == RouterChoice::expert;
  if (!always && expert_capacity_factor == 0) return 0;
  const double factor = expert_capacity_factor == 0 ? 1.0 : expert_capacity_factor;
  const double rows = factor * static_cast<double>(num_tokens) * router_top_k / num_experts;
  constexpr double kRounding = 1e-9;  // of the product: 1.1 x 100 / 10 is 11, not 12
  const auto whole = static_cast<std::int64_t>(std::ceil(rows * (1 - kRounding)));
  return std::clamp<std::int64_t>(whole, 1, std::max<std::int64_t>(1, num_tokens));
}

std::int64_t ModelConfig::routed_rows(std::int64_t num_tokens) const {
  const std::int64_t all = num_tokens * router_slots();
  const std::int64_t capacity = expert_capacity(num_tokens);
  if (capacity == 0) return all;
  const std::int64_t places = capacity * num_experts;
  return capacity_pad ? places : std::min(all, places);
}

double ModelConfig::experts_per_token() const {
  if (expert_capacity_factor == 0) return router_top_k;
  const double factor = router_choice == RouterChoice::expert
                            ? expert_capacity_factor
                            : std::min(1.0, expert_capacity_factor);
  return std::min<double>(num_experts, factor * router_top_k);
}

double ModelConfig::rows_per_token() const {
  if (!capacity_pad) return experts_per_token();
  return std::min<double>(num_experts, expert_capacity_factor * router_top_k);
}

}  // namespace tera::spec
