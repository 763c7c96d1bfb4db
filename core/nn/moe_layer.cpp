#include "core/nn/moe_layer.h"

#include <utility>

#include <fmt/format.h>

namespace tera::nn {
namespace {

std::string prefix_of(int layer) {
  return fmt::format("layers.{}.moe", layer);
}

bool gathers(const ParamStore& store) {
  return store.parallel().expert_dispatcher == spec::ExpertDispatcher::all_gather &&
         ExpertExchange(store).active();
}

// Into `routed`, where shared experts are present.
Tensor with_shared(Tensor routed, const Tensor& shared) {
  if (shared.present())
    routed.backend().ops().add(routed.backend().context(), shared, routed, routed);
  return routed;
}

}  // namespace

MoeLayer::MoeLayer(ParamStore& store, const spec::ModelConfig& config, int layer, std::string input)
    : layer_(layer),
      input_(std::move(input)),
      router_(store, config, layer, prefix_of(layer)),
      dispatcher_(store, config, prefix_of(layer)) {
  if (gathers(store)) {
    gathered_.emplace(store, config, prefix_of(layer), dispatcher_);
  } else {
    experts_.emplace(store, config, prefix_of(layer), dispatcher_);
  }
  if (config.num_shared_experts == 0) return;
  shared_part_.emplace(store, config, prefix_of(layer) + ".shared",
                       TensorParallel::part_input(store, input_));
  shared_.emplace(store, *shared_part_, input_);
}

Tensor MoeLayer::forward(const Tensor& x, Pass& pass) {
  RouterStats* const stats = pass.stats_of(layer_);
  router_.forward(x, pass, stats);
  dispatcher_.dispatch(router_.indices(pass), router_.gates(pass), pass, stats);
  const auto shared = [&] { return shared_ ? shared_->forward(x, pass) : Tensor{}; };
  if (gathered_) {
    GatheredExperts::Sent sent = gathered_->send(x, router_.gates(pass), pass);
    const Tensor beside = shared();  // while tokens travel
    return with_shared(gathered_->forward(std::move(sent), pass), beside);
  }
  ExpertParallel::Sent sent = experts_->send(x, router_.gates(pass), pass);
  const Tensor beside = shared();  // while rows travel
  return add_rows(experts_->forward(std::move(sent), pass), beside, pass);
}

Tensor MoeLayer::backward_input(const Tensor& dy, Pass& pass) {
  const Tensor x = reads_input_early(pass) ? pass.stash.get(input_) : Tensor{};
  const Tensor& gates = router_.gates(pass);
  const auto shared = [&] { return shared_ ? shared_->backward_input(dy, pass) : Tensor{}; };
  if (gathered_) {
    GatheredExperts::Sent sent = gathered_->send_gradient(dy);
    const Tensor beside = shared();
    const GatheredExperts::InputGradient routed =
        gathered_->backward_input(std::move(sent), x, gates, pass);
    Tensor dx = with_shared(routed.tokens, beside);
    router_.backward_input(routed.gates, dx, pass);
    return dx;
  }
  ExpertParallel::Sent sent = experts_->send_gradient(dy, gates, pass);
  const Tensor beside = shared();
  const Experts::InputGradient routed = experts_->backward_input(std::move(sent), x, pass);
  Tensor dx = add_rows(routed.permuted, beside, pass);
  router_.backward_input(dispatcher_.gates_backward(routed.row_gates, pass), dx, pass);
  return dx;
}

void MoeLayer::backward_weight(Pass& pass) {
  if (shared_) shared_->backward_weight(pass);
  gathered_ ? gathered_->backward_weight(pass) : experts_->backward_weight(pass);
  router_.backward_weight(pass.stash.get(input_), pass);
  dispatcher_.release(pass);
}

// The sums of the rows of every token, on top of `shared` where it is present.
Tensor MoeLayer::add_rows(const Tensor& rows, const Tensor& shared, const Pass& pass) const {
  Tensor sum = shared.present()
                   ? shared
                   : Tensor::empty(rows.backend(), {router_.indices(pass).dim(0), rows.dim(1)},
                                   rows.dtype(), MemoryKind::workspace);
  dispatcher_.combine(rows, sum, shared.present(), pass);
  return sum;
}

}  // namespace tera::nn
