#include "core/spec/hugging_face_write.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "core/spec/hugging_face_rope.h"

namespace tera::spec::hugging_face {
namespace {

using nlohmann::json;

std::string_view activation_name(ActivationKind activation) {
  switch (activation) {
    case ActivationKind::gelu:
      return "gelu_new";
    case ActivationKind::gelu_exact:
      return "gelu";
    case ActivationKind::relu:
      return "relu";
    case ActivationKind::relu_squared:
      return "relu2";
    case ActivationKind::swiglu:
    case ActivationKind::geglu:
      break;
  }
  return "silu";
}

json decoder(const ModelConfig& m) {
  return {{"num_hidden_layers", m.num_layers},
          {"hidden_size", m.hidden_size},
          {"num_attention_heads", m.num_attention_heads},
          {"num_key_value_heads", m.num_key_value_heads},
          {"intermediate_size", m.ffn_hidden_size},
          {"max_position_embeddings", m.max_position_embeddings},
          {"rms_norm_eps", m.norm_eps},
          {"hidden_act", "silu"},
          {"attention_dropout", 0.0},
          {"rope_theta", m.rope_theta},
          {"rope_scaling", write_rope_scaling(m)}};
}

json with(json values, json more) {
  values.update(more);
  return values;
}

json with_head_dim(const ModelConfig& m, json more) {
  more["head_dim"] = m.head_dim;
  return with(decoder(m), std::move(more));
}

json window_of(const ModelConfig& m) {
  return m.sliding_window > 0 ? json(m.sliding_window) : json();
}

json qwen_window(const ModelConfig& m) {
  json values = {{"use_sliding_window", m.sliding_window > 0}, {"sliding_window", window_of(m)}};
  if (m.sliding_window > 0) values["max_window_layers"] = 0;
  return values;
}

bool biased(const ModelConfig& m) {
  return m.attention_bias == AttentionBias::all;
}

json write_gpt2(const ModelConfig& m) {
  return {{"n_layer", m.num_layers},
          {"n_embd", m.hidden_size},
          {"n_head", m.num_attention_heads},
          {"n_positions", m.max_position_embeddings},
          {"n_ctx", m.max_position_embeddings},
          {"n_inner", m.ffn_hidden_size == 4 * m.hidden_size ? json() : json(m.ffn_hidden_size)},
          {"activation_function", activation_name(m.activation)},
          {"layer_norm_epsilon", m.norm_eps},
          {"resid_pdrop", 0.0},
          {"embd_pdrop", 0.0},
          {"attn_pdrop", 0.0}};
}

json write_gpt_neox(const ModelConfig& m) {
  json values = decoder(m);
  for (const char* key : {"num_key_value_heads", "rms_norm_eps", "rope_theta"})
    values.erase(key);
  return with(std::move(values), {{"hidden_act", activation_name(m.activation)},
                                  {"hidden_dropout", 0.0},
                                  {"layer_norm_eps", m.norm_eps},
                                  {"rotary_pct", m.rotary_fraction},
                                  {"rotary_emb_base", m.rope_theta},
                                  {"attention_bias", biased(m)},
                                  {"use_parallel_residual", m.parallel_residual}});
}

json write_llama(const ModelConfig& m) {
  return with_head_dim(m, {{"attention_bias", biased(m)}, {"mlp_bias", m.ffn_bias}});
}

json write_mistral(const ModelConfig& m) {
  return with_head_dim(m, {{"sliding_window", window_of(m)}});
}

json write_qwen2(const ModelConfig& m) {
  json values = qwen_window(m);
  if (m.head_dim * m.num_attention_heads != m.hidden_size) values["head_dim"] = m.head_dim;
  return with(decoder(m), values);
}

json write_qwen3(const ModelConfig& m) {
  return with_head_dim(m, with(qwen_window(m), {{"attention_bias", biased(m)}}));
}

json write_olmo2(const ModelConfig& m) {
  json values = {{"attention_bias", biased(m)}};
  if (m.head_dim * m.num_attention_heads != m.hidden_size) values["head_dim"] = m.head_dim;
  return with(decoder(m), values);
}

// The inverse of what import does to the weight of the balance loss.
double aux_coeff(const ModelConfig& m) {
  return m.aux_loss_coeff * m.num_moe_layers(m.num_layers) / std::max(1, m.router_top_k);
}

json write_mixtral(const ModelConfig& m) {
  return with_head_dim(m, {{"sliding_window", window_of(m)},
                           {"intermediate_size", m.moe_ffn_hidden_size},
                           {"num_local_experts", m.num_experts},
                           {"num_experts_per_tok", m.router_top_k},
                           {"router_aux_loss_coef", aux_coeff(m)},
                           {"router_jitter_noise", 0.0},
                           {"output_router_logits", false}});
}

json write_olmoe(const ModelConfig& m) {
  return with(decoder(m), {{"intermediate_size", m.moe_ffn_hidden_size},
                           {"num_experts", m.num_experts},
                           {"num_experts_per_tok", m.router_top_k},
                           {"norm_topk_prob", m.router_renormalize},
                           {"router_aux_loss_coef", aux_coeff(m)},
                           {"attention_bias", biased(m)},
                           {"clip_qkv", json()},
                           {"output_router_logits", false}});
}

// Experts of the sparse models of Qwen. Which layers have them: every so many-th, counted from the
// first layer, or all but those listed.
json qwen_experts(const ModelConfig& m) {
  const bool counted = m.num_dense_layers == 0;
  json dense = json::array();
  for (int i = 0; i < m.num_layers && !counted; ++i) {
    if (!m.is_moe_layer(i)) dense.push_back(i);
  }
  return {{"moe_intermediate_size", m.moe_ffn_hidden_size},
          {"num_experts", m.num_experts},
          {"num_experts_per_tok", m.router_top_k},
          {"norm_topk_prob", m.router_renormalize},
          {"decoder_sparse_step", counted ? m.moe_layer_interval : 1},
          {"mlp_only_layers", std::move(dense)},
          {"router_aux_loss_coef", aux_coeff(m)},
          {"output_router_logits", false}};
}

json write_qwen2_moe(const ModelConfig& m) {
  json values = qwen_experts(m);
  if (m.head_dim * m.num_attention_heads != m.hidden_size) values["head_dim"] = m.head_dim;
  values["qkv_bias"] = m.attention_bias == AttentionBias::qkv;
  values["use_sliding_window"] = false;
  values["shared_expert_intermediate_size"] = m.num_shared_experts * m.moe_ffn_hidden_size;
  return with(decoder(m), std::move(values));
}

json write_qwen3_moe(const ModelConfig& m) {
  json values = write_qwen3(m);
  values.erase("max_window_layers");
  return with(std::move(values), qwen_experts(m));
}

json write_deepseek(const ModelConfig& m) {
  return with(decoder(m), {{"q_lora_rank", m.q_lora_rank > 0 ? json(m.q_lora_rank) : json()},
                           {"kv_lora_rank", m.kv_lora_rank},
                           {"qk_nope_head_dim", m.qk_nope_head_dim},
                           {"qk_rope_head_dim", m.qk_rope_head_dim},
                           {"v_head_dim", m.v_head_dim},
                           {"num_key_value_heads", m.num_attention_heads},
                           {"first_k_dense_replace", m.num_dense_layers},
                           {"moe_layer_freq", 1},
                           {"moe_intermediate_size", m.moe_ffn_hidden_size},
                           {"n_routed_experts", m.num_experts},
                           {"num_experts_per_tok", m.router_top_k},
                           {"n_shared_experts", m.num_shared_experts},
                           {"routed_scaling_factor", m.routed_scaling_factor},
                           {"norm_topk_prob", m.router_renormalize},
                           {"aux_loss_alpha", m.aux_loss_coeff},
                           {"n_group", m.router_num_groups},
                           {"topk_group", m.router_top_groups},
                           {"attention_bias", false}});
}

json write_deepseek_v2(const ModelConfig& m) {
  const char* method = m.router_num_groups > 1 ? "group_limited_greedy" : "greedy";
  return with(write_deepseek(m), {{"scoring_func", "softmax"}, {"topk_method", method}});
}

json write_deepseek_v3(const ModelConfig& m) {
  return with(write_deepseek(m), {{"scoring_func", "sigmoid"},
                                  {"topk_method", "noaux_tc"},
                                  {"rope_interleave", true},
                                  {"num_nextn_predict_layers", m.num_mtp_layers}});
}

json write_grok_1(const ModelConfig& m) {
  json values = decoder(m);
  for (const char* key : {"hidden_act", "attention_dropout", "rope_theta", "rope_scaling"})
    values.erase(key);
  return with(std::move(values), {{"intermediate_size", m.moe_ffn_hidden_size},
                                  {"attn_output_multiplier", m.score_scale()},
                                  {"max_attn_value", m.attention_softcap},
                                  {"embedding_multiplier_scale", m.embedding_multiplier},
                                  {"output_multiplier_scale", m.logit_multiplier},
                                  {"num_experts", m.num_experts},
                                  {"num_experts_per_tok", m.router_top_k},
                                  {"router_aux_loss_coef", aux_coeff(m)},
                                  {"output_router_logits", false}});
}

struct FamilyWriter {
  json (*write)(const ModelConfig&);
  const char* architecture;
};

// In the order of the enumerators, which is from the simplest on.
constexpr std::array<FamilyWriter, EnumNames<HuggingFaceFamily>::value.size()> kWriters = {
    FamilyWriter{write_gpt2, "GPT2LMHeadModel"},
    FamilyWriter{write_gpt_neox, "GPTNeoXForCausalLM"},
    FamilyWriter{write_llama, "LlamaForCausalLM"},
    FamilyWriter{write_mistral, "MistralForCausalLM"},
    FamilyWriter{write_qwen2, "Qwen2ForCausalLM"},
    FamilyWriter{write_qwen3, "Qwen3ForCausalLM"},
    FamilyWriter{write_olmo2, "Olmo2ForCausalLM"},
    FamilyWriter{write_mixtral, "MixtralForCausalLM"},
    FamilyWriter{write_olmoe, "OlmoeForCausalLM"},
    FamilyWriter{write_qwen2_moe, "Qwen2MoeForCausalLM"},
    FamilyWriter{write_qwen3_moe, "Qwen3MoeForCausalLM"},
    FamilyWriter{write_deepseek_v2, "DeepseekV2ForCausalLM"},
    FamilyWriter{write_deepseek_v3, "DeepseekV3ForCausalLM"},
    FamilyWriter{write_grok_1, "Grok1ModelForCausalLM"}};

}  // namespace

json write_config(HuggingFaceFamily family,
                  const ModelConfig& model,
                  const HuggingFaceExportOptions& options) {
  const FamilyWriter& writer = kWriters[static_cast<std::size_t>(family)];
  const auto id = [](int token) { return token >= 0 ? json(token) : json(); };
  return with(writer.write(model), {{"architectures", {writer.architecture}},
                                    {"model_type", enum_name(family)},
                                    {"torch_dtype", options.bf16 ? "bfloat16" : "float32"},
                                    {"vocab_size", model.vocab_size},
                                    {"tie_word_embeddings", model.tie_embeddings},
                                    {"initializer_range", model.init_std},
                                    {"bos_token_id", id(options.begin_token_id)},
                                    {"eos_token_id", id(options.end_token_id)},
                                    {"pad_token_id", json()},
                                    {"use_cache", true},
                                    {"transformers_version", "5.23.0"}});
}

}  // namespace tera::spec::hugging_face
