// Mlp: the dense feed-forward branch, out(act(in(x))); also the shared experts of a MoE layer.
#pragma once
#include <string>

#include "core/nn/linear.h"
#include "core/nn/module.h"
#include "core/spec/model_config.h"

namespace tera::nn {

kernels::Activation activation_type(spec::ActivationKind kind);

// Keeps <prefix>.inner [T, F or 2F] and, unless it is computed again, <prefix>.act [T, F]; releases
// them in backward_weight.
class Mlp final : public Module {
 public:
  // prefix: "layers.3.ffn", parameters <prefix>.in and <prefix>.out; input: the stash entry that
  // holds x.
  Mlp(ParamStore& store, spec::ActivationKind activation, std::string prefix, std::string input);

  Tensor forward(const Tensor& x, Pass& pass) override { return forward(x, {}, pass); }
  Tensor backward_input(const Tensor& dy, Pass& pass) override {
    return backward_input(dy, {}, {}, pass);
  }
  // out(scale act(in(x))): x [T, H] -> [T, H], row_scale [T] a or absent (1).
  Tensor forward(const Tensor& x, const Tensor& row_scale, Pass& pass);
  // Also writes the gradient at row_scale.
  Tensor backward_input(const Tensor& dy,
                        const Tensor& row_scale,
                        const Tensor& d_row_scale,
                        Pass& pass);
  void backward_weight(Pass& pass) override;

 private:
  kernels::Activation activation_;
  std::string prefix_;
  std::string input_;
  Linear in_;
  Linear out_;
};

}  // namespace tera::nn
