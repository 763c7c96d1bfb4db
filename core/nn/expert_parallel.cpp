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

Tensor ExpertParallel::forward(const Tensor& x, const Tensor& gates, Pass& pass) {
  if (!exchange_.active()) {
    dispatcher_->permute(x,
                         pass.stash.put(prefix_ + ".permuted",
                                        {dispatcher_->buffer_rows(pass), x.dim(1)}, x.dtype()),
                         pass);
    return experts_.forward(own_rows(gates, pass), pass);
  }
  const Tensor counts = exchange_.gather_counts(dispatcher_->offsets(pass));
  const Tensor kept =
      pass.stash.put(prefix_ + ".counts", {counts.dim(0), counts.dim(1)}, DType::i64);
  std::copy_n(counts.data<const std::int64_t>(), counts.num_elements(), kept.data<std::int64_t>());
  const Tensor rows = dispatcher_->permuted(x, pass);
  const Tensor row_gates = dispatcher_->dispatch_gates(gates, pass);
  const Tensor y = dispatcher_->workspace(x.dim(1), x, pass);
  for_each_chunk(pass, [&](const plan::ExchangeChunk& chunk, Pass& part, bool) {
    const Tensor results = experts_.forward(receive(rows, row_gates, chunk, part), part);
    exchange_.take_back(results, chunk, y);
  });
  return y;
}

Experts::InputGradient ExpertParallel::backward_input(const Tensor& dy,
                                                      const Tensor& x,
                                                      const Tensor& gates,
                                                      Pass& pass) {
  if (!exchange_.active()) return experts_.backward_input(dy, own_rows(gates, pass), pass);
  const Tensor row_gates = dispatcher_->dispatch_gates(gates, pass);
  const Tensor rows = x.present() ? dispatcher_->permuted(x, pass) : Tensor{};
  Experts::InputGradient gradient{
      dispatcher_->workspace(dy.dim(1), dy, pass),
      dispatcher_->workspace(1, row_gates, pass).reshape({row_gates.num_elements()})};
  for_each_chunk(pass, [&](const plan::ExchangeChunk& chunk, Pass& part, bool first) {
    Experts::Rows received;
    if (first) {
      received = kept_rows(chunk, part);
    } else {
      received = receive(rows, row_gates, chunk, part);
      experts_.forward(received, part);
    }
    const Experts::InputGradient of_chunk =
        experts_.backward_input(send(dy, chunk), received, part);
    if (!first) experts_.backward_weight(received, part);
    exchange_.take_back(of_chunk.permuted, chunk, gradient.permuted);
    exchange_.take_back(column(of_chunk.row_gates), chunk, column(gradient.row_gates));
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

Experts::Rows ExpertParallel::own_rows(const Tensor& gates, const Pass& pass) const {
  return {
      .permuted = pass.stash.get(prefix_ + ".permuted").slice(0, 0, dispatcher_->num_rows(pass)),
      .offsets = dispatcher_->offsets(pass),
      .row_gates = gates.present() ? dispatcher_->dispatch_gates(gates, pass) : Tensor{},
      .buffer_rows = dispatcher_->buffer_rows(pass)};
}

Experts::Rows ExpertParallel::kept_rows(const plan::ExchangeChunk& chunk, const Pass& pass) const {
  return {.permuted = pass.stash.get(prefix_ + ".permuted").slice(0, 0, chunk.num_rows()),
          .offsets = to_tensor(chunk.offsets, pass.stash.backend()),
          .row_gates = pass.stash.get(prefix_ + ".row_gates").slice(0, 0, chunk.num_rows()),
          .buffer_rows = chunk.buffer_rows};
}

Experts::Rows ExpertParallel::receive(const Tensor& rows,
                                      const Tensor& gates,
                                      const plan::ExchangeChunk& chunk,
                                      Pass& pass) const {
  pass.stash.put(prefix_ + ".permuted", {chunk.buffer_rows, rows.dim(1)}, rows.dtype());
  pass.stash.put(prefix_ + ".row_gates", {chunk.buffer_rows}, gates.dtype());
  Experts::Rows received = kept_rows(chunk, pass);
  exchange_.send(rows, chunk, received.permuted);
  exchange_.send(column(gates), chunk, column(received.row_gates));
  return received;
}

Tensor ExpertParallel::send(const Tensor& rows, const plan::ExchangeChunk& chunk) const {
  const Tensor received = Tensor::empty(rows.backend(), {chunk.buffer_rows, rows.dim(1)},
                                        rows.dtype(), MemoryKind::workspace)
                              .slice(0, 0, chunk.num_rows());
  exchange_.send(rows, chunk, received);
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
    Pass part{.batch = pass.batch,
              .stash = stash,
              .training = pass.training,
              .recompute = pass.recompute};
    body(plan.chunk(i), part, false);
  }
}

}  // namespace tera::nn
