// LoadBalance: the auxiliary loss that keeps the experts of a layer equally busy.
//
// Per block b of tokens, with p_te the share of expert e in the scores of token t (softmax: the
// score; sigmoid: the score over the sum of the token's scores), P_e(b) the mean of p_te over the
// block, and w_b the block's share of the global batch, the loss of a step is
//   c E sum_b w_b sum_e f_e(b) P_e(b)
// f_e(b) is the share of choices that took expert e, counted before any drop and without gradient:
//   micro_batch   blocks are micro-batches; f over the block. Depends on how the batch is cut.
//   sequence      blocks are sequences; f over the block.
//   global_batch  blocks are sequences; f over all sequences of the step up to b, itself included,
//   in
//                 the order of ORDER.md: those of earlier micro-batches and of lower ranks in the
//                 same one too. Counts are gathered over the replicas once per layer and
//                 micro-batch.
// ORDER.md puts a sequence at the same place however the batch is cut, so the last two do not
// depend on the number of micro-batches or replicas. At perfect balance the loss is c. Sources:
// Fedus et al. 2021, eq. 4 (micro-batch); DeepSeek-V3, 2024, eq. 17 (sequence); Qiu et al. 2025,
// Demons in the Detail (running counts over the global batch).
#pragma once
#include <cstdint>
#include <vector>

#include "core/nn/module.h"
#include "core/nn/token_share.h"
#include "core/spec/model_config.h"

namespace tera::nn {

class LoadBalance {
 public:
  explicit LoadBalance(const spec::ModelConfig& config);

  bool active() const { return coefficient_ > 0; }
  // d loss / d p_te: element (b, e) of `weights` [blocks, E] a for every token t of block b.
  // indices [T, K], of the whole micro-batch. The running counts are those of `stats`; without any
  // the step starts here.
  void fill_weights(const Tensor& indices,
                    const Pass& pass,
                    RouterStats* stats,
                    const Tensor& weights) const;
  std::int64_t num_blocks(const Batch& batch) const;
  // The weights [B, E] of a rank's tokens, which are B blocks of equal length.
  Tensor of_share(const Tensor& weights, const TokenShare& share, const Pass& pass) const;
  // Of this micro-batch, or of a share of it with its weights: sum over its tokens of weights x
  // shares. scores [T, E].
  double loss(const Tensor& scores, const Tensor& weights) const;

 private:
  using Counts = std::vector<std::int64_t>;  // [blocks, E]
  Counts count(const Tensor& indices, std::int64_t num_blocks) const;
  void run_up(Counts& counts, const Pass& pass, RouterStats* stats) const;

  std::int64_t num_experts_;
  double coefficient_;
  spec::AuxLossScope scope_;
  bool normalise_;  // scores of a token do not add up to 1
};

}  // namespace tera::nn
