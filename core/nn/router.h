// Router: scores of the experts, the choice of K of them per token, and its two auxiliary losses.
// Always in the accumulation dtype, in every precision: a choice must not hang on rounding.
//
// With s the scores, P_e the mean over the micro-batch's tokens of s_te (sigmoid: s_te / sum s_t),
// f_e the share of the T K routed rows that expert e got (no gradient), c and beta the
// coefficients:
//   balance = c E sum_e f_e P_e          z = beta / T sum_t logsumexp_t^2
// Both are weighted with Pass::batch_share. Scope: the micro-batch. At perfect balance the first is
// c. Sources: Fedus et al. 2021 eq. 4; Zoph et al. 2022 eq. 5; bias: Wang et al. 2024.
#pragma once
#include <string>

#include "core/nn/module.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// Keeps <prefix>.scores [T, E] a, <prefix>.logsumexp [T] a (softmax, or z-loss on),
// <prefix>.indices [T, K] i32 and <prefix>.gates [T, K] a.
class Router {
 public:
  // prefix: "layers.3.moe"; parameters <prefix>.router.weight [E, H] and, when the experts are
  // balanced by bias, <prefix>.router.bias [E].
  Router(ParamStore& store, const spec::ModelConfig& config, int layer, std::string prefix);

  void forward(const Tensor& x, Pass& pass) const;  // x [T, H]
  // Adds counts and auxiliary losses to Pass::router_stats. offsets [E + 1] of the dispatch.
  void record(const Tensor& offsets, const Pass& pass) const;

  // dx += gradient at the input, from d_gates [T, K] and the auxiliary losses.
  void backward_input(const Tensor& d_gates,
                      const Tensor& offsets,
                      const Tensor& dx,
                      Pass& pass) const;
  void backward_weight(const Tensor& x, Pass& pass);

  // Aux-loss-free balancing: b_e += rate sign(mean(counts) - counts_e), then b -= mean(b).
  // Nothing when the router has no bias.
  void update_bias(const std::vector<std::int64_t>& counts);

  const Tensor& indices(const Pass& pass) const { return pass.stash.get(prefix_ + ".indices"); }
  const Tensor& gates(const Pass& pass) const { return pass.stash.get(prefix_ + ".gates"); }

 private:
  Tensor logsumexp(const Pass& pass) const;

  Backend* backend_;
  std::string prefix_;
  std::size_t layer_;
  std::int64_t num_experts_;
  std::int64_t top_k_;
  kernels::RouterOptions options_;
  double aux_loss_coeff_;
  double z_loss_coeff_;
  double bias_update_rate_;
  Param* weight_;
  Param* bias_ = nullptr;
};

}  // namespace tera::nn
