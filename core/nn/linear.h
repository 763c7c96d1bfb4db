// Linear: y = x W^T + b, and what adapters of W add. A building block of modules: it keeps nothing,
// its owner holds x and dy.
#pragma once
#include <string>

#include "core/nn/adapters.h"
#include "core/nn/param_store.h"

namespace tera::nn {

class Linear {
 public:
  // Parameters `name`.weight [N, K] and, when the store has it, `name`.bias [N].
  Linear(ParamStore& store, const std::string& name);

  Tensor forward(const Tensor& x) const;                 // x [T, K] -> y [T, N], workspace
  void forward(const Tensor& x, const Tensor& y) const;  // into y, rows may be strided
  Tensor backward_input(const Tensor& dy) const;         // dy [T, N] -> dx [T, K], workspace
  void backward_weight(
      const Tensor& dy,
      const Tensor& x);  // grads += dy^T x, sum over T of dy; frozen ones have none

  // The same for rows [first, first + n) of W alone, without the bias: y [T, n], dy [T, n].
  // Adapters must cover all rows.
  void forward_rows(const kernels::View& x, std::int64_t first, const kernels::View& y) const;
  void backward_input_rows(const kernels::View& dy,
                           std::int64_t first,
                           const kernels::View& dx) const;

  const Tensor& weight() const { return weight_->value; }  // [N, K]
  std::int64_t out_features() const { return weight_->slice.shape[0]; }
  std::int64_t in_features() const { return weight_->slice.shape[1]; }

 private:
  Backend* backend_;
  Param* weight_;
  Param* bias_ = nullptr;
  bool adds_bias_ = false;  // of ranks whose products are summed, the first does
  Adapters adapters_;
};

}  // namespace tera::nn
