// TokenLosses: the loss of each token, -log softmax(logits)[target], and its gradient.
#pragma once
#include <cstdint>

#include "core/comm/communicator.h"
#include "core/tensor/tensor.h"

namespace tera::nn {

class TokenLosses {
 public:
  // logits [n, V] a, targets [n] i32, -1 for none; both stay in use. words: the ranks that share
  // the vocabulary out, as many words each; null: all of it is here.
  TokenLosses(const Tensor& logits, const Tensor& targets, comm::Communicator* words = nullptr);

  double loss(std::int64_t t) const;  // natural log; 0 without a target
  double sum() const;
  // The logits become scale d sum / d logits.
  void backward(double scale) const;

 private:
  kernels::SoftmaxRows rows() const { return {highest_, total_}; }
  void combine(comm::Communicator& words);

  Tensor logits_;   // [n, V]
  Tensor targets_;  // [n]
  std::int64_t first_word_;
  Tensor highest_;    // [n] a, of the whole vocabulary
  Tensor total_;      // [n] a, of the whole vocabulary
  Tensor at_target_;  // [n] a
};

}  // namespace tera::nn
