// Experts: the feed-forward networks of a MoE layer on rows in expert order, one product for all.
// The gate of a row is applied to its activation, so that the backward of the gate needs no expert
// output: d gate = <d act, act before the gate>. N rows in use, in buffers of R
// (token_dispatcher.h).
#pragma once
#include <string>

#include "core/nn/adapters.h"
#include "core/nn/module.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// Keeps <prefix>.inner [R, F or 2F] and <prefix>.act [R, F].
class Experts {
 public:
  // prefix: "layers.3.moe"; parameters <prefix>.experts.in.weight [E, F or 2F, H] and
  // <prefix>.experts.out.weight [E, H, F].
  Experts(ParamStore& store, const spec::ModelConfig& config, std::string prefix);

  // Rows of expert e are [offsets[e], offsets[e + 1]).
  struct Rows {
    Tensor permuted;               // [N, H] input
    Tensor offsets;                // [E + 1] i64
    Tensor row_gates;              // [N] a
    std::int64_t buffer_rows = 0;  // R
  };
  Tensor forward(const Rows& rows, Pass& pass);  // -> [N, H], workspace

  struct InputGradient {
    Tensor permuted;   // [N, H]
    Tensor row_gates;  // [N] a
  };
  InputGradient backward_input(const Tensor& dy, const Rows& rows, Pass& pass);  // dy [N, H]
  // row_gates is not read.
  void backward_weight(const Rows& rows, Pass& pass);

 private:
  kernels::Activation activation_;
  std::string prefix_;
  Param* in_;
  Param* out_;
  Adapters in_adapters_;
  Adapters out_adapters_;
};

}  // namespace tera::nn
