// Router: scores of the experts, the choice of K of them per token, and its two auxiliary losses.
// Always in the accumulation dtype, in every precision: a choice must not hang on rounding. What it
// chose is kept and never computed again, so recomputation cannot choose otherwise.
//
// Losses, weighted with Pass::batch_share: balance (load_balance.h), and with z the logits and beta
// the coefficient, for both kinds of scores, z-loss = beta / T sum_t logsumexp_t^2.
// Jitter: in training the logits are of x * noise, uniform in [1 - jitter, 1 + jitter] per element,
// a function of (seed, layer, step, token of the global batch, element), so no layout changes it.
// Experts that choose: every token names all E experts, each of which takes its best (see
// token_dispatcher.h); so K = E here.
// Sources: Zoph et al. 2022 eq. 5 (z-loss); Wang et al. 2024 (bias); Fedus et al. 2021 (jitter).
#pragma once
#include <string>

#include "core/nn/load_balance.h"
#include "core/nn/module.h"
#include "core/nn/token_share.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// Keeps <prefix>.scores [T, E] a, <prefix>.logits [T, E] a (sigmoid with z-loss),
// <prefix>.logsumexp [T] a (softmax, or z-loss on), <prefix>.indices [T, K] i32, <prefix>.gates
// [T, K] a, <prefix>.balance [blocks, E] a (balance loss on) and <prefix>.noise [T, H] a (jitter).
class Router {
 public:
  // prefix: "layers.3.moe"; parameters <prefix>.router.weight [E, H] and, when the experts are
  // balanced by bias, <prefix>.router.bias [E].
  Router(ParamStore& store, const spec::ModelConfig& config, int layer, std::string prefix);

  // x [T, H], T tokens of this rank (token_share.h). Adds their part of the auxiliary losses to
  // `stats` (may be null). A second forward with the same stash changes nothing.
  void forward(const Tensor& x, Pass& pass, RouterStats* stats) const;

  // dx += gradient at the input, from d_gates [T, K] and the auxiliary losses.
  void backward_input(const Tensor& d_gates, const Tensor& dx, Pass& pass) const;
  void backward_weight(const Tensor& x, Pass& pass);

  // Aux-loss-free balancing: b_e += rate sign(mean(counts) - counts_e), then b -= mean(b).
  // Nothing when the router has no bias.
  void update_bias(const std::vector<std::int64_t>& counts);

  // Whether the stash entry is one of those above.
  bool keeps(std::string_view entry) const;
  const Tensor& indices(const Pass& pass) const { return pass.stash.get(prefix_ + ".indices"); }
  const Tensor& gates(const Pass& pass) const { return pass.stash.get(prefix_ + ".gates"); }

 private:
  Tensor input(const Tensor& x, const Pass& pass) const;
  Tensor balance(const Pass& pass) const;
  double z_weight(const Pass& pass) const;
  void put_noise(const Tensor& x, Pass& pass) const;
  void record(const Pass& pass, RouterStats& stats) const;
  Tensor kept(const char* name, const Pass& pass) const;  // absent when it is not kept

  Backend* backend_;
  std::string prefix_;
  int layer_;
  std::int64_t num_experts_;
  std::int64_t top_k_;
  kernels::RouterOptions options_;
  LoadBalance balance_;
  TokenShare share_;
  double z_loss_coeff_;
  double bias_update_rate_;
  double jitter_;
  Param* weight_;
  Param* bias_ = nullptr;
};

}  // namespace tera::nn
