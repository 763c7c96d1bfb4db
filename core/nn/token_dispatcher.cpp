#include "core/nn/token_dispatcher.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace tera::nn {

TokenDispatcher::TokenDispatcher(const ParamStore& store,
                                 const spec::ModelConfig& config,
                                 std::string prefix)
    : prefix_(std::move(prefix)), config_(config), share_(store) {}

void TokenDispatcher::dispatch(const Tensor& indices,
                               const Tensor& gates,
                               Pass& pass,
                               RouterStats* stats) const {
  Backend& backend = indices.backend();
  const kernels::OpTable& ops = backend.ops();
  const Tensor offsets =
      pass.stash.put(prefix_ + ".offsets", {config_.num_experts + 1}, DType::i64);
  const Tensor to_rows =
      pass.stash.put(prefix_ + ".rows", {indices.dim(0), indices.dim(1)}, DType::i32);
  const Tensor all_indices = share_.gather(indices, pass.batch);
  const bool by_gate = config_.capacity_policy == spec::CapacityPolicy::probability;
  const Tensor priority = by_gate ? share_.gather(gates, pass.batch) : Tensor{};
  const kernels::DispatchOptions options{
      .capacity = limits(pass) ? config_.expert_capacity(all_indices.dim(0)) : 0,
      .pad = pads(pass)};
  if (share_.is_all()) {
    ops.moe_dispatch(backend.context(), indices, priority, options, offsets, to_rows);
  } else {
    const Tensor all_offsets =
        Tensor::empty(backend, {offsets.dim(0)}, DType::i64, MemoryKind::workspace);
    const Tensor all_rows = Tensor::empty(backend, {all_indices.dim(0), all_indices.dim(1)},
                                          DType::i32, MemoryKind::workspace);
    ops.moe_dispatch(backend.context(), all_indices, priority, options, all_offsets, all_rows);
    dispatch_share(all_rows, indices, pass.batch, offsets, to_rows);
  }
  if (stats != nullptr) record(indices, pass, *stats);
}

// Those of this rank's choices that are served, in the same order.
void TokenDispatcher::dispatch_share(const Tensor& all_rows,
                                     const Tensor& indices,
                                     const Batch& batch,
                                     const Tensor& offsets,
                                     const Tensor& rows) const {
  const std::int64_t tokens = indices.dim(0);
  const std::int64_t choices = indices.dim(1);
  const auto* expert = indices.data<const std::int32_t>();
  const auto* all_row = all_rows.data<const std::int32_t>();
  auto* row = rows.data<std::int32_t>();
  std::vector<std::int64_t> count(static_cast<std::size_t>(config_.num_experts));
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::int64_t slot = share_.token(t, tokens, batch) * choices;
    for (std::int64_t k = 0; k < choices; ++k) {
      const std::int64_t i = t * choices + k;  // its place among those of its expert
      row[i] = all_row[slot + k] < 0
                   ? -1
                   : static_cast<std::int32_t>(count[static_cast<std::size_t>(expert[i])]++);
    }
  }
  auto* offset = offsets.data<std::int64_t>();
  offset[0] = 0;
  std::partial_sum(count.begin(), count.end(), offset + 1);
  for (std::int64_t i = 0; i < tokens * choices; ++i) {
    if (row[i] >= 0) row[i] += static_cast<std::int32_t>(offset[expert[i]]);
  }
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

Tensor TokenDispatcher::permuted(const Tensor& x, const Pass& pass) const {
  const Tensor to = workspace(x.dim(1), x, pass);
  move(x, to, pass);
  return to;
}

void TokenDispatcher::permute(const Tensor& x, const Tensor& buffer, const Pass& pass) const {
  move(x, buffer.slice(0, 0, num_rows(pass)), pass);
}

void TokenDispatcher::move(const Tensor& x, const Tensor& to, const Pass& pass) const {
  Backend& backend = x.backend();
  if (pads(pass)) backend.ops().zero(backend.context(), to);
  backend.ops().moe_permute(backend.context(), x, rows(pass), to);
}

Tensor TokenDispatcher::dispatch_gates(const Tensor& gates, const Pass& pass) const {
  Backend& backend = gates.backend();
  const Tensor row_gates = workspace(1, gates, pass).reshape({num_rows(pass)});
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

Tensor TokenDispatcher::gates_backward(const Tensor& d_row_gates, const Pass& pass) const {
  const Tensor& to_rows = rows(pass);
  Backend& backend = d_row_gates.backend();
  Tensor d_gates = Tensor::empty(backend, {to_rows.dim(0), to_rows.dim(1)}, d_row_gates.dtype(),
                                 MemoryKind::workspace);
  backend.ops().moe_gather_gates(backend.context(), d_row_gates, to_rows, d_gates);
  return d_gates;
}

Tensor TokenDispatcher::workspace(std::int64_t width, const Tensor& like, const Pass& pass) const {
  return Tensor::empty(like.backend(), {buffer_rows(pass), width}, like.dtype(),
                       MemoryKind::workspace)
      .slice(0, 0, num_rows(pass));
}

std::int64_t TokenDispatcher::buffer_rows(const Pass& pass) const {
  const std::int64_t all = all_rows(pass);
  return share_.is_all() ? all : std::min(all, rows(pass).num_elements());
}

std::int64_t TokenDispatcher::even_rows(const Pass& pass) const {
  return (all_rows(pass) + share_.num_ranks() - 1) / share_.num_ranks();
}

// Of all tokens of the micro-batch.
std::int64_t TokenDispatcher::all_rows(const Pass& pass) const {
  if (!limits(pass)) return rows(pass).num_elements() * share_.num_ranks();
  return config_.routed_rows(share_.num_tokens(pass.batch));
}

std::int64_t TokenDispatcher::num_rows(const Pass& pass) const {
  return offsets(pass).data<const std::int64_t>()[config_.num_experts];
}

void TokenDispatcher::release(Pass& pass) const {
  for (const char* kept : {".offsets", ".rows"})
    pass.stash.release(prefix_ + kept);
}

}  // namespace tera::nn
