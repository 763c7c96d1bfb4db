#include "core/nn/expert_parallel.h"

#include <utility>

namespace tera::nn {
namespace {

Tensor column(const Tensor& vector) {
  return vector.reshape({vector.num_elements(), 1});
}

}  // namespace

ExpertParallel::ExpertParallel(ParamStore& store,
                               const spec::ModelConfig& config,
                               std::string prefix,
                               const TokenDispatcher& dispatcher)
    : prefix_(std::move(prefix)),
      dispatcher_(&dispatcher),
      chunks_(store, config, prefix_, dispatcher),
      experts_(store, config, prefix_) {}

ExpertParallel::Sent ExpertParallel::send(const Tensor& x, const Tensor& gates, Pass& pass) const {
  Sent sent{.gates = dispatcher_->dispatch_gates(gates, pass)};
  if (!chunks_.shared_out()) {
    dispatcher_->permute(x,
                         pass.stash.put(prefix_ + ".permuted",
                                        {dispatcher_->buffer_rows(pass), x.dim(1)}, x.dtype()),
                         pass);
    return sent;
  }
  chunks_.keep_counts(pass);
  sent.rows = dispatcher_->permuted(x, pass);
  const plan::ExchangeChunk first = chunks_.plan(pass).chunk(0);
  sent.first_rows.emplace(chunks_.exchange().start(sent.rows, first));
  sent.first_gates.emplace(chunks_.exchange().start(column(sent.gates), first));
  return sent;
}

Tensor ExpertParallel::forward(Sent sent, Pass& pass) {
  if (!chunks_.shared_out()) return experts_.forward(own_rows(sent.gates, pass), pass);
  const ExpertExchange& exchange = chunks_.exchange();
  const Tensor y = dispatcher_->workspace(sent.rows.dim(1), sent.rows, pass);
  pass.pass_on();
  chunks_.for_each(pass, [&](const plan::ExchangeChunk& chunk, Pass& part, bool first) {
    const Experts::Rows received =
        first ? receive(std::move(*sent.first_rows), std::move(*sent.first_gates), chunk, part)
              : receive(exchange.start(sent.rows, chunk), exchange.start(column(sent.gates), chunk),
                        chunk, part);
    ExpertExchange::Sending back = exchange.start_back(experts_.forward(received, part), chunk, y);
    part.pass_on();
    exchange.finish_back(std::move(back), chunk, y);
  });
  return y;
}

ExpertParallel::Sent ExpertParallel::send_gradient(const Tensor& dy,
                                                   const Tensor& gates,
                                                   Pass& pass) const {
  Sent sent{.rows = dispatcher_->permuted(dy, pass),
            .gates = dispatcher_->dispatch_gates(gates, pass)};
  if (chunks_.shared_out())
    sent.first_rows.emplace(chunks_.exchange().start(sent.rows, chunks_.plan(pass).chunk(0)));
  return sent;
}

Experts::InputGradient ExpertParallel::backward_input(Sent sent, const Tensor& x, Pass& pass) {
  const Tensor& dy = sent.rows;
  const Tensor& row_gates = sent.gates;
  if (!chunks_.shared_out()) return experts_.backward_input(dy, own_rows(row_gates, pass), pass);
  const ExpertExchange& exchange = chunks_.exchange();
  const Tensor rows = x.present() ? dispatcher_->permuted(x, pass) : Tensor{};
  Experts::InputGradient gradient{
      dispatcher_->workspace(dy.dim(1), dy, pass),
      dispatcher_->workspace(1, row_gates, pass).reshape({row_gates.num_elements()})};
  pass.pass_on();
  chunks_.for_each(pass, [&](const plan::ExchangeChunk& chunk, Pass& part, bool first) {
    Experts::Rows received;
    if (first) {
      received = chunks_.kept_rows(chunk, part);
    } else {
      received = receive(exchange.start(rows, chunk), exchange.start(column(row_gates), chunk),
                         chunk, part);
      experts_.forward(received, part);
    }
    const Tensor d_results = Tensor::empty(dy.backend(), {chunk.buffer_rows, dy.dim(1)}, dy.dtype(),
                                           MemoryKind::workspace)
                                 .slice(0, 0, chunk.num_rows());
    exchange.finish(first ? std::move(*sent.first_rows) : exchange.start(dy, chunk), chunk,
                    d_results);
    const Experts::InputGradient of_chunk = experts_.backward_input(d_results, received, part);
    if (!first) experts_.backward_weight(received, part);
    const Tensor row_gradients = column(gradient.row_gates);
    ExpertExchange::Sending rows_back =
        exchange.start_back(of_chunk.permuted, chunk, gradient.permuted);
    ExpertExchange::Sending gates_back =
        exchange.start_back(column(of_chunk.row_gates), chunk, row_gradients);
    part.pass_on();
    exchange.finish_back(std::move(rows_back), chunk, gradient.permuted);
    exchange.finish_back(std::move(gates_back), chunk, row_gradients);
  });
  return gradient;
}

void ExpertParallel::backward_weight(Pass& pass) {
  if (chunks_.shared_out()) {
    experts_.backward_weight(chunks_.kept_rows(chunks_.plan(pass).chunk(0), pass), pass);
    chunks_.release(pass);
  } else {
    experts_.backward_weight(own_rows({}, pass), pass);
    pass.stash.release(prefix_ + ".permuted");
  }
}

bool ExpertParallel::reads_input(const Pass& pass) const {
  return chunks_.shared_out() && chunks_.plan(pass).num_chunks() > 1;
}

Experts::Rows ExpertParallel::own_rows(const Tensor& row_gates, const Pass& pass) const {
  return {
      .permuted = pass.stash.get(prefix_ + ".permuted").slice(0, 0, dispatcher_->num_rows(pass)),
      .offsets = dispatcher_->offsets(pass),
      .row_gates = row_gates,
      .buffer_rows = dispatcher_->buffer_rows(pass)};
}

Experts::Rows ExpertParallel::receive(ExpertExchange::Sending rows,
                                      ExpertExchange::Sending gates,
                                      const plan::ExchangeChunk& chunk,
                                      Pass& pass) const {
  Experts::Rows received =
      chunks_.make_rows(rows.arriving(), gates.arriving().dtype(), chunk, pass);
  chunks_.exchange().finish(std::move(rows), chunk, received.permuted);
  chunks_.exchange().finish(std::move(gates), chunk, column(received.row_gates));
  return received;
}

}  // namespace tera::nn
