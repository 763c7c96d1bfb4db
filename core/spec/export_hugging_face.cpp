// ModelConfig -> config.json of the transformers library. A family has an architecture when reading
// back what was written for it gives the same architecture: import is the judge of export.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/spec/export.h"

namespace tera::spec {
namespace {

using nlohmann::json;

// --- one config.json per family ------------------------------------------------------------------

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

// Legacy form, which versions 4 and 5 read. mscale as DeepSeek has it: cosines and sines by its
// ratio to mscale_all_dim, scores by the square of mscale_all_dim's factor.
json rope_scaling(const ModelConfig& m) {
  json rope;
  if (m.rope_scaling == RopeScaling::none) return rope;
  rope["rope_type"] = rope["type"] = enum_name(m.rope_scaling);
  rope["factor"] = m.rope_factor;
  if (m.rope_scaling == RopeScaling::linear) return rope;
  rope["original_max_position_embeddings"] = m.rope_original_max_position;
  if (m.rope_scaling == RopeScaling::llama3) {
    rope["low_freq_factor"] = m.rope_low_freq_factor;
    rope["high_freq_factor"] = m.rope_high_freq_factor;
    return rope;
  }
  rope["beta_fast"] = m.rope_beta_fast;
  rope["beta_slow"] = m.rope_beta_slow;
  if (m.attention_scale > 0 && m.rope_factor > 1) {
    const double soft = std::sqrt(m.attention_scale * std::sqrt(double{1} * m.qk_head_dim()));
    const double log_factor = 0.1 * std::log(m.rope_factor);
    const double angle = m.rope_attention_factor > 0 ? m.rope_attention_factor : log_factor + 1;
    rope["mscale_all_dim"] = (soft - 1) / log_factor;
    rope["mscale"] = (angle * soft - 1) / log_factor;
  } else if (m.rope_attention_factor > 0) {
    rope["attention_factor"] = m.rope_attention_factor;
  }
  return rope;
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
          {"rope_scaling", rope_scaling(m)}};
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
    FamilyWriter{write_deepseek_v3, "DeepseekV3ForCausalLM"}};

// What the libraries write into every file.
json write_config(HuggingFaceFamily family,
                  const ModelConfig& model,
                  const HuggingFaceExportOptions& options) {
  const FamilyWriter& writer = kWriters[static_cast<std::size_t>(family)];
  const json end = options.end_token_id >= 0 ? json(options.end_token_id) : json();
  return with(writer.write(model), {{"architectures", {writer.architecture}},
                                    {"model_type", enum_name(family)},
                                    {"torch_dtype", options.bf16 ? "bfloat16" : "float32"},
                                    {"vocab_size", model.vocab_size},
                                    {"tie_word_embeddings", model.tie_embeddings},
                                    {"initializer_range", model.init_std},
                                    {"bos_token_id", end},
                                    {"eos_token_id", end},
                                    {"pad_token_id", json()},
                                    {"use_cache", true},
                                    {"transformers_version", "5.23.0"}});
}

// --- what a family cannot express ----------------------------------------------------------------

// Settings of training: they do not change what the model computes for a text.
const std::set<std::string_view> kTrainingOnly = {
    "aux_loss_coeff", "aux_loss_scope",         "z_loss_coeff",
    "router_jitter",  "expert_capacity_factor", "capacity_policy",
    "num_mtp_layers", "mtp_loss_coeff",         "init_std",
    "init_method"};

// The settings of experts, at their defaults.
void without_experts(ModelConfig& m) {
  const ModelConfig defaults;
  m.router_top_k = m.moe_ffn_hidden_size = m.num_shared_experts = m.num_dense_layers = 0;
  m.shared_expert_gate = false;
  m.moe_layer_interval = 1;
  m.router_score = defaults.router_score;
  m.router_choice = defaults.router_choice;
  m.router_renormalize = false;
  m.routed_scaling_factor = 1;
  m.router_num_groups = 1;
  m.expert_capacity_factor = m.router_jitter = 0;
  m.aux_loss_coeff = m.z_loss_coeff = m.expert_bias_update_rate = 0;
}

// Fields that have no effect in this architecture at their defaults, so that they compare equal.
ModelConfig without_idle_fields(ModelConfig m) {
  const ModelConfig defaults;
  if (m.attention == AttentionKind::latent) {
    m.head_dim = defaults.head_dim;
    m.num_key_value_heads = m.num_attention_heads;
  } else {
    m.q_lora_rank = m.kv_lora_rank = m.qk_nope_head_dim = m.qk_rope_head_dim = m.v_head_dim = 0;
  }
  if (m.position == PositionKind::learned) {
    m.rope_theta = defaults.rope_theta;
    m.rotary_fraction = defaults.rotary_fraction;
    m.rope_scaling = RopeScaling::none;
  }
  if (m.rope_scaling != RopeScaling::yarn) {
    m.rope_beta_fast = defaults.rope_beta_fast;
    m.rope_beta_slow = defaults.rope_beta_slow;
    m.rope_attention_factor = 0;
  } else if (m.rope_attention_factor == 0) {
    m.rope_attention_factor = 0.1 * std::log(m.rope_factor) + 1;
  }
  if (m.rope_scaling != RopeScaling::llama3) {
    m.rope_low_freq_factor = defaults.rope_low_freq_factor;
    m.rope_high_freq_factor = defaults.rope_high_freq_factor;
    if (m.rope_scaling != RopeScaling::yarn) m.rope_original_max_position = 0;
  }
  if (m.rope_scaling == RopeScaling::none) m.rope_factor = 1;
  m.attention_scale = m.score_scale();
  if (m.num_mtp_layers == 0) m.mtp_loss_coeff = defaults.mtp_loss_coeff;
  if (m.num_experts == 0) {
    without_experts(m);
  } else if (m.num_moe_layers(m.num_layers) == m.num_layers) {
    m.ffn_hidden_size = 0;
    m.ffn_bias = false;
  }
  if (m.num_moe_layers(m.num_layers) == 1) {  // one layer follows from many settings
    m.num_dense_layers += m.moe_layer_interval - 1;
    m.moe_layer_interval = 1;
  }
  if (m.router_num_groups == 1) {
    m.router_top_groups = defaults.router_top_groups;
    m.router_group_best = defaults.router_group_best;
  }
  // The rate is of training, but whether there is a bias is of the architecture.
  if (m.expert_bias_update_rate > 0) m.expert_bias_update_rate = 0.001;
  return m;
}

using FieldValue = std::variant<double, std::string_view>;

struct FieldCollector {
  std::vector<std::pair<std::string_view, FieldValue>>& values;
  template <class T>
  void operator()(const Field& field, const T& member) const {
    if constexpr (std::is_enum_v<T>) {
      values.emplace_back(field.name, enum_name(member));
    } else {
      values.emplace_back(field.name, static_cast<double>(member));
    }
  }
};

std::vector<std::pair<std::string_view, FieldValue>> fields_of(const ModelConfig& model) {
  std::vector<std::pair<std::string_view, FieldValue>> values;
  ModelConfig::visit_fields(model, FieldCollector{values});
  return values;
}

std::string shown(const FieldValue& value) {
  if (const double* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  return std::string(std::get<std::string_view>(value));
}

bool equal(const FieldValue& a, const FieldValue& b) {
  const double* x = std::get_if<double>(&a);
  const double* y = std::get_if<double>(&b);
  if (x == nullptr || y == nullptr) return a == b;
  // Factors go through logarithms and square roots on their way.
  return std::abs(*x - *y) <= 1e-9 * std::max(std::abs(*x), std::abs(*y));
}

struct Misfits {
  std::vector<Diagnostic> architecture, training;
  int num_mtp_layers = 0;  // that the family has
};

Misfits misfits(const ModelConfig& model, HuggingFaceFamily family, const std::string& config) {
  Misfits found;
  const HuggingFaceConfig back = parse_hugging_face_config(config);
  found.num_mtp_layers = back.model.num_mtp_layers;
  const auto ours = fields_of(without_idle_fields(model));
  const auto theirs = fields_of(without_idle_fields(back.model));
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (equal(ours[i].second, theirs[i].second)) continue;
    const bool training = kTrainingOnly.contains(ours[i].first);
    (training ? found.training : found.architecture)
        .push_back(
            {.severity = training ? Severity::note : Severity::error,
             .field = fmt::format("model.{}", ours[i].first),
             .message = fmt::format("{} has no place in {}, which has {}", shown(ours[i].second),
                                    enum_name(family), shown(theirs[i].second)),
             .hint = {}});
  }
  for (const Diagnostic& d : back.diagnostics) {
    if (d.severity == Severity::error) found.architecture.push_back(d);
  }
  return found;
}

// Keys of the file the model came from that nobody here writes.
json with_source(json config, const std::string& source) {
  const json original = json::parse(source, nullptr, false);
  if (!original.is_object() || original.value("model_type", json()) != config["model_type"]) {
    return config;
  }
  json merged = original;
  for (const char* key : {"rope_parameters", "quantization_config", "dtype", "layer_types"})
    merged.erase(key);
  merged.update(config);
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    if (original.contains(key)) merged[key] = original[key];
  }
  return merged;
}

