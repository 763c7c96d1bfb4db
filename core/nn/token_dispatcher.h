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
// Tensor and context ranks each move the rows of their own tokens, R at most T K of them; who is
// served is decided over all tokens of the micro-batch alike, and nothing is padded. Sources: Fedus
// et al. 2021, section 2.2 (capacity); Zhou et al. 2022 (expert choice).
#pragma once
#include <string>

#include "core/nn/module.h"
#include "core/nn/token_share.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// Keeps <prefix>.offsets [E + 1] i64 and <prefix>.rows [T, K] i32 (-1: not served). The first
// offsets[E] = N rows are in use; what members take and give as [N, ...] lies at the beginning of
// buffers of R rows.
class TokenDispatcher {
 public:
  TokenDispatcher(const ParamStore& store, const spec::ModelConfig& config, std::string prefix);

  // Decides who is served, and adds the counts to `stats` (may be null). indices, gates [T, K].
  void dispatch(const Tensor& indices, const Tensor& gates, Pass& pass, RouterStats* stats) const;
  // Every row of a token becomes the token's, those of no token are zero: x [T, H] -> [N, H].
  Tensor permuted(const Tensor& x, const Pass& pass) const;
  void permute(const Tensor& x, const Tensor& buffer, const Pass& pass) const;  // buffer [R, H]
  Tensor dispatch_gates(const Tensor& gates, const Pass& pass) const;           // [T, K] -> [N]
  // x[t] (+)= sum of the rows of token t, k in order; y [N, H], x [T, H].
  void combine(const Tensor& y, const Tensor& x, bool accumulate, const Pass& pass) const;
  Tensor gates_backward(const Tensor& d_row_gates, const Pass& pass) const;  // [N] -> [T, K]

  const Tensor& offsets(const Pass& pass) const { return pass.stash.get(prefix_ + ".offsets"); }
  const Tensor& rows(const Pass& pass) const { return pass.stash.get(prefix_ + ".rows"); }
  std::int64_t num_rows(const Pass& pass) const;     // N
  std::int64_t buffer_rows(const Pass& pass) const;  // R
  // Rows of the micro-batch that fall to each of the ranks that share its tokens, rounded up.
  std::int64_t even_rows(const Pass& pass) const;
  // [N, width] in the dtype of `like`.
  Tensor workspace(std::int64_t width, const Tensor& like, const Pass& pass) const;
  void release(Pass& pass) const;

 private:
  bool limits(const Pass& pass) const {
    return pass.training || config_.router_choice == spec::RouterChoice::expert;
  }
  std::int64_t all_rows(const Pass& pass) const;
  bool pads(const Pass& pass) const {
    return config_.capacity_pad && pass.training && share_.is_all();
  }
  void move(const Tensor& x, const Tensor& to, const Pass& pass) const;  // [T, H] -> [N, H]
  void dispatch_share(const Tensor& all_rows,
                      const Tensor& indices,
                      const Batch& batch,
                      const Tensor& offsets,
                      const Tensor& rows) const;
  void record(const Tensor& indices, const Pass& pass, RouterStats& stats) const;

  std::string prefix_;
  spec::ModelConfig config_;
  TokenShare share_;
};

}  // namespace tera::nn
