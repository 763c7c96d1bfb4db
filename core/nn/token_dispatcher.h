// TokenDispatcher: moves token vectors to expert order and back. Row order inside an expert is
// (token, k), fixed, so sums and results are the same in every run.
// R = T K routed rows: every choice of every token is served (dropless).
#pragma once
#include <string>

#include "core/nn/module.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// Keeps <prefix>.offsets [E + 1] i64, <prefix>.rows [T, K] i32 and <prefix>.permuted [R, H] c.
class TokenDispatcher {
 public:
  TokenDispatcher(const spec::ModelConfig& config, std::string prefix);

  Tensor dispatch(const Tensor& x, const Tensor& indices, Pass& pass) const;  // [T, H] -> [R, H]
  Tensor dispatch_gates(const Tensor& gates, const Pass& pass) const;         // [T, K] -> [R]
  // x[t] (+)= sum of the rows of token t, k in order; y [R, H], x [T, H].
  void combine(const Tensor& y, const Tensor& x, bool accumulate, const Pass& pass) const;

  // Backward of combine: every row of a token receives the token's gradient. dy [T, H] -> [R, H].
  Tensor combine_backward(const Tensor& dy, const Pass& pass) const;
  Tensor gates_backward(const Tensor& d_row_gates, const Pass& pass) const;  // [R] -> [T, K]

  const Tensor& offsets(const Pass& pass) const { return pass.stash.get(prefix_ + ".offsets"); }
  const Tensor& permuted(const Pass& pass) const { return pass.stash.get(prefix_ + ".permuted"); }
  void release(Pass& pass) const;

 private:
  const Tensor& rows(const Pass& pass) const { return pass.stash.get(prefix_ + ".rows"); }

  std::string prefix_;
  std::int64_t num_experts_;
};

}  // namespace tera::nn