// From the simplest on, but first that of the file the model came from.
std::vector<HuggingFaceFamily> candidates(const std::string& source) {
  std::vector<HuggingFaceFamily> families;
  for (std::size_t i = 0; i < kWriters.size(); ++i)
    families.push_back(static_cast<HuggingFaceFamily>(i));
  const HuggingFaceConfig config = parse_hugging_face_config(source);
  const auto own = std::find(families.begin(), families.end(), config.family);
  if (config.ok()) std::rotate(families.begin(), own, own + 1);
  return families;
}

}  // namespace

Result<HuggingFaceExport> export_hugging_face(const ModelConfig& model,
                                              const HuggingFaceExportOptions& options) {
  std::optional<std::pair<HuggingFaceFamily, Misfits>> nearest;
  for (const HuggingFaceFamily family : candidates(options.source_config)) {
    const json config = write_config(family, model, options);
    Misfits found = misfits(model, family, config.dump());
    if (found.architecture.empty()) {
      ModelConfig written = model;
      written.num_mtp_layers = found.num_mtp_layers;
      return HuggingFaceExport{
          .family = family,
          .model = written,
          .config_json = with_source(config, options.source_config).dump(2) + "\n",
          .notes = std::move(found.training)};
    }
    if (!nearest || found.architecture.size() < nearest->second.architecture.size())
      nearest = {family, std::move(found)};
  }
  std::string fields;
  for (const Diagnostic& d : nearest->second.architecture)
    fields += fmt::format("{}{}: {}", fields.empty() ? "" : "; ", d.field, d.message);
  return fail(
      ErrorCode::unsupported,
      fmt::format("no architecture of transformers is this model; the nearest is {}, but {}",
                  enum_name(nearest->first), fields));
}

}  // namespace tera::spec
