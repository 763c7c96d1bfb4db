#include "core/nn/expert_parallel.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/plan/expert_load.h"

namespace tera::nn {
namespace {

Tensor column(const Tensor& vector) {
  return vector.reshape({vector.num_elements(), 1});
}

Tensor to_tensor(const std::vector<std::int64_t>& values, Backend& backend) {
  const Tensor tensor =
      Tensor::empty(backend, {std::ssize(values)}, DType::i64, MemoryKind::workspace);
  std::copy(values.begin(), values.end(), tensor.data<std::int64_t>());
  return tensor;
}

}  // namespace

ExpertParallel::ExpertParallel(ParamStore& store,
                               const spec::ModelConfig& config,
                               std::string prefix,
                               const TokenDispatcher& dispatcher)
    : prefix_(std::move(prefix)),
      num_experts_(config.num_experts),
      load_(store.parallel().expert_load),
      dispatcher_(&dispatcher),
      exchange_(store),
      experts_(store, config, prefix_) {}

ExpertParallel::Sent ExpertParallel::send(const Tensor& x, const Tensor& gates, Pass& pass) const {
  Sent sent{.gates = dispatcher_->dispatch_gates(gates, pass)};
  if (!exchange_.active()) {
    dispatcher_->permute(x,
                         pass.stash.put(prefix_ + ".permuted",
                                        {dispatcher_->buffer_rows(pass), x.dim(1)}, x.dtype()),
                         pass);
    return sent;
  }
  const Tensor counts = exchange_.gather_counts(dispatcher_->offsets(pass));
  const Tensor kept =
      pass.stash.put(prefix_ + ".counts", {counts.dim(0), counts.dim(1)}, DType::i64);
  std::copy_n(counts.data<const std::int64_t>(), counts.num_elements(), kept.data<std::int64_t>());
  sent.rows = dispatcher_->permuted(x, pass);
  const plan::ExchangeChunk first = exchange_plan(pass).chunk(0);
  sent.first_rows.emplace(exchange_.start(sent.rows, first));
  sent.first_gates.emplace(exchange_.start(column(sent.gates), first));
  return sent;
}

Tensor ExpertParallel::forward(Sent sent, Pass& pass) {
  if (!exchange_.active()) return experts_.forward(own_rows(sent.gates, pass), pass);
  const Tensor y = dispatcher_->workspace(sent.rows.dim(1), sent.rows, pass);
  pass.pass_on();
  for_each_chunk(pass, [&](const plan::ExchangeChunk& chunk, Pass& part, bool first) {
    const Experts::Rows received =
        first ? receive(std::move(*sent.first_rows), std::move(*sent.first_gates), chunk, part)
              : receive(exchange_.start(sent.rows, chunk),
                        exchange_.start(column(sent.gates), chunk), chunk, part);
    ExpertExchange::Sending back = exchange_.start_back(experts_.forward(received, part), chunk, y);
    part.pass_on();
    exchange_.finish_back(std::move(back), chunk, y);
  });
  return y;
}

ExpertParallel::Sent ExpertParallel::send_gradient(const Tensor& dy,
                                                   const Tensor& gates,
                                                   Pass& pass) const {
  Sent sent{.rows = dispatcher_->permuted(dy, pass),
            .gates = dispatcher_->dispatch_gates(gates, pass)};
  if (exchange_.active())
    sent.first_rows.emplace(exchange_.start(sent.rows, exchange_plan(pass).chunk(0)));
  return sent;
}

Experts::InputGradient ExpertParallel::backward_input(Sent sent, const Tensor& x, Pass& pass) {
  const Tensor& dy = sent.rows;
  const Tensor& row_gates = sent.gates;
  if (!exchange_.active()) return experts_.backward_input(dy, own_rows(row_gates, pass), pass);
  const Tensor rows = x.present() ? dispatcher_->permuted(x, pass) : Tensor{};
  Experts::InputGradient gradient{
      dispatcher_->workspace(dy.dim(1), dy, pass),
      dispatcher_->workspace(1, row_gates, pass).reshape({row_gates.num_elements()})};
  pass.pass_on();
  for_each_chunk(pass, [&](const plan::ExchangeChunk& chunk, Pass& part, bool first) {
    Experts::Rows received;
    if (first) {
      received = kept_rows(chunk, part);
    } else {
      received = receive(exchange_.start(rows, chunk), exchange_.start(column(row_gates), chunk),
                         chunk, part);
      experts_.forward(received, part);
    }
    const Tensor d_results = Tensor::empty(dy.backend(), {chunk.buffer_rows, dy.dim(1)}, dy.dtype(),
                                           MemoryKind::workspace)
                                 .slice(0, 0, chunk.num_rows());
    exchange_.finish(first ? std::move(*sent.first_rows) : exchange_.start(dy, chunk), chunk,
                     d_results);
    const Experts::InputGradient of_chunk = experts_.backward_input(d_results, received, part);
    if (!first) experts_.backward_weight(received, part);
    const Tensor row_gradients = column(gradient.row_gates);
    ExpertExchange::Sending rows_back =
        exchange_.start_back(of_chunk.permuted, chunk, gradient.permuted);
    ExpertExchange::Sending gates_back =
        exchange_.start_back(column(of_chunk.row_gates), chunk, row_gradients);
    part.pass_on();
    exchange_.finish_back(std::move(rows_back), chunk, gradient.permuted);
    exchange_.finish_back(std::move(gates_back), chunk, row_gradients);
  });
  return gradient;
}

void ExpertParallel::backward_weight(Pass& pass) {
  if (exchange_.active()) {
    experts_.backward_weight(kept_rows(exchange_plan(pass).chunk(0), pass), pass);
  } else {
    experts_.backward_weight(own_rows({}, pass), pass);
  }
  for (const char* kept : {".permuted", ".counts", ".row_gates"})
    pass.stash.release(prefix_ + kept);
}

bool ExpertParallel::reads_input(const Pass& pass) const {
  return exchange_.active() && exchange_plan(pass).num_chunks() > 1;
}

Experts::Rows ExpertParallel::own_rows(const Tensor& row_gates, const Pass& pass) const {
  return {
      .permuted = pass.stash.get(prefix_ + ".permuted").slice(0, 0, dispatcher_->num_rows(pass)),
      .offsets = dispatcher_->offsets(pass),
      .row_gates = row_gates,
      .buffer_rows = dispatcher_->buffer_rows(pass)};
}

Experts::Rows ExpertParallel::kept_rows(const plan::ExchangeChunk& chunk, const Pass& pass) const {
  return {.permuted = pass.stash.get(prefix_ + ".permuted").slice(0, 0, chunk.num_rows()),
          .offsets = to_tensor(chunk.offsets, pass.stash.backend()),
          .row_gates = pass.stash.get(prefix_ + ".row_gates").slice(0, 0, chunk.num_rows()),
          .buffer_rows = chunk.buffer_rows};
}

Experts::Rows ExpertParallel::receive(ExpertExchange::Sending rows,
                                      ExpertExchange::Sending gates,
                                      const plan::ExchangeChunk& chunk,
                                      Pass& pass) const {
  pass.stash.put(prefix_ + ".permuted", {chunk.buffer_rows, rows.arriving().dim(1)},
                 rows.arriving().dtype());
  pass.stash.put(prefix_ + ".row_gates", {chunk.buffer_rows}, gates.arriving().dtype());
  Experts::Rows received = kept_rows(chunk, pass);
  exchange_.finish(std::move(rows), chunk, received.permuted);
  exchange_.finish(std::move(gates), chunk, column(received.row_gates));
  return received;
}

plan::ExchangePlan ExpertParallel::exchange_plan(const Pass& pass) const {
  const Tensor& counts = pass.stash.get(prefix_ + ".counts");
  const auto* begin = counts.data<const std::int64_t>();
  return {
      exchange_.block(), {begin, begin + counts.num_elements()}, num_experts_, buffer_rows(pass)};
}

// An even load is as many rows as a rank has, from each rank that splits the same experts.
std::int64_t ExpertParallel::buffer_rows(const Pass& pass) const {
  const plan::ExpertBlock& block = exchange_.block();
  return plan::expert_buffer_rows(load_, dispatcher_->even_rows(pass) * block.tensor_ranks,
                                  dispatcher_->buffer_rows(pass) * block.size());
}

void ExpertParallel::for_each_chunk(
    Pass& pass, const std::function<void(const plan::ExchangeChunk&, Pass&, bool)>& body) const {
  const plan::ExchangePlan plan = exchange_plan(pass);
  body(plan.chunk(0), pass, true);
  for (int i = 1; i < plan.num_chunks(); ++i) {
    Stash stash(pass.stash.backend());
    const Stash::Passing passing(stash);
    // It does not pass on: how many chunks there are differs between groups of expert ranks, and
    // turns are alike on all ranks, so that their messages are.
    Pass part{.batch = pass.batch,
              .stash = stash,
              .training = pass.training,
              .recompute = pass.recompute};
    body(plan.chunk(i), part, false);
  }
}

}  // namespace tera::nn
