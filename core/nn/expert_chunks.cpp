#include "core/nn/expert_chunks.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/plan/expert_load.h"

namespace tera::nn {
namespace {

Tensor to_tensor(const std::vector<std::int64_t>& values, Backend& backend) {
  const Tensor tensor =
      Tensor::empty(backend, {std::ssize(values)}, DType::i64, MemoryKind::workspace);
  std::copy(values.begin(), values.end(), tensor.data<std::int64_t>());
  return tensor;
}

}  // namespace

ExpertChunks::ExpertChunks(ParamStore& store,
                           const spec::ModelConfig& config,
                           std::string prefix,
                           const TokenDispatcher& dispatcher)
    : prefix_(std::move(prefix)),
      num_experts_(config.num_experts),
      load_(store.parallel().expert_load),
      dispatcher_(&dispatcher),
      exchange_(store) {}

void ExpertChunks::keep_counts(Pass& pass) const {
  const Tensor counts = exchange_.gather_counts(dispatcher_->offsets(pass));
  const Tensor kept =
      pass.stash.put(prefix_ + ".counts", {counts.dim(0), counts.dim(1)}, DType::i64);
  std::copy_n(counts.data<const std::int64_t>(), counts.num_elements(), kept.data<std::int64_t>());
}

plan::ExchangePlan ExpertChunks::plan(const Pass& pass) const {
  const Tensor& counts = pass.stash.get(prefix_ + ".counts");
  const auto* begin = counts.data<const std::int64_t>();
  return {
      exchange_.block(), {begin, begin + counts.num_elements()}, num_experts_, buffer_rows(pass)};
}

Experts::Rows ExpertChunks::make_rows(const Tensor& x,
                                      DType gates,
                                      const plan::ExchangeChunk& chunk,
                                      Pass& pass) const {
  pass.stash.put(prefix_ + ".permuted", {chunk.buffer_rows, x.dim(1)}, x.dtype());
  pass.stash.put(prefix_ + ".row_gates", {chunk.buffer_rows}, gates);
  return kept_rows(chunk, pass);
}

Experts::Rows ExpertChunks::kept_rows(const plan::ExchangeChunk& chunk, const Pass& pass) const {
  return {.permuted = pass.stash.get(prefix_ + ".permuted").slice(0, 0, chunk.num_rows()),
          .offsets = to_tensor(chunk.offsets, pass.stash.backend()),
          .row_gates = pass.stash.get(prefix_ + ".row_gates").slice(0, 0, chunk.num_rows()),
          .buffer_rows = chunk.buffer_rows};
}

void ExpertChunks::for_each(
    Pass& pass, const std::function<void(const plan::ExchangeChunk&, Pass&, bool)>& body) const {
  const plan::ExchangePlan of_all = plan(pass);
  body(of_all.chunk(0), pass, true);
  for (int i = 1; i < of_all.num_chunks(); ++i) {
    Stash stash(pass.stash.backend());
    const Stash::Passing passing(stash);
    // It does not pass on: how many chunks there are differs between groups of expert ranks, and
    // turns are alike on all ranks, so that their messages are.
    Pass part{.batch = pass.batch,
              .stash = stash,
              .training = pass.training,
              .recompute = pass.recompute};
    body(of_all.chunk(i), part, false);
  }
}

void ExpertChunks::release(Pass& pass) const {
  for (const char* kept : {".permuted", ".counts", ".row_gates"})
    pass.stash.release(prefix_ + kept);
}

// An even load is as many rows as a rank has, from each rank that splits the same experts.
std::int64_t ExpertChunks::buffer_rows(const Pass& pass) const {
  const plan::ExpertBlock& block = exchange_.block();
  return plan::expert_buffer_rows(load_, dispatcher_->even_rows(pass) * block.tensor_ranks,
                                  dispatcher_->buffer_rows(pass) * block.size());
}

}  // namespace tera::nn
