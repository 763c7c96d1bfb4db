// The tokens of a micro-batch that a rank routes and sends to experts: of the sequences' parts that
// its context rank has, those of its part of the residual stream. Models with experts split that
// among tensor ranks (sequence parallelism); else every rank would send every token.
#pragma once
#include "core/nn/context_parallel.h"
#include "core/nn/tensor_parallel.h"

namespace tera::nn {

class TokenShare {
 public:
  explicit TokenShare(const ParamStore& store);

  int num_ranks() const { return tensor_.size() * context_.size(); }
  bool is_all() const { return num_ranks() == 1; }
  // Tokens of the micro-batch, T.
  std::int64_t num_tokens(const Batch& batch) const {
    return std::int64_t{batch.batch_size} * batch.seq_length * context_.size();
  }
  // Which of them is token `own` of this rank, which has `count` of them. In their order.
  std::int64_t token(std::int64_t own, std::int64_t count, const Batch& batch) const;
  // [T / n, W] of every rank -> [T, W].
  Tensor gather(const Tensor& own, const Batch& batch) const {
    return context_.gather(tensor_.gather(own), batch.batch_size);
  }
  // The ranks that share out the tokens of the batch's part of the sequences.
  const TensorGroup& tensor_ranks() const { return tensor_; }

 private:
  TensorGroup tensor_;
  ContextGroup context_;
};

}  // namespace tera::nn
