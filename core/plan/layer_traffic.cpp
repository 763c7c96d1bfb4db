#include "core/plan/layer_traffic.h"

namespace tera::plan {
namespace {

// Of the rows of experts, reads and writes from router to sum: into the order of experts and back.
// Plain exchanges order once more by rank on either side; others order on the way and copy out of
// and into their buffers.
double permutation_accesses(const spec::RunSpec& spec, const FittedTimes& fitted) {
  if (spec.software.framework == spec::Framework::teragpt ||
      spec.layout.expert_parallel_size == 1) {
    return 4;
  }
  return spec.software.token_deduplication ? fitted.buffered_accesses : 8;
}

}  // namespace

bool fuses_elementwise(const spec::SoftwareConfig& software) {
  const bool by_megatron = software.framework == spec::Framework::megatron_lm ||
                           software.framework == spec::Framework::deepspeed;
  return software.compiled || by_megatron;
}

bool repeats_latent_up(const spec::RunSpec& spec) {
  return spec.model.attention == spec::AttentionKind::latent &&
         spec.software.framework == spec::Framework::megatron_lm;
}

int num_residual_norms(const spec::ModelConfig& model) {
  return 2 * ((model.has_pre_norm() ? 1 : 0) + (model.has_post_norm() ? 1 : 0));
}

StreamedBytes streamed_bytes(const spec::RunSpec& spec,
                             const RankRates& rates,
                             const FittedTimes& fitted,
                             bool moe) {
  const spec::ModelConfig& m = spec.model;
  const double size = spec.layout.tensor_parallel_size;
  const double hidden = m.hidden_size;
  const double tokens = rates.tokens;
  const double residual_tokens = rates.residual_tokens;
  const double element = rates.element_bytes;
  const int norms = num_residual_norms(m);
  // Norms (read, write), branch outputs set aside for the norm behind them (read, write) and two
  // residual sums (read two, write one).
  const double aside = m.has_post_norm() ? 2 : 0;
  double elements = residual_tokens * hidden * ((norms + aside) * 2 + 2 * 3);
  double cheap = residual_tokens * hidden * norms * 2;
  const bool latent = m.attention == spec::AttentionKind::latent;
  const double head_width = latent ? m.qk_rope_head_dim : m.head_dim;
  const double rotated =
      head_width * (m.num_attention_heads + (latent ? 1 : m.num_key_value_heads)) / size;
  elements += tokens * rotated * (m.qk_norm == spec::QkNormKind::none ? 2 : 4);
  if (latent) {  // norms of latent vectors; keys and values set together
    const double assembled = m.num_attention_heads * double{1} * (m.qk_head_dim() + m.v_head_dim);
    const double latent_norms = tokens * 2 * (double{1} * m.q_lora_rank + m.kv_lora_rank);
    elements += latent_norms + tokens * 2 * assembled / size;
    cheap += latent_norms;
    if (repeats_latent_up(spec)) cheap += tokens * 2 * (rotated + assembled / size);
  }
  const double inner = m.gated() ? 3 : 2;  // gate, up -> act; or in -> act
  double expert_elements = 0;
  double activations = 0;
  if (moe) {
    const double rows = residual_tokens * m.rows_per_token();
    expert_elements = permutation_accesses(spec, fitted) * rows * hidden;
    const double routed = spec.software.fused_experts ? 0 : inner * rows * m.moe_ffn_hidden_size;
    expert_elements += routed;
    // Noise, in f32, and the router's input times it.
    if (m.router_jitter > 0) elements += 3 * residual_tokens * hidden * 4 / element;
    const double shared = inner * tokens * m.num_shared_experts * m.moe_ffn_hidden_size / size;
    elements += shared;
    elements += 2 * residual_tokens * m.num_experts * 4 / element;  // scores, in f32
    activations = routed + shared;
  } else {
    activations = inner * tokens * m.ffn_hidden_size / size;
    elements += activations;
  }
  const double bytes = element * (fuses_elementwise(spec.software) ? 1 : fitted.eager_traffic);
  return {.all = (elements + expert_elements) * bytes,
          .experts = expert_elements * bytes,
          .cheap = (cheap + activations) * bytes};
}

}  // namespace tera::plan
