// count_params: the sums over the parameter table in closed form.
#include <cmath>

#include "core/plan/param_table.h"

namespace tera::plan {
namespace {

using spec::ModelConfig;

std::int64_t attention_params(const ModelConfig& m) {
  const std::int64_t hidden = m.hidden_size;
  const std::int64_t heads = m.num_attention_heads;
  if (m.attention == spec::AttentionKind::latent) {
    const std::int64_t qk_dim = std::int64_t{m.qk_nope_head_dim} + m.qk_rope_head_dim;
    const std::int64_t query =
        m.q_lora_rank > 0 ? m.q_lora_rank * (hidden + heads * qk_dim) : hidden * heads * qk_dim;
    const std::int64_t kv_down = hidden * (std::int64_t{m.kv_lora_rank} + m.qk_rope_head_dim);
    const std::int64_t kv_up =
        std::int64_t{m.kv_lora_rank} * heads * (std::int64_t{m.qk_nope_head_dim} + m.v_head_dim);
    return query + kv_down + kv_up + heads * m.v_head_dim * hidden;
  }
  const std::int64_t query_width = heads * m.head_dim;
  const std::int64_t qkv_width = query_width + 2 * std::int64_t{m.num_key_value_heads} * m.head_dim;
  const std::int64_t bias = (m.attention_bias != spec::AttentionBias::none ? qkv_width : 0) +
                            (m.attention_bias == spec::AttentionBias::all ? hidden : 0);
  return hidden * qkv_width + query_width * hidden + bias;
}

// Norms inside attention: of queries and keys, or of the latent vectors.
std::int64_t attention_norm_params(const ModelConfig& m) {
  if (m.attention == spec::AttentionKind::latent) {
    return std::int64_t{m.q_lora_rank} + m.kv_lora_rank;
  }
  switch (m.qk_norm) {
    case spec::QkNormKind::none:
      return 0;
    case spec::QkNormKind::per_head:
      return 2 * std::int64_t{m.head_dim};
    case spec::QkNormKind::full:
      return (std::int64_t{m.num_attention_heads} + m.num_key_value_heads) * m.head_dim;
  }
  return 0;
}

}  // namespace

ParamCounts count_params(const ModelConfig& m) {
  const std::int64_t hidden = m.hidden_size;
  const std::int64_t layers = m.num_all_layers();
  const std::int64_t moe_layers = m.num_moe_layers(m.num_all_layers());
  const std::int64_t dense_layers = layers - moe_layers;
  const std::int64_t matrices = m.gated() ? 3 : 2;
  const std::int64_t residual_norm = m.norm == spec::NormKind::layer ? 2 * hidden : hidden;
  const std::int64_t expert = matrices * hidden * m.moe_ffn_hidden_size;

  ParamCounts counts;
  counts.embedding = m.vocab_size * hidden;
  if (m.position == spec::PositionKind::learned) {
    counts.embedding += m.max_position_embeddings * hidden;
  }
  counts.attention = layers * attention_params(m);
  const std::int64_t ffn_bias = m.ffn_bias ? (matrices - 1) * m.ffn_hidden_size + hidden : 0;
  counts.dense_ffn = dense_layers * (matrices * hidden * m.ffn_hidden_size + ffn_bias);
  counts.experts = moe_layers * m.num_experts * expert;
  const bool gate = m.shared_expert_gate && m.num_shared_experts > 0;
  counts.shared_experts = moe_layers * (m.num_shared_experts * expert + (gate ? hidden : 0));
  counts.router = moe_layers * m.num_experts * hidden;
  const std::int64_t norms_per_branch = (m.has_pre_norm() ? 1 : 0) + (m.has_post_norm() ? 1 : 0);
  counts.norms = layers * (2 * norms_per_branch * residual_norm + attention_norm_params(m)) +
                 residual_norm + m.num_mtp_layers * 3 * residual_norm;
  counts.head =
      (m.tie_embeddings ? 0 : m.vocab_size * hidden) + m.num_mtp_layers * 2 * hidden * hidden;
  counts.total = counts.embedding + counts.attention + counts.dense_ffn + counts.experts +
                 counts.shared_experts + counts.router + counts.norms + counts.head;
  const double per_token = m.experts_per_token() * static_cast<double>(expert);
  counts.active_in_training = counts.total - counts.experts + moe_layers * std::llround(per_token);
  counts.active = counts.active_in_training;
  if (m.num_mtp_layers > 0) {
    ModelConfig alone = m;
    alone.num_mtp_layers = 0;
    counts.active = count_params(alone).active;
  }
  return counts;
}

}  // namespace tera::plan
