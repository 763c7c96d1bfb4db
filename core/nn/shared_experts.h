// SharedExperts: the feed-forward beside the routed experts that sees every token, with an optional
// gate per token:
//   y_t = sigmoid(w . x_t) out(act(in(x_t)))
// The gate is applied to the activation, as in Experts, so no expert output is kept.
// Source: Qwen2-MoE, shared_expert and shared_expert_gate.
#pragma once
#include <string>

#include "core/nn/mlp.h"
#include "core/nn/module.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// Keeps <prefix>.inner and <prefix>.act (mlp.h) and, with a gate, <prefix>.gate [T, 1] a.
class SharedExperts final : public Module {
 public:
  // prefix: "layers.3.moe.shared"; parameters <prefix>.in, <prefix>.out and, with a gate,
  // <prefix>.gate.weight [1, H]; input: the stash entry that holds x.
  SharedExperts(ParamStore& store,
                const spec::ModelConfig& config,
                std::string prefix,
                std::string input);

  Tensor forward(const Tensor& x, Pass& pass) override;  // [T, H] -> [T, H]
  Tensor backward_input(const Tensor& dy, Pass& pass) override;
  void backward_weight(Pass& pass) override;

 private:
  Tensor put_gate(const Tensor& x, Pass& pass) const;

  std::string prefix_;
  std::string input_;
  Mlp mlp_;
  Param* gate_ = nullptr;
};

}  // namespace tera::nn
