#include "core/nn/moe_layer.h"

#include <utility>

#include <fmt/format.h>

namespace tera::nn {
namespace {

std::string prefix_of(int layer) {
  return fmt::format("layers.{}.moe", layer);
}

}  // namespace

MoeLayer::MoeLayer(ParamStore& store, const spec::ModelConfig& config, int layer, std::string input)
    : layer_(layer),
      input_(std::move(input)),
      router_(store, config, layer, prefix_of(layer)),
      dispatcher_(config, prefix_of(layer)),
      experts_(store, config, prefix_of(layer)) {
  if (config.num_shared_experts > 0) {
    shared_.emplace(store, config, prefix_of(layer) + ".shared", input_);
  }
}

Tensor MoeLayer::forward(const Tensor& x, Pass& pass) {
  RouterStats* const stats = pass.stats_of(layer_);
  router_.forward(x, pass, stats);
  dispatcher_.dispatch(x, router_.indices(pass), router_.gates(pass), pass, stats);
  const Tensor routed = experts_.forward(rows(pass), pass);  // [N, H]
  Tensor y =
      shared_ ? shared_->forward(x, pass)
              : Tensor::empty(x.backend(), {x.dim(0), x.dim(1)}, x.dtype(), MemoryKind::workspace);
  dispatcher_.combine(routed, y, shared_.has_value(), pass);
  return y;
}

Tensor MoeLayer::backward_input(const Tensor& dy, Pass& pass) {
  const Experts::InputGradient routed =
      experts_.backward_input(dispatcher_.combine_backward(dy, pass), rows(pass), pass);
  Tensor dx = shared_ ? shared_->backward_input(dy, pass)
                      : Tensor::empty(dy.backend(), {dy.dim(0), dy.dim(1)}, dy.dtype(),
                                      MemoryKind::workspace);
  dispatcher_.combine(routed.permuted, dx, shared_.has_value(), pass);
  router_.backward_input(dispatcher_.gates_backward(routed.row_gates, pass), dx, pass);
  return dx;
}

void MoeLayer::backward_weight(Pass& pass) {
  if (shared_) shared_->backward_weight(pass);
  experts_.backward_weight({.permuted = dispatcher_.permuted(pass),
                            .offsets = dispatcher_.offsets(pass),
                            .row_gates = {},
                            .buffer_rows = dispatcher_.buffer_rows(pass)},
                           pass);
  router_.backward_weight(pass.stash.get(input_), pass);
  dispatcher_.release(pass);
}

Experts::Rows MoeLayer::rows(const Pass& pass) const {
  return {.permuted = dispatcher_.permuted(pass),
          .offsets = dispatcher_.offsets(pass),
          .row_gates = dispatcher_.dispatch_gates(router_.gates(pass), pass),
          .buffer_rows = dispatcher_.buffer_rows(pass)};
}

}  // namespace tera::nn
