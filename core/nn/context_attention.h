// What every way of context ranks to attend to each other's tokens is to SequenceAttention.
// Letters: T tokens of this rank, A query heads, G key-value heads, D and Dv dims of keys and
// values.
#pragma once
#include "core/nn/context_parallel.h"

namespace tera::nn {

struct AttentionRule {
  kernels::AttentionOptions options;
  int window = 0;  // tokens that one sees, itself included; 0: all
};

class ContextAttention {
 public:
  virtual ~ContextAttention() = default;

  struct Inputs {
    const Tensor& q;  // [T, A, D]
    const Tensor& k;  // [T, G, D]
    const Tensor& v;  // [T, G, Dv]
  };
  struct Outputs {
    const Tensor& out;  // [T, A, Dv]
    const Tensor& lse;  // of T A elements a, in the order of forward
  };
  struct Gradients {  // [T, heads, dims], rows strided
    kernels::View dq;
    kernels::View dk;
    kernels::View dv;
  };
  // Over the whole sequences. Fills the outputs.
  virtual void forward(const Inputs& inputs, const Batch& batch, const Outputs& outputs) const = 0;
  // d_out [T, A, Dv], rows strided; the outputs are those of forward.
  virtual void backward(const kernels::View& d_out,
                        const Inputs& inputs,
                        const Outputs& outputs,
                        const Batch& batch,
                        const Gradients& gradients) const = 0;
};

}  // namespace tera::nn
