#include "core/plan/compute_optimal.h"

#include <cmath>

namespace tera::plan {

LossLaw chinchilla_law() {
  return {.params_factor = 482.01,
          .params_exponent = 0.3478,
          .tokens_factor = 2085.43,
          .tokens_exponent = 0.3658,
          .source =
              "Hoffmann et al. 2022 (Chinchilla), equation 2, constants of Besiroglu et al. 2024, "
              "Chinchilla Scaling: A replication attempt"};
}

namespace {

constexpr std::string_view kJointLaw =
    "Ludziejewski et al. 2025, Joint MoE Scaling Laws, equation 6 and table 3, against one "
    "expert; fitted up to 2.7 B active parameters and 32 experts";
constexpr Constant kStart{"least effective experts", 2.0732, "experts", false, kJointLaw};
constexpr Constant kMax{"most effective experts", 290.4521, "experts", false, kJointLaw};

}  // namespace

LossLaw joint_moe_law(double experts) {
  // E^: grows with E from kStart on, and no further than kMax.
  const double first = 1 / (1 / kStart.value - 1 / kMax.value);
  const double e = 1 / (1 / (experts - 1 + first) + 1 / kMax.value);
  return {.params_factor = 35.91 * std::pow(e, -0.2285),
          .params_exponent = 0.1889 - 0.0098 * std::log(e),
          .tokens_factor = 35.98 * std::pow(e, 0.5529),
          .tokens_exponent = 0.1775 + 0.0259 * std::log(e),
          .source = kJointLaw};
}

double expert_ratio(const spec::ModelConfig& model) {
  if (model.num_experts <= 0) return 1;
  const double shared = model.num_shared_experts;
  return (model.num_experts + shared) / (model.experts_per_token() + shared);
}

double optimal_tokens(const LossLaw& law, double params) {
  // d loss / d log N = d loss / d log D, since N and D are traded one for one in 6 N D.
  const double gain =
      law.params_exponent * law.params_factor * std::pow(params, -law.params_exponent);
  return std::pow(gain / (law.tokens_exponent * law.tokens_factor), -1 / law.tokens_exponent);
}

double expert_factor(double experts, double active_params) {
  return optimal_tokens(joint_moe_law(experts), active_params) /
         optimal_tokens(joint_moe_law(1), active_params);
}

}  // namespace tera::plan
