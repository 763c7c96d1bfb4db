// MoeLayer: the Mixture-of-Experts branch: route, dispatch, compute, combine; shared experts
// beside.
//   y_t = sum_k gate_tk expert_{index_tk}(x_t) + shared(x_t)
#pragma once
#include <optional>
#include <string>

#include "core/nn/expert_parallel.h"
#include "core/nn/gathered_experts.h"
#include "core/nn/router.h"
#include "core/nn/shared_experts.h"
#include "core/nn/token_dispatcher.h"

namespace tera::nn {

// Keeps the moe.* entries of the stash table; reads `input`, the stash entry that holds its input,
// in backward_weight.
class MoeLayer final : public Module {
 public:
  MoeLayer(ParamStore& store, const spec::ModelConfig& config, int layer, std::string input);

  Tensor forward(const Tensor& x, Pass& pass) override;  // [T, H] -> [T, H]
  Tensor backward_input(const Tensor& dy, Pass& pass) override;
  void backward_weight(Pass& pass) override;
  bool reads_input_early(const Pass& pass) const override {
    return gathered_ ? gathered_->reads_input(pass) : experts_->reads_input(pass);
  }

  Router& router() { return router_; }

 private:
  Tensor add_rows(const Tensor& rows, const Tensor& shared, const Pass& pass) const;

  int layer_;
  std::string input_;
  Router router_;
  TokenDispatcher dispatcher_;
  std::optional<ExpertParallel> experts_;  // one of these
  std::optional<GatheredExperts> gathered_;
  std::optional<SharedExperts> shared_part_;  // this rank's columns
  std::optional<TensorParallel> shared_;
};

}  // namespace tera::nn
