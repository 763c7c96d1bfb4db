// Adapters: the low-rank adapters of one matrix, y += scale B (A x) in the rows each adapts. Beside
// a Linear (rows of x are tokens) or the stacked matrices of Experts (rows in expert order). They
// keep nothing: A x is made again in backward, from the x their owner holds. Products are in f32
// whatever x is. Source: Hu et al. 2022, LoRA.
// Letters: K columns of the matrix, N its rows, r rank; M rows of x.
#pragma once
#include <string>
#include <vector>

#include "core/nn/param_store.h"

namespace tera::nn {

class Adapters {
 public:
  // Those of the store that adapt `weight`; often none.
  Adapters(ParamStore& store, const std::string& weight);

  // Of a matrix [N, K].
  void forward(const Tensor& x, const Tensor& y) const;           // x [M, K], y [M, N] +=
  void backward_input(const Tensor& dy, const Tensor& dx) const;  // dy [M, N], dx [M, K] +=
  void backward_weight(const Tensor& dy, const Tensor& x);        // grads of A and B

  // The same for rows [first, first + n) of the matrix, when every adapter covers all of them.
  void forward_rows(const kernels::View& x,  // [M, K]
                    std::int64_t first,
                    const kernels::View& y) const;   // [M, n]
  void backward_input_rows(const kernels::View& dy,  // [M, n]
                           std::int64_t first,
                           const kernels::View& dx) const;  // [M, K]

  // Of matrices [E, N, K]: rows [offsets[e], offsets[e + 1]) belong to expert e. buffer_rows: of
  // the buffers made on the way, so that their size is the same in every step.
  struct Groups {
    Tensor offsets;  // [E + 1] i64
    std::int64_t buffer_rows = 0;
  };
  void forward(const Tensor& x, const Groups& groups, const Tensor& y) const;
  void backward_input(const Tensor& dy, const Groups& groups, const Tensor& dx) const;
  void backward_weight(const Tensor& dy, const Tensor& x, const Groups& groups);

 private:
  struct Pair {
    Param* a;  // [r, K], [E, r, K]
    Param* b;  // [count, r], [E, count, r]
    plan::AdaptedRows rows;
  };

  Backend* backend_;
  std::vector<Pair> pairs_;
};

}  // namespace tera::nn
