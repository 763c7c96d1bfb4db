#include "core/nn/gathered_experts.h"

#include <algorithm>
#include <utility>

namespace tera::nn {
namespace {

Tensor workspace(const Tensor& like, std::int64_t rows) {
  return Tensor::empty(like.backend(), {rows, like.dim(1)}, like.dtype(), MemoryKind::workspace);
}

// Rows of no token, of padded experts, are zero.
void permute(const Tensor& tokens, const Tensor& rows, bool cover, const Tensor& to) {
  if (to.dim(0) == 0) return;
  Backend& backend = to.backend();
  if (!cover) backend.ops().zero(backend.context(), to);
  backend.ops().moe_permute(backend.context(), tokens, rows, to);
}

}  // namespace

GatheredExperts::GatheredExperts(ParamStore& store,
                                 const spec::ModelConfig& config,
                                 std::string prefix,
                                 const TokenDispatcher& dispatcher)
    : prefix_(std::move(prefix)),
      dispatcher_(&dispatcher),
      chunks_(store, config, prefix_, dispatcher),
      experts_(store, config, prefix_) {}

GatheredExperts::Sent GatheredExperts::send(const Tensor& x,
                                            const Tensor& gates,
                                            Pass& pass) const {
  const ExpertExchange& exchange = chunks_.exchange();
  chunks_.keep_counts(pass);
  ExpertExchange::Sending choices = exchange.start_gather(dispatcher_->rows(pass));
  Sent sent{.tokens = exchange.start_gather(x), .gates = exchange.start_gather(gates)};
  const Tensor gathered = exchange.finish_gather(std::move(choices));
  const Tensor kept =
      pass.stash.put(prefix_ + ".choices", {gathered.dim(0), gathered.dim(1)}, DType::i32);
  std::copy_n(gathered.data<const std::int32_t>(), gathered.num_elements(),
              kept.data<std::int32_t>());
  return sent;
}

Tensor GatheredExperts::forward(Sent sent, Pass& pass) {
  const ExpertExchange& exchange = chunks_.exchange();
  pass.pass_on();
  const Tensor tokens = exchange.finish_gather(std::move(sent.tokens));
  const Tensor gates = exchange.finish_gather(std::move(*sent.gates));
  Backend& backend = tokens.backend();
  const Tensor sums = workspace(tokens, tokens.dim(0));
  chunks_.for_each(pass, [&](const plan::ExchangeChunk& chunk, Pass& part, bool first) {
    const Places at = places(chunk, pass);
    const Tensor y = experts_.forward(arrange(tokens, gates, chunk, at, part), part);
    backend.ops().moe_unpermute(backend.context(), y, at.rows, sums, !first);
  });
  ExpertExchange::Sending back = exchange.start_sum(sums);
  pass.pass_on();
  return exchange.finish_sum(std::move(back));
}

GatheredExperts::Sent GatheredExperts::send_gradient(const Tensor& dy) const {
  return {.tokens = chunks_.exchange().start_gather(dy)};
}

GatheredExperts::InputGradient GatheredExperts::backward_input(Sent sent,
                                                               const Tensor& x,
                                                               const Tensor& gates,
                                                               Pass& pass) {
  const ExpertExchange& exchange = chunks_.exchange();
  const auto gather = [&exchange](const Tensor& own) {
    return exchange.finish_gather(exchange.start_gather(own));
  };
  pass.pass_on();
  const Tensor dy = exchange.finish_gather(std::move(sent.tokens));
  const Tensor tokens = x.present() ? gather(x) : Tensor{};
  const Tensor all_gates = x.present() ? gather(gates) : Tensor{};
  Backend& backend = dy.backend();
  const kernels::OpTable& ops = backend.ops();
  const Tensor d_tokens = workspace(dy, dy.dim(0));
  const Tensor d_gates = workspace(gates, dy.dim(0));
  chunks_.for_each(pass, [&](const plan::ExchangeChunk& chunk, Pass& part, bool first) {
    const Places at = places(chunk, pass);
    Experts::Rows rows;
    if (first) {
      rows = chunks_.kept_rows(chunk, part);
    } else {
      rows = arrange(tokens, all_gates, chunk, at, part);
      experts_.forward(rows, part);
    }
    const Tensor d_results = workspace(dy, chunk.buffer_rows).slice(0, 0, chunk.num_rows());
    permute(dy, at.rows, at.cover, d_results);
    const Experts::InputGradient gradient = experts_.backward_input(d_results, rows, part);
    if (!first) experts_.backward_weight(rows, part);
    ops.moe_unpermute(backend.context(), gradient.permuted, at.rows, d_tokens, !first);
    const Tensor d_chunk_gates = first ? d_gates : workspace(d_gates, d_gates.dim(0));
    ops.moe_gather_gates(backend.context(), gradient.row_gates, at.rows, d_chunk_gates);
    if (!first) ops.add(backend.context(), d_gates, d_chunk_gates, d_gates);
  });
  ExpertExchange::Sending token_sums = exchange.start_sum(d_tokens);
  ExpertExchange::Sending gate_sums = exchange.start_sum(d_gates);
  pass.pass_on();
  return {exchange.finish_sum(std::move(token_sums)), exchange.finish_sum(std::move(gate_sums))};
}

void GatheredExperts::backward_weight(Pass& pass) {
  experts_.backward_weight(chunks_.kept_rows(chunks_.plan(pass).chunk(0), pass), pass);
  chunks_.release(pass);
  pass.stash.release(prefix_ + ".choices");
}

bool GatheredExperts::reads_input(const Pass& pass) const {
  return chunks_.plan(pass).num_chunks() > 1;
}

GatheredExperts::Places GatheredExperts::places(const plan::ExchangeChunk& chunk,
                                                const Pass& pass) const {
  const Tensor& choices = pass.stash.get(prefix_ + ".choices");
  const plan::ExchangePlan plan = chunks_.plan(pass);
  const plan::ExpertBlock& block = chunks_.exchange().block();
  const Tensor rows = workspace(choices, choices.dim(0));
  const auto* choice = choices.data<const std::int32_t>();
  auto* to = rows.data<std::int32_t>();
  const std::int64_t of_rank = choices.num_elements() / block.size();
  std::int64_t found = 0;
  for (int tensor = 0; tensor < block.tensor_ranks; ++tensor) {
    for (int rank = 0; rank < block.expert_ranks; ++rank) {
      const plan::SourceRows here = plan.rows_here(rank * block.tensor_ranks + tensor);
      for (std::int64_t i = 0; i < of_rank; ++i, ++choice, ++to) {
        const std::int64_t place = here.place(*choice) - chunk.first_row;
        const bool in_chunk = place >= 0 && place < chunk.num_rows();
        *to = in_chunk ? static_cast<std::int32_t>(place) : -1;
        found += in_chunk ? 1 : 0;
      }
    }
  }
  return {rows, found == chunk.num_rows()};
}

Experts::Rows GatheredExperts::arrange(const Tensor& tokens,
                                       const Tensor& gates,
                                       const plan::ExchangeChunk& chunk,
                                       const Places& at,
                                       Pass& pass) const {
  const Experts::Rows rows = chunks_.make_rows(tokens, gates.dtype(), chunk, pass);
  permute(tokens, at.rows, at.cover, rows.permuted);
  Backend& backend = tokens.backend();
  if (!at.cover) backend.ops().zero(backend.context(), rows.row_gates);
  backend.ops().moe_scatter_gates(backend.context(), gates, at.rows, rows.row_gates);
  return rows;
}

}  // namespace tera::nn
