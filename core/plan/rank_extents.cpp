#include "core/plan/rank_extents.h"

#include <algorithm>

#include "core/plan/expert_load.h"

namespace tera::plan {
namespace {

// Where ranks do not divide, all but the last have as much as the first.
std::int64_t share_of(std::int64_t whole, std::int64_t ranks) {
  return (whole + ranks - 1) / ranks;
}

std::int64_t expert_rows(const spec::RunSpec& spec, const RankExtents& extents) {
  const std::int64_t micro_batch =
      std::int64_t{spec.layout.micro_batch_size} * spec.training.seq_length;
  const std::int64_t all = spec.model.routed_rows(micro_batch);
  const std::int64_t token_ranks = micro_batch / std::max<std::int64_t>(1, extents.own_tokens);
  const std::int64_t even = share_of(all, token_ranks);
  const std::int64_t inner = spec.layout.expert_tensor_parallel_size;
  if (spec.software.framework != spec::Framework::teragpt) return even * inner;
  const std::int64_t most =
      token_ranks == 1 ? all : std::min(all, extents.own_tokens * spec.model.router_slots());
  if (extents.expert_ranks == 1) return most;
  return expert_buffer_rows(busiest_expert_load(spec, spec.layout.expert_load_percentile),
                            even * inner, most * extents.expert_ranks);
}

}  // namespace

RankExtents rank_extents(const spec::RunSpec& spec) {
  const spec::ModelConfig& model = spec.model;
  const spec::ParallelLayout& layout = spec.layout;
  const std::int64_t tensor = layout.tensor_parallel_size;
  const std::int64_t inner = layout.expert_tensor_parallel_size;
  RankExtents extents;
  extents.tokens = share_of(std::int64_t{layout.micro_batch_size} * spec.training.seq_length,
                            layout.context_parallel_size);
  extents.own_tokens = layout.sequence_parallel ? share_of(extents.tokens, tensor) : extents.tokens;
  extents.gathered_tokens =
      spec.software.framework == spec::Framework::teragpt ? extents.tokens : extents.own_tokens;
  extents.heads = share_of(model.num_attention_heads, tensor);
  extents.kv_heads = share_of(model.num_key_value_heads, tensor);
  extents.ffn_width = share_of(model.ffn_hidden_size, tensor);
  extents.shared_width =
      share_of(std::int64_t{model.num_shared_experts} * model.moe_ffn_hidden_size, tensor);
  extents.expert_width = share_of(model.moe_ffn_hidden_size, inner);
  extents.expert_ranks = layout.expert_parallel_size * inner;
  if (model.num_experts > 0) extents.expert_rows = expert_rows(spec, extents);
  return extents;
}

}  // namespace tera::plan
