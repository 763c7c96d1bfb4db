#include "core/plan/module_messages.h"

#include <algorithm>

#include "core/plan/working_memory.h"

namespace tera::plan {
namespace {

constexpr std::int64_t kF32 = 4;  // bytes
constexpr std::int64_t kI32 = 4;
constexpr std::int64_t kI64 = 8;

std::int64_t compute_bytes(const spec::RunSpec& spec) {
  return dtype_bytes(compute_dtype(spec.training.precision));
}
std::int64_t row_bytes(const spec::RunSpec& spec) {
  return spec.model.hidden_size * compute_bytes(spec);
}

}  // namespace

using enum MessageKind;

ModuleMessages::ModuleMessages(const spec::RunSpec& spec, MessageTally& tally)
    : spec_(spec),
      tally_(tally),
      rank_(rank_extents(spec)),
      context_(context_exchange(spec)),
      splits_tokens_(spec.layout.sequence_parallel && spec.layout.tensor_parallel_size > 1),
      stream_bytes_(rank_.tokens * row_bytes(spec)) {}

void ModuleMessages::chunk(const StageChunk& chunk) {
  if (chunk.has_embedding) embedding();
  for (int index = chunk.layers.first; index < chunk.layers.last; ++index)
    layer(index);
  if (!chunk.has_head) return;
  head();
  for (int index = spec_.model.num_layers; index < spec_.model.num_all_layers(); ++index) {
    embedding();
    layer(index);
    head();
  }
}

// Of the residual stream, between what each tensor rank has of it and all (nn/tensor_parallel.h).
void ModuleMessages::gather() {
  if (splits_tokens_) tally_.tensor(all_gather, stream_bytes_);
}
void ModuleMessages::sum() {
  tally_.tensor(splits_tokens_ ? reduce_scatter : all_reduce, stream_bytes_);
}

// Words are summed forward, gradients gathered backward.
void ModuleMessages::embedding() {
  sum();
  gather();
}

void ModuleMessages::layer(int index) {
  const spec::ModelConfig& model = spec_.model;
  const bool moe = model.is_moe_layer(index);
  const bool has_dense_part = !moe || model.num_shared_experts > 0;
  const int forwards = spec_.layout.recompute == spec::RecomputeKind::full ? 2 : 1;
  for (int pass = 0; pass < forwards; ++pass) {
    part_forward();
    head_norms();
    attention_forward();
    if (has_dense_part) part_forward();
    if (moe) dispatch();
  }
  part_backward();
  attention_backward();
  head_norms();
  if (has_dense_part) part_backward();
  if (moe && model.aux_loss_coeff > 0) balance();
}

// Of a module that tensor ranks share out.
void ModuleMessages::part_forward() {
  gather();
  sum();
}

// The input is gathered once more for the gradients of the weights.
void ModuleMessages::part_backward() {
  gather();
  sum();
  gather();
}

// Of queries and of keys one sum for each token, where the norm is over the heads of all ranks.
void ModuleMessages::head_norms() {
  if (spec_.model.qk_norm != spec::QkNormKind::full) return;
  for (int i = 0; i < 2; ++i)
    tally_.tensor(all_reduce, rank_.tokens * kF32);
}

// Keys and values, or their gradients, to the next rank of the ring (nn/ring_attention.h).
void ModuleMessages::ring_pass(std::int64_t element_bytes) {
  for (const std::int64_t elements : {context_.keys, context_.values}) {
    tally_.context(send, elements * element_bytes);
    tally_.context(recv, elements * element_bytes);
  }
}

// Tokens for heads or back, all but the rank's own (nn/ulysses_attention.h).
void ModuleMessages::swap(std::int64_t elements) {
  const std::int64_t ranks = tally_.mesh().size(Axis::context);
  tally_.context(all_to_all, elements / ranks * (ranks - 1) * compute_bytes(spec_));
}

void ModuleMessages::attention_forward() {
  if (spec_.layout.context_parallel_method == spec::ContextMethod::ulysses) {
    swap(context_.inputs());
    swap(context_.outputs);
    return;
  }
  for (int step = 1; step < tally_.mesh().size(Axis::context); ++step)
    ring_pass(compute_bytes(spec_));
}

// Gradients go all the way round, back to the rank of their keys and values.
void ModuleMessages::attention_backward() {
  if (spec_.layout.context_parallel_method == spec::ContextMethod::ulysses) {
    swap(context_.inputs() + 2 * context_.outputs);
    swap(context_.inputs());
    return;
  }
  attention_forward();
  for (int step = 0; step < tally_.mesh().size(Axis::context); ++step)
    ring_pass(kF32);
}

// What tensor and context ranks have for each of their tokens' choices, of all of them.
void ModuleMessages::gather_choices(std::int64_t bytes_each) {
  const std::int64_t bytes = rank_.tokens * spec_.model.router_slots() * bytes_each;
  if (splits_tokens_) tally_.tensor(all_gather, bytes);
  tally_.context(all_gather, tally_.mesh().size(Axis::context) * bytes);
}

// Who is served is decided over all tokens of a micro-batch.
void ModuleMessages::dispatch() {
  gather_choices(kI32);
  if (spec_.model.capacity_policy == spec::CapacityPolicy::probability) gather_choices(kF32);
}

// Choices of a micro-batch; of those of all data ranks where the global batch is balanced.
void ModuleMessages::balance() {
  const spec::ModelConfig& model = spec_.model;
  gather_choices(kI32);
  if (model.aux_loss_scope != spec::AuxLossScope::global_batch) return;
  tally_.data(all_gather, tally_.mesh().size(Axis::data) * spec_.layout.micro_batch_size *
                              model.num_experts * kI64);
}

// Of each token the highest logit, the sum of all and the logit of its target.
void ModuleMessages::head() {
  gather();
  for (std::int64_t begin = 0; begin < rank_.tokens; begin += kLogitsChunkTokens) {
    const std::int64_t bytes = std::min(kLogitsChunkTokens, rank_.tokens - begin) * kF32;
    for (int i = 0; i < 2; ++i)
      tally_.tensor(all_gather, tally_.mesh().size(Axis::tensor) * bytes);
    tally_.tensor(all_reduce, bytes);
  }
  sum();
}

ExchangeMessages::ExchangeMessages(const spec::RunSpec& spec,
                                   const ExpertBlock& block,
                                   MessageTally& tally)
    : spec_(spec),
      block_(block),
      tally_(tally),
      row_bytes_(row_bytes(spec)),
      buffer_rows_(rank_extents(spec).expert_rows),
      tokens_(rank_extents(spec).own_tokens) {}

void ExchangeMessages::exchange(const std::vector<std::int64_t>& counts) {
  const ExchangePlan plan(block_, counts, spec_.model.num_experts, buffer_rows_);
  const int forwards = spec_.layout.recompute == spec::RecomputeKind::full ? 2 : 1;
  const std::int64_t counts_bytes = spec_.model.num_experts * kI64;
  for (int pass = 0; pass < forwards; ++pass) {
    tally_.expert_tensor(all_gather, block_.tensor_ranks * counts_bytes);
    tally_.expert(all_gather, block_.size() * counts_bytes);
  }
  if (spec_.layout.expert_dispatcher == spec::ExpertDispatcher::all_gather) {
    gather_tokens(plan, forwards);
  } else {
    send_rows(plan, forwards);
  }
}

// Tokens with their choices and gates forward, gradients backward, and the input once more where
// more rows than those of the first chunk are computed again.
void ExchangeMessages::gather_tokens(const ExchangePlan& plan, int forwards) {
  const std::int64_t slots = spec_.model.router_slots();
  for (int pass = 0; pass < forwards; ++pass) {
    gather(slots * kI32);
    gather(row_bytes_);
    gather(slots * kF32);
    sum(row_bytes_);
  }
  gather(row_bytes_);
  if (plan.num_chunks() > 1) {
    gather(row_bytes_);
    gather(slots * kF32);
  }
  sum(row_bytes_);
  sum(slots * kF32);
}

// Of all tokens of the block, through expert ranks first; and back.
void ExchangeMessages::gather(std::int64_t token_bytes) {
  const std::int64_t bytes = block_.expert_ranks * tokens_ * token_bytes;
  tally_.expert(all_gather, bytes);
  tally_.expert_tensor(all_gather, block_.tensor_ranks * bytes);
}
void ExchangeMessages::sum(std::int64_t token_bytes) {
  const std::int64_t bytes = block_.expert_ranks * tokens_ * token_bytes;
  tally_.expert_tensor(reduce_scatter, block_.tensor_ranks * bytes);
  tally_.expert(reduce_scatter, bytes);
}

void ExchangeMessages::send_rows(const ExchangePlan& plan, int forwards) {
  for (int i = 0; i < plan.num_chunks(); ++i) {
    const ExchangeChunk chunk = plan.chunk(i);
    for (int pass = 0; pass < forwards; ++pass) {
      send_rows_and_gates(chunk);
      take_back(chunk, row_bytes_);
    }
    if (i > 0) send_rows_and_gates(chunk);  // not kept
    send(chunk, row_bytes_);
    take_back(chunk, row_bytes_);
    take_back(chunk, kF32);
  }
}

void ExchangeMessages::send_rows_and_gates(const ExchangeChunk& chunk) {
  send(chunk, row_bytes_);
  send(chunk, kF32);
}

// Rows of `width` bytes.
void ExchangeMessages::send(const ExchangeChunk& chunk, std::int64_t width) {
  const RowRange& stays = chunk.sent[static_cast<std::size_t>(block_.expert_rank)];
  tally_.expert(all_to_all, (chunk.num_sent() - stays.count) * width);
  for (const std::int64_t rows : chunk.of_tensor) {
    if (rows > 0) tally_.expert_tensor(broadcast, rows * width);
  }
}

void ExchangeMessages::take_back(const ExchangeChunk& chunk, std::int64_t width) {
  const std::int64_t own = chunk.of_tensor[static_cast<std::size_t>(block_.tensor_rank)];
  tally_.expert_tensor(all_to_all, (chunk.num_rows() - own) * width);
  const std::int64_t stays = chunk.received[static_cast<std::size_t>(block_.expert_rank)];
  tally_.expert(all_to_all, (own - stays) * width);
}

}  // namespace tera::plan
