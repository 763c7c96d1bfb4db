// A spec as the command that starts Megatron-LM.
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "core/spec/interchange/layer_pattern.h"
#include "core/spec/interchange/megatron_table.h"
#include "core/spec/interchange/pipeline_chunks.h"

namespace tera::spec {
namespace {

void write_attention(const ModelConfig& m, SettingList& out) {
  if (m.attention == AttentionKind::grouped_query) {
    if (m.head_dim * m.num_attention_heads != m.hidden_size)
      out.push_back(whole_setting("--kv-channels", m.head_dim));
    if (m.num_key_value_heads != m.num_attention_heads) {
      out.push_back(flag_setting("--group-query-attention"));
      out.push_back(whole_setting("--num-query-groups", m.num_key_value_heads));
    }
  }
  if (m.attention == AttentionKind::latent || m.qk_norm == QkNormKind::per_head)
    out.push_back(flag_setting("--qk-layernorm"));
  const bool dense = m.num_moe_layers(m.num_layers) < m.num_layers;
  if (m.attention_bias != AttentionBias::all && (!dense || !m.ffn_bias)) {
    out.push_back(flag_setting("--disable-bias-linear"));
    if (m.attention_bias == AttentionBias::qkv) out.push_back(flag_setting("--add-qkv-bias"));
  }
  if (m.sliding_window > 0)
    out.push_back(text_setting("--window-size", fmt::format("{},0", m.sliding_window - 1)));
  if (m.rope_scaling == RopeScaling::llama3) {
    out.push_back(flag_setting("--use-rope-scaling"));
    out.push_back(number_setting("--rope-scaling-factor", m.rope_factor));
  } else if (m.rope_scaling == RopeScaling::linear) {
    out.push_back(
        whole_setting("--rotary-seq-len-interpolation-factor", std::llround(m.rope_factor)));
  } else if (m.rope_scaling == RopeScaling::yarn && m.attention == AttentionKind::latent) {
    const double soft = std::sqrt(m.score_scale() * std::sqrt(double{1} * m.qk_head_dim()));
    const double angle =
        m.rope_attention_factor > 0 ? m.rope_attention_factor : yarn_softening(m.rope_factor, 1);
    const double log_factor = 0.1 * std::log(m.rope_factor);
    out.push_back(text_setting("--rope-type", "yarn"));
    out.push_back(number_setting("--rotary-scaling-factor", m.rope_factor));
    const auto rounded = [](double value) { return std::round(value * 1e9) / 1e9; };
    out.push_back(number_setting("--mscale", rounded((angle * soft - 1) / log_factor)));
    out.push_back(number_setting("--mscale-all-dim", rounded((soft - 1) / log_factor)));
  }
}

void write_feed_forward(const ModelConfig& m, SettingList& out) {
  if (m.activation == ActivationKind::gelu_exact)
    out.push_back(flag_setting("--no-bias-gelu-fusion"));
  if (m.ffn_hidden_size > 0) out.push_back(whole_setting("--ffn-hidden-size", m.ffn_hidden_size));
  if (m.num_experts == 0) return;
  out.push_back(whole_setting("--moe-ffn-hidden-size", m.moe_ffn_hidden_size));
  if (m.num_shared_experts > 0) {
    out.push_back(whole_setting("--moe-shared-expert-intermediate-size",
                                std::int64_t{m.num_shared_experts} * m.moe_ffn_hidden_size));
  }
  if (const std::string pattern = layer_pattern(m); !pattern.empty())
    out.push_back(text_setting("--moe-layer-freq", pattern));
  if (!m.router_renormalize) out.push_back(flag_setting("--moe-router-pre-softmax"));
  if (m.expert_bias_update_rate > 0) out.push_back(flag_setting("--moe-router-enable-expert-bias"));
}

void write_training(const RunSpec& spec, SettingList& out) {
  const TrainingConfig& t = spec.training;
  if (t.has_batch_ramp()) {
    Setting ramp = text_setting("--rampup-batch-size",
                                fmt::format("{} {} {}", t.rampup_batch_size, t.rampup_increment,
                                            t.rampup_tokens / t.seq_length));
    ramp.kind = Setting::Kind::bare;
    out.push_back(std::move(ramp));
  }
  constexpr std::string_view kStrategies[] = {"", "", "optim_grads", "optim_grads_params"};
  const int zero = spec.layout.zero_stage;
  if (zero > 0) out.push_back(flag_setting("--use-distributed-optimizer"));
  if (zero > 1) {
    out.push_back(flag_setting("--use-megatron-fsdp"));
    out.push_back(text_setting("--data-parallel-sharding-strategy",
                               std::string(kStrategies[static_cast<std::size_t>(zero)])));
  }
  write_megatron_chunks(spec, out);
  write_megatron_software(spec, out);
  write_megatron_states(spec, out);
  const int tensor = spec.layout.tensor_parallel_size;
  out.push_back(whole_setting("--vocab-size", spec.model.vocab_size));
  if (spec.model.vocab_size % (kMegatronVocabMultiple * tensor) != 0)
    out.push_back(whole_setting("--make-vocab-size-divisible-by", 1));
}

}  // namespace

std::string export_megatron(const RunSpec& spec) {
  SettingList out = written_rows(megatron_mapping(), spec);
  write_attention(spec.model, out);
  write_feed_forward(spec.model, out);
  write_training(spec, out);
  const std::int64_t ranks = spec.layout.world_size();
  constexpr std::int64_t kUsualNode = 8;
  const std::int64_t node =
      spec.cluster.devices_per_node > 1 ? spec.cluster.devices_per_node : kUsualNode;
  const std::int64_t per_node = std::gcd(ranks, node);
  return fmt::format("torchrun --nnodes {} --nproc-per-node {} pretrain_gpt.py{}", ranks / per_node,
                     per_node, write_arguments(out));
}

}  // namespace tera::spec
