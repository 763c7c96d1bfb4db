// The tokens of a micro-batch that a tensor rank routes and sends to experts: those of its part of
// the residual stream. Models with experts split it (sequence parallelism); else every rank would
// send every token.
#pragma once
#include "core/nn/tensor_parallel.h"

namespace tera::nn {

class TokenShare {
 public:
  explicit TokenShare(const ParamStore& store);

  int num_ranks() const { return group_.size(); }
  bool is_all() const { return num_ranks() == 1; }
  // The first token of this rank, where each has `count`.
  std::int64_t first(std::int64_t count) const { return group_.first_row(count); }
  // [T / n, W] of every rank -> [T, W].
  Tensor gather(const Tensor& own) const { return group_.gather(own); }

 private:
  TensorGroup group_;
};

}  // namespace tera::nn
