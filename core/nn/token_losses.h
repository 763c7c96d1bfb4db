// TokenLosses: the loss of each token, -log softmax(logits)[target], and its gradient.
#pragma once
#include <cstdint>

#include "core/tensor/tensor.h"

namespace tera::nn {

class TokenLosses {
 public:
  // logits [n, V] a, targets [n] i32, -1 for none; both stay in use.
  TokenLosses(const Tensor& logits, const Tensor& targets);

  double loss(std::int64_t t) const;  // natural log; 0 without a target
  double sum() const;
  // The logits become scale d sum / d logits.
  void backward(double scale) const;

 private:
  kernels::SoftmaxRows rows() const { return {highest_, total_}; }

  Tensor logits_;     // [n, V]
  Tensor targets_;    // [n]
  Tensor highest_;    // [n] a
  Tensor total_;      // [n] a
  Tensor at_target_;  // [n] a
};

}  // namespace tera::nn
