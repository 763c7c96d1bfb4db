// How many tokens make the most of a training budget, by published laws of the loss.
#pragma once
#include <string_view>

#include "core/plan/constant.h"
#include "core/spec/model_config.h"

namespace tera::plan {

// Loss = constant + params_factor / N^params_exponent + tokens_factor / D^tokens_exponent.
struct LossLaw {
  double params_factor = 0;
  double params_exponent = 0;
  double tokens_factor = 0;
  double tokens_exponent = 0;
  std::string_view source;
};

// Of dense models; the constants of the replication agree with the first two approaches of
// Hoffmann et al., those of their third do not.
LossLaw chinchilla_law();
// Of models with experts; N counts active parameters, experts those there are for each one that a
// token uses.
LossLaw joint_moe_law(double experts);

// Experts there are for each one that a token uses, shared experts among both; 1 for dense models.
double expert_ratio(const spec::ModelConfig& model);

// Tokens for which a model of so many parameters is the best use of 6 N D FLOPs: there more
// parameters and more tokens gain the same.
double optimal_tokens(const LossLaw& law, double params);

// How many times as many tokens experts make optimal, by the joint law against itself without
// experts. The ratio, and not its tokens, since the laws were fitted on different texts and the
// joint one on small models: without experts it has a fraction of Chinchilla's tokens.
double expert_factor(double experts, double active_params);

// Compute beyond which a model is presumed to pose systemic risk.
inline constexpr Constant kSystemicRiskFlops{"systemic risk", 1e25, "flop", false,
                                             "Regulation (EU) 2024/1689 (AI Act), article 51 (2)"};

}  // namespace tera::plan
