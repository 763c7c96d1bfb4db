// HeadNorm: the RMS norm of queries or keys, over each head or over all of them, with the rotary
// positions behind it. A norm over heads that tensor ranks share out is over those of all ranks:
// each sums over its own, of its input forward and of its gradient backward, and all add these up.
// Letters: A heads, D head dim.
#pragma once
#include <string>

#include "core/nn/param_store.h"
#include "core/nn/rotary.h"
#include "core/nn/stash.h"

namespace tera::nn {

// Keeps <name>_raw [T, A, D] c, its input, and <name>_rstd: [T, A] a of heads, [T] a of all.
class HeadNorm {
 public:
  // name: "layers.3.attention.q"; parameter <name>_norm.weight [D], or [A D] over all heads.
  HeadNorm(ParamStore& store, std::string name, bool per_head, double eps);

  // x [T, A, D] c rows strided, y [T, A, D] c.
  void forward(const kernels::View& x,
               const Rotary& rotary,
               const Tensor& positions,
               const Tensor& y,
               Stash& stash) const;
  // dx may be dy, both [T, A, D] c rows strided.
  void backward_input(const kernels::View& dy,
                      const Rotary& rotary,
                      const Tensor& positions,
                      const kernels::View& dx,
                      Stash& stash) const;
  void backward_weight(Stash& stash);  // releases what was kept

 private:
  void forward_shared(const kernels::View& x,
                      const Tensor& raw,
                      const Tensor& y,
                      const Tensor& rstd) const;
  void backward_shared(const Tensor& d_norm,
                       const Tensor& raw,
                       const Tensor& rstd,
                       const kernels::View& dx) const;
  std::string name_;
  Backend* backend_;
  bool per_head_;
  double eps_;
  Param* weight_;
  comm::Communicator* ranks_;  // that share out the heads of one norm; null: none
};

}  // namespace tera::nn
