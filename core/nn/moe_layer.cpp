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
      dispatcher_(store, config, prefix_of(layer)),
      experts_(store, config, prefix_of(layer), dispatcher_) {
  if (config.num_shared_experts == 0) return;
  shared_part_.emplace(store, config, prefix_of(layer) + ".shared",
                       TensorParallel::part_input(store, input_));
  shared_.emplace(store, *shared_part_, input_);
}

Tensor MoeLayer::forward(const Tensor& x, Pass& pass) {
  RouterStats* const stats = pass.stats_of(layer_);
  router_.forward(x, pass, stats);
  dispatcher_.dispatch(router_.indices(pass), router_.gates(pass), pass, stats);
  ExpertParallel::Sent sent = experts_.send(x, router_.gates(pass), pass);
  const Tensor shared = shared_ ? shared_->forward(x, pass) : Tensor{};  // while rows travel
  return add_routed(experts_.forward(std::move(sent), pass), shared, pass);
}

Tensor MoeLayer::backward_input(const Tensor& dy, Pass& pass) {
  const Tensor x = reads_input_early(pass) ? pass.stash.get(input_) : Tensor{};
  ExpertParallel::Sent sent = experts_.send_gradient(dy, router_.gates(pass), pass);
  const Tensor shared = shared_ ? shared_->backward_input(dy, pass) : Tensor{};
  const Experts::InputGradient routed = experts_.backward_input(std::move(sent), x, pass);
  Tensor dx = add_routed(routed.permuted, shared, pass);
  router_.backward_input(dispatcher_.gates_backward(routed.row_gates, pass), dx, pass);
  return dx;
}

void MoeLayer::backward_weight(Pass& pass) {
  if (shared_) shared_->backward_weight(pass);
  experts_.backward_weight(pass);
  router_.backward_weight(pass.stash.get(input_), pass);
  dispatcher_.release(pass);
}

// The sums of the rows of every token, on top of `shared` where it is present.
Tensor MoeLayer::add_routed(const Tensor& routed, const Tensor& shared, const Pass& pass) const {
  Tensor sum = shared.present()
                   ? shared
                   : Tensor::empty(routed.backend(), {router_.indices(pass).dim(0), routed.dim(1)},
                                   routed.dtype(), MemoryKind::workspace);
  dispatcher_.combine(routed, sum, shared.present(), pass);
  return sum;
}

}  // namespace tera::nn
