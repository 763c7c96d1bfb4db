// Experts: the feed-forward networks of a MoE layer on rows in expert order, one product for all.
// The gate of a row is applied to its activation, so that the backward of the gate needs no expert
// output: d gate = <d act, act before the gate>. R routed rows.
#pragma once
#include <string>

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
    Tensor permuted;   // [R, H] input
    Tensor offsets;    // [E + 1] i64
    Tensor row_gates;  // [R] a
  };
  Tensor forward(const Rows& rows, Pass& pass);  // -> [R, H], workspace

  struct InputGradient {
    Tensor permuted;   // [R, H]
    Tensor row_gates;  // [R] a
  };
  InputGradient backward_input(const Tensor& dy, const Rows& rows, Pass& pass);  // dy [R, H]
  // Only permuted and offsets of `rows` are read.
  void backward_weight(const Rows& rows, Pass& pass);

 private:
  kernels::Activation activation_;
  std::string prefix_;
  Param* in_;
  Param* out_;
};

}  // namespace tera::nn
