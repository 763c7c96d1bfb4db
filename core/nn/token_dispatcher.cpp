#include "core/nn/token_dispatcher.h"

#include <algorithm>
#include <utility>

namespace tera::nn {

TokenDispatcher::TokenDispatcher(const spec::ModelConfig& config, std::string prefix)
    : prefix_(std::move(prefix)), config_(config) {}

void TokenDispatcher::dispatch(const Tensor& x,
                               const Tensor& indices,
                               const Tensor& gates,
                               Pass& pass,
                               RouterStats* stats) const {
  Backend& backend = x.backend();
  const kernels::OpTable& ops = backend.ops();
  const bool limited = pass.training || config_.router_choice == spec::RouterChoice::expert;
  const std::int64_t capacity = limited ? config_.expert_capacity(x.dim(0)) : 0;
  const Tensor offsets =
      pass.stash.put(prefix_ + ".offsets", {config_.num_experts + 1}, DType::i64);
  const Tensor to_rows =
      pass.stash.put(prefix_ + ".rows", {indices.dim(0), indices.dim(1)}, DType::i32);
  const bool by_gate = config_.capacity_policy == spec::CapacityPolicy::probability;
  ops.moe_dispatch(backend.context(), indices, by_gate ? gates.view() : kernels::View{},
                   {.capacity = capacity, .pad = pads(pass)}, offsets, to_rows);
  const std::int64_t buffer = limited ? config_.routed_rows(x.dim(0)) : indices.num_elements();
  pass.stash.put(prefix_ + ".permuted", {buffer, x.dim(1)}, x.dtype());
  move(x, permuted(pass), pass);
  if (stats != nullptr) record(indices, pass, *stats);
}

void TokenDispatcher::record(const Tensor& indices, const Pass& pass, RouterStats& stats) const {
  stats.expert_tokens.resize(static_cast<std::size_t>(config_.num_experts));
  if (config_.router_choice == spec::RouterChoice::token) {
    const auto* expert = indices.data<const std::int32_t>();
    for (std::int64_t i = 0; i < indices.num_elements(); ++i)
      ++stats.expert_tokens[static_cast<std::size_t>(expert[i])];
    const auto* row = rows(pass).data<const std::int32_t>();
    stats.offered += indices.num_elements();
    stats.dropped += std::count(row, row + indices.num_elements(), -1);
    return;
  }
  const auto* offset = offsets(pass).data<const std::int64_t>();
  for (std::size_t e = 0; e < stats.expert_tokens.size(); ++e)
    stats.expert_tokens[e] += offset[e + 1] - offset[e];
  const auto* row = rows(pass).data<const std::int32_t>();
  for (std::int64_t t = 0; t < indices.dim(0); ++t, row += indices.dim(1)) {
    ++stats.offered;
    stats.dropped += std::all_of(row, row + indices.dim(1), [](std::int32_t r) { return r < 0; });
  }
}

// Every row of a token becomes the token's; those of no token are zero.
void TokenDispatcher::move(const Tensor& x, const Tensor& to, const Pass& pass) const {
  Backend& backend = x.backend();
  if (pads(pass)) backend.ops().zero(backend.context(), to);
  backend.ops().moe_permute(backend.context(), x, rows(pass), to);
}

Tensor TokenDispatcher::dispatch_gates(const Tensor& gates, const Pass& pass) const {
  Backend& backend = gates.backend();
  Tensor row_gates =
      Tensor::empty(backend, {buffer_rows(pass)}, gates.dtype(), MemoryKind::workspace)
          .slice(0, 0, num_rows(pass));
  if (pads(pass)) backend.ops().zero(backend.context(), row_gates);
  backend.ops().moe_scatter_gates(backend.context(), gates, rows(pass), row_gates);
  return row_gates;
}

void TokenDispatcher::combine(const Tensor& y,
                              const Tensor& x,
                              bool accumulate,
                              const Pass& pass) const {
  y.backend().ops().moe_unpermute(y.backend().context(), y, rows(pass), x, accumulate);
}

Tensor TokenDispatcher::combine_backward(const Tensor& dy, const Pass& pass) const {
  Backend& backend = dy.backend();
  Tensor d_rows =
      Tensor::empty(backend, {buffer_rows(pass), dy.dim(1)}, dy.dtype(), MemoryKind::workspace)
          .slice(0, 0, num_rows(pass));
  move(dy, d_rows, pass);
  return d_rows;
}

Tensor TokenDispatcher::gates_backward(const Tensor& d_row_gates, const Pass& pass) const {
  const Tensor& to_rows = rows(pass);
  Backend& backend = d_row_gates.backend();
  Tensor d_gates = Tensor::empty(backend, {to_rows.dim(0), to_rows.dim(1)}, d_row_gates.dtype(),
                                 MemoryKind::workspace);
  backend.ops().moe_gather_gates(backend.context(), d_row_gates, to_rows, d_gates);
  return d_gates;
}

Tensor TokenDispatcher::permuted(const Pass& pass) const {
  return pass.stash.get(prefix_ + ".permuted").slice(0, 0, num_rows(pass));
}

std::int64_t TokenDispatcher::buffer_rows(const Pass& pass) const {
  return pass.stash.get(prefix_ + ".permuted").dim(0);
}

std::int64_t TokenDispatcher::num_rows(const Pass& pass) const {
  return offsets(pass).data<const std::int64_t>()[config_.num_experts];
}

void TokenDispatcher::release(Pass& pass) const {
  for (const char* kept : {".offsets", ".rows", ".permuted"})
    pass.stash.release(prefix_ + kept);
}

}  // namespace tera::nn
