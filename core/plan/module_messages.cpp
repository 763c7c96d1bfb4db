#include "core/plan/module_messages.h"

#include <algorithm>

#include "core/plan/working_memory.h"

namespace tera::plan {
namespace {

constexpr std::int64_t kF32 = 4;  // bytes
constexpr std::int64_t kI32 = 4;
constexpr std::int64_t kI64 = 8;

std::int64_t row_bytes(const spec::RunSpec& spec) {
  return spec.model.hidden_size * dtype_bytes(compute_dtype(spec.training.precision));
}

}  // namespace

using enum MessageKind;

ModuleMessages::ModuleMessages(const spec::RunSpec& spec, MessageTally& tally)
    : spec_(spec),
      tally_(tally),
      rank_(rank_extents(spec)),
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
    if (has_dense_part) part_forward();
    if (moe) dispatch();
  }
  part_backward();
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

// Who is served is decided over the tokens of all tensor ranks.
void ModuleMessages::dispatch() {
  if (!splits_tokens_) return;
  tally_.tensor(all_gather, slots() * kI32);
  if (spec_.model.capacity_policy == spec::CapacityPolicy::probability)
    tally_.tensor(all_gather, slots() * kF32);
}

// Choices of all tensor ranks; of all replicas where the global batch is balanced.
void ModuleMessages::balance() {
  const spec::ModelConfig& model = spec_.model;
  if (splits_tokens_) tally_.tensor(all_gather, slots() * kI32);
  if (model.aux_loss_scope != spec::AuxLossScope::global_batch) return;
  const RankMesh& mesh = tally_.mesh();
  const std::int64_t replicas = mesh.size(Axis::context) * mesh.size(Axis::data);
  tally_.replicas(false, all_gather,
                  replicas * spec_.layout.micro_batch_size * model.num_experts * kI64);
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
      buffer_rows_(rank_extents(spec).expert_rows) {}

void ExchangeMessages::exchange(const std::vector<std::int64_t>& counts) {
  const ExchangePlan plan(block_, counts, spec_.model.num_experts, buffer_rows_);
  const int forwards = spec_.layout.recompute == spec::RecomputeKind::full ? 2 : 1;
  const std::int64_t counts_bytes = spec_.model.num_experts * kI64;
  for (int pass = 0; pass < forwards; ++pass) {
    tally_.expert_tensor(all_gather, block_.tensor_ranks * counts_bytes);
    tally_.expert(all_gather, block_.size() * counts_bytes);
  }
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
