// TokenDispatcher: moves token vectors to expert order and back. Row order inside an expert is
// (token, k), fixed, so sums and results are the same in every run.
//
// Buffers have a fixed number of rows, the same for every batch of T tokens, which no imbalance
// exceeds: one expert may take every token, another none; it costs time, never memory.
//   dropless     R = T K: every choice of every token is served.
//   capacity C   R = min(T K, E C): in training each expert serves at most C rows, those of the
//                largest gates or of the first tokens (capacity_policy). Other choices contribute
//                nothing; the gates of a token are not normalised again. Rows are packed: the
//                unused ones are at the end and nobody reads them, so no time goes into padding.
//                Evaluation is dropless.
//   padded       R = E C: expert e has the rows from e C on, zero where no token is (capacity_pad).
//   expert choice: every token names all experts, in training and evaluation each serves its C
//                largest gates; R = E C.
// Sources: Fedus et al. 2021, section 2.2 (capacity); Zhou et al. 2022 (expert choice).
#pragma once
#include <string>

#include "core/nn/module.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// Keeps <prefix>.offsets [E + 1] i64, <prefix>.rows [T, K] i32 (-1: not served) and
// <prefix>.permuted [R, H] c. Experts compute the first offsets[E] = N rows; what members take and
// give as [N, ...] lies at the beginning of buffers of R rows.
class TokenDispatcher {
 public:
  TokenDispatcher(const spec::ModelConfig& config, std::string prefix);

  // Decides who is served, moves x [T, H], and adds the counts to `stats` (may be null).
  void dispatch(const Tensor& x,
                const Tensor& indices,
                const Tensor& gates,
                Pass& pass,
                RouterStats* stats) const;
  Tensor dispatch_gates(const Tensor& gates, const Pass& pass) const;  // [T, K] -> [N]
  // x[t] (+)= sum of the rows of token t, k in order; y [N, H], x [T, H].
  void combine(const Tensor& y, const Tensor& x, bool accumulate, const Pass& pass) const;

  // Backward of combine: every row of a token receives the token's gradient. dy [T, H] -> [N, H].
  Tensor combine_backward(const Tensor& dy, const Pass& pass) const;
  Tensor gates_backward(const Tensor& d_row_gates, const Pass& pass) const;  // [N] -> [T, K]

  const Tensor& offsets(const Pass& pass) const { return pass.stash.get(prefix_ + ".offsets"); }
  Tensor permuted(const Pass& pass) const;           // [N, H]
  std::int64_t buffer_rows(const Pass& pass) const;  // R
  void release(Pass& pass) const;

 private:
  const Tensor& rows(const Pass& pass) const { return pass.stash.get(prefix_ + ".rows"); }
  std::int64_t num_rows(const Pass& pass) const;  // N
  bool pads(const Pass& pass) const { return config_.capacity_pad && pass.training; }
  void move(const Tensor& x, const Tensor& to, const Pass& pass) const;  // [T, H] -> [N, H]
  void record(const Tensor& indices, const Pass& pass, RouterStats& stats) const;

  std::string prefix_;
  spec::ModelConfig config_;
};

}  // namespace tera::nn
