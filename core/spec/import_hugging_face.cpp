// config.json of the transformers library -> ModelConfig. Keys and defaults: the configuration
// classes of transformers 5.23 and the published models; the meaning of each is checked against the
// library by tests/referee/hugging_face.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/json_read.h"
#include "core/spec/foreign_settings.h"
#include "core/spec/import.h"
#include "core/spec/suggest.h"
#include "core/spec/validate.h"

namespace tera::spec {
namespace {

using nlohmann::json;
using Settings = ForeignSettings;

constexpr JsonLimits kLimits = {.max_bytes = 1 << 20, .max_depth = 16, .unique_keys = true};

// Keys of the library itself, of tokenizers and of generation.
void ignore_common(Settings& s) {
  s.ignore({"architectures",
            "model_type",
            "torch_dtype",
            "dtype",
            "transformers_version",
            "use_cache",
            "bos_token_id",
            "eos_token_id",
            "pad_token_id",
            "_name_or_path",
            "_attn_implementation",
            "_attn_implementation_autoset",
            "attn_implementation",
            "output_attentions",
            "output_hidden_states",
            "output_router_logits",
            "return_dict",
            "pretraining_tp",
            "id2label",
            "label2id",
            "auto_map",
            "task_specific_params",
            "is_decoder",
            "is_encoder_decoder",
            "use_bfloat16",
            "tokenizer_class",
            "num_labels",
            "problem_type",
            "chunk_size_feed_forward",
            "torchscript",
            "classifier_dropout"});
}

// An activation of a feed-forward with two matrices.
ActivationKind plain_activation(Settings& s, std::string_view key, std::string otherwise) {
  const std::string name = s.text(key, std::move(otherwise));
  if (name == "gelu") return ActivationKind::gelu_exact;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") {
    return ActivationKind::gelu;
  }
  if (name == "relu") return ActivationKind::relu;
  if (name == "relu2") return ActivationKind::relu_squared;
  s.error(key, fmt::format("\"{}\" is not an activation the engine has", name),
          "it has gelu, gelu_new, gelu_pytorch_tanh, relu and relu2");
  return ActivationKind::gelu;
}

double yarn_factor(double stretch, double mscale) {
  return stretch <= 1 ? 1.0 : 0.1 * mscale * std::log(stretch) + 1.0;
}

// Returns mscale_all_dim, which some families soften their scores by.
double read_yarn(Settings& rope, ModelConfig& m) {
  m.rope_scaling = RopeScaling::yarn;
  m.rope_beta_fast = rope.number("beta_fast", m.rope_beta_fast);
  m.rope_beta_slow = rope.number("beta_slow", m.rope_beta_slow);
  const double mscale = rope.number("mscale", 0.0);
  const double mscale_all_dim = rope.number("mscale_all_dim", 0.0);
  if (rope.has("attention_factor")) {
    m.rope_attention_factor = rope.number("attention_factor");
  } else if (mscale != 0 && mscale_all_dim != 0) {
    m.rope_attention_factor =
        yarn_factor(m.rope_factor, mscale) / yarn_factor(m.rope_factor, mscale_all_dim);
  }
  rope.ignore({"attention_factor"});
  rope.expect("truncate", true, "the ramp begins and ends at whole dims here");
  return mscale_all_dim;
}

// Both forms: rope_theta beside rope_scaling (version 4), and rope_parameters (version 5). Returns
// mscale_all_dim, 0 when there is none.
double read_rope(Settings& s, ModelConfig& m, double default_theta) {
  Settings rope = s.object(s.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  s.ignore({"rope_parameters", "rope_scaling"});
  m.rope_theta = rope.number("rope_theta", s.number("rope_theta", default_theta));
  m.rotary_fraction =
      rope.number("partial_rotary_factor", s.number("partial_rotary_factor", m.rotary_fraction));
  const std::string type = rope.text("rope_type", rope.text("type", "default"));
  rope.ignore({"type"});
  if (type != "default") {
    const int original =
        rope.integer("original_max_position_embeddings", m.max_position_embeddings);
    m.rope_factor = rope.number(
        "factor",
        original > 0 ? double{1} * m.max_position_embeddings / std::max(1, original) : 1.0);
    if (type != "linear") m.rope_original_max_position = original;
  }
  double mscale_all_dim = 0;
  if (type == "linear") {
    m.rope_scaling = RopeScaling::linear;
  } else if (type == "llama3") {
    m.rope_scaling = RopeScaling::llama3;
    m.rope_low_freq_factor = rope.number("low_freq_factor");
    m.rope_high_freq_factor = rope.number("high_freq_factor");
  } else if (type == "yarn") {
    mscale_all_dim = read_yarn(rope, m);
  } else if (type != "default") {
    rope.error("rope_type", fmt::format("\"{}\" is not a scaling the engine has", type),
               "it has linear, llama3 and yarn");
  }
  rope.report_unknown();
  return mscale_all_dim;
}

// What all but GPT-2 share. Returns mscale_all_dim of the rotary scaling.
double read_sizes(Settings& s, ModelConfig& m, double default_theta) {
  m.num_layers = s.integer("num_hidden_layers");
  m.hidden_size = s.integer("hidden_size");
  m.num_attention_heads = s.integer("num_attention_heads");
  m.num_key_value_heads = s.integer("num_key_value_heads", m.num_attention_heads);
  m.head_dim = s.integer("head_dim", m.hidden_size / std::max(1, m.num_attention_heads));
  m.vocab_size = s.integer("vocab_size");
  m.max_position_embeddings = s.integer("max_position_embeddings");
  m.tie_embeddings = s.flag("tie_word_embeddings", false);
  m.init_std = s.number("initializer_range", 0.02);
  s.leave_out({"attention_dropout", "hidden_dropout"});
  return read_rope(s, m, default_theta);
}

// What llama and all that came after it share: RMSNorm and SwiGLU besides.
double read_decoder(Settings& s, ModelConfig& m, double default_eps, double default_theta = 1e4) {
  m.norm = NormKind::rms;
  m.norm_eps = s.number("rms_norm_eps", default_eps);
  m.activation = ActivationKind::swiglu;
  const std::string activation = s.text("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") {
    s.error("hidden_act", fmt::format("\"{}\", expected \"silu\"", activation));
  }
  return read_sizes(s, m, default_theta);
}

// transformers refuses heads that do not divide the hidden size in these families.
void expect_whole_heads(Settings& s, const ModelConfig& m, std::string_view key) {
  if (m.num_attention_heads > 0 && m.hidden_size % m.num_attention_heads != 0) {
    s.error(key, fmt::format("{} heads do not divide the hidden size {}", m.num_attention_heads,
                             m.hidden_size));
  }
}

AttentionBias all_or_none(bool bias) {
  return bias ? AttentionBias::all : AttentionBias::none;
}

// The same kind of attention in every layer, or an error.
void check_layer_types(Settings& s, std::string_view only) {
  const auto types = s.values().find("layer_types");
  s.ignore({"layer_types"});
  if (types == s.values().end() || !types->is_array()) return;
  for (const json& type : *types) {
    if (type == only) continue;
    s.error("layer_types", fmt::format("names {}, expected {} in every layer", type.dump(), only),
            "the engine has one kind of attention for all layers");
    return;
  }
}

void read_qwen_window(Settings& s, ModelConfig& m) {
  const int window = s.integer("sliding_window", 4096);
  const int first = s.integer("max_window_layers", 0);
  if (!s.flag("use_sliding_window", false) || first >= m.num_layers) {
    return check_layer_types(s, "full_attention");
  }
  m.sliding_window = window;
  if (!s.has("layer_types") && first > 0) {
    s.error("max_window_layers",
            fmt::format("the first {} of {} layers have no window", first, m.num_layers),
            "the engine has one window for all layers");
  }
  check_layer_types(s, "sliding_attention");
}

// The balance loss of the library pools all layers and is top-k when the load is even; ours is 1
// then and summed over the layers.
double aux_coeff_scale(const ModelConfig& m) {
  return double{1} * m.router_top_k / std::max(1, m.num_moe_layers(m.num_layers));
}

void read_experts(Settings& s, ModelConfig& m, std::string_view count_key, double default_aux) {
  const std::string_view other = count_key == "num_experts" ? "num_local_experts" : "num_experts";
  m.num_experts = s.integer(s.has(other) && !s.has(count_key) ? other : count_key);
  m.router_top_k = s.integer("num_experts_per_tok");
  m.router_score = RouterScore::softmax;
  s.ignore({"num_experts", "num_local_experts"});
  m.aux_loss_coeff = s.number("router_aux_loss_coef", default_aux);
}

// --- families ------------------------------------------------------------------------------------

void read_gpt2(Settings& s, ModelConfig& m) {
  m.num_layers = s.integer("n_layer");
  m.hidden_size = s.integer("n_embd");
  m.num_attention_heads = m.num_key_value_heads = s.integer("n_head");
  m.head_dim = m.hidden_size / std::max(1, m.num_attention_heads);
  m.vocab_size = s.integer("vocab_size");
  m.max_position_embeddings = s.integer("n_positions");
  m.position = PositionKind::learned;
  m.norm = NormKind::layer;
  m.norm_eps = s.number("layer_norm_epsilon", 1e-5);
  m.activation = plain_activation(s, "activation_function", "gelu_new");
  m.attention_bias = AttentionBias::all;
  m.ffn_bias = true;
  m.ffn_hidden_size = s.integer("n_inner", 4 * m.hidden_size);
  m.tie_embeddings = s.flag("tie_word_embeddings", true);
  m.init_std = s.number("initializer_range", 0.02);
  expect_whole_heads(s, m, "n_head");
  s.expect("scale_attn_weights", true, "scores are always divided by sqrt(head dim) here");
  s.expect("scale_attn_by_inverse_layer_idx", false, "scores do not depend on the layer here");
  s.expect("add_cross_attention", false, "only decoders are supported");
  s.leave_out({"resid_pdrop", "embd_pdrop", "attn_pdrop"});
  s.ignore({"n_ctx", "reorder_and_upcast_attn", "summary_type", "summary_use_proj",
            "summary_activation", "summary_proj_to_labels", "summary_first_dropout",
            "gradient_checkpointing"});
}

void read_gpt_neox(Settings& s, ModelConfig& m) {
  m.rotary_fraction = s.number("rotary_pct", 0.25);
  read_sizes(s, m, s.number("rotary_emb_base", 1e4));
  m.num_key_value_heads = m.num_attention_heads;
  m.norm = NormKind::layer;
  m.norm_eps = s.number("layer_norm_eps", 1e-5);
  m.activation = plain_activation(s, "hidden_act", "gelu");
  m.ffn_hidden_size = s.integer("intermediate_size");
  m.attention_bias = all_or_none(s.flag("attention_bias", true));
  m.ffn_bias = true;
  m.parallel_residual = s.flag("use_parallel_residual", true);
  expect_whole_heads(s, m, "num_attention_heads");
}

void read_llama(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-6);
  m.ffn_hidden_size = s.integer("intermediate_size");
  m.attention_bias = all_or_none(s.flag("attention_bias", false));
  m.ffn_bias = s.flag("mlp_bias", false);
  expect_whole_heads(s, m, "num_attention_heads");
}

void read_mistral(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-6);
  m.ffn_hidden_size = s.integer("intermediate_size");
  const bool absent = !s.values().contains("sliding_window");  // null is none, absent the default
  m.sliding_window = s.integer("sliding_window", absent ? 4096 : 0);
  check_layer_types(s, m.sliding_window > 0 ? "sliding_attention" : "full_attention");
}

void read_mixtral(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-5, 1e6);
  m.sliding_window = s.integer("sliding_window", 0);
  m.moe_ffn_hidden_size = s.integer("intermediate_size");
  read_experts(s, m, "num_local_experts", 0.001);
  m.router_renormalize = true;
  s.leave_out({"router_jitter_noise"});
}

void read_qwen2(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-6);
  m.ffn_hidden_size = s.integer("intermediate_size");
  m.attention_bias = AttentionBias::qkv;
  read_qwen_window(s, m);
}

void read_qwen3(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-6);
  m.ffn_hidden_size = s.integer("intermediate_size");
  m.attention_bias = all_or_none(s.flag("attention_bias", false));
  m.qk_norm = QkNormKind::per_head;
  read_qwen_window(s, m);
}

// Layers without experts: those of mlp_only_layers, and all but every decoder_sparse_step-th.
void read_qwen_sparsity(Settings& s, ModelConfig& m) {
  const int step = s.integer("decoder_sparse_step", 1);
  const auto listed = s.values().find("mlp_only_layers");
  s.ignore({"mlp_only_layers"});
  m.moe_layer_interval = step;
  if (listed == s.values().end() || listed->is_null() || listed->empty()) return;
  constexpr int kMostLayers = 10000;  // of model.num_layers
  if (!listed->is_array() || step < 1 || m.num_layers > kMostLayers) {
    return s.error("mlp_only_layers",
                   fmt::format("{}, expected a list of layers", listed->dump().substr(0, 80)));
  }
  std::vector<int> sparse;
  for (int i = step - 1; i < m.num_layers; i += step) {
    if (std::find(listed->begin(), listed->end(), json(i)) == listed->end()) sparse.push_back(i);
  }
  if (sparse.empty()) return s.error("mlp_only_layers", "leaves no layer with experts");
  const int first = sparse.front();
  m.moe_layer_interval = sparse.size() > 1 ? sparse[1] - first : m.num_layers - first;
  m.num_dense_layers = std::max(0, first - m.moe_layer_interval + 1);
  for (int i = 0; i < m.num_layers; ++i) {
    if (m.is_moe_layer(i) == std::binary_search(sparse.begin(), sparse.end(), i)) continue;
    return s.error(
        "mlp_only_layers",
        fmt::format("{}, which leaves experts in layers {}: the engine has them in every "
                    "n-th layer behind leading dense ones",
                    listed->dump().substr(0, 80), fmt::join(sparse, ", ")));
  }
}

// What the sparse models of Qwen add to the dense ones.
void read_qwen_experts(Settings& s, ModelConfig& m) {
  read_experts(s, m, "num_experts", 0.001);
  m.moe_ffn_hidden_size = s.integer("moe_intermediate_size");
  m.router_renormalize = s.flag("norm_topk_prob", false);
  read_qwen_sparsity(s, m);
}

void read_qwen2_moe(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-6);
  m.ffn_hidden_size = s.integer("intermediate_size");
  m.attention_bias = s.flag("qkv_bias", true) ? AttentionBias::qkv : AttentionBias::none;
  s.expect("use_sliding_window", false, "the library gives every other layer a window then");
  s.ignore({"sliding_window", "max_window_layers"});
  check_layer_types(s, "full_attention");
  read_qwen_experts(s, m);
  m.shared_expert_gate = true;
  const int shared = s.integer("shared_expert_intermediate_size", 5632);
  m.num_shared_experts = shared / std::max(1, m.moe_ffn_hidden_size);
  if (shared < 1 || m.num_shared_experts * m.moe_ffn_hidden_size != shared) {
    s.error("shared_expert_intermediate_size",
            fmt::format("is {}, expected a multiple of moe_intermediate_size {}", shared,
                        m.moe_ffn_hidden_size),
            "the engine counts shared experts as wide as routed ones");
  }
}

void read_qwen3_moe(Settings& s, ModelConfig& m) {
  read_qwen3(s, m);
  read_qwen_experts(s, m);
}

void read_olmo2(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-5);
  m.ffn_hidden_size = s.integer("intermediate_size");
  m.attention_bias = all_or_none(s.flag("attention_bias", false));
  m.qk_norm = QkNormKind::full;
  m.norm_placement = NormPlacement::post;
}

void read_olmoe(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-5);
  m.attention_bias = all_or_none(s.flag("attention_bias", false));
  m.qk_norm = QkNormKind::full;
  read_experts(s, m, "num_experts", 0.01);
  m.moe_ffn_hidden_size = s.integer("intermediate_size");
  m.router_renormalize = s.flag("norm_topk_prob", false);
  s.expect("clip_qkv", nullptr, "queries, keys and values are not clamped here");
}

// Latent attention, leading dense layers and shared experts, common to versions 2 and 3.
void read_deepseek(Settings& s, ModelConfig& m) {
  const double mscale_all_dim = read_decoder(s, m, 1e-6);
  m.attention = AttentionKind::latent;
  m.q_lora_rank = s.integer("q_lora_rank", 0);
  m.kv_lora_rank = s.integer("kv_lora_rank");
  m.qk_nope_head_dim = s.integer("qk_nope_head_dim");
  m.qk_rope_head_dim = s.integer("qk_rope_head_dim");
  m.v_head_dim = s.integer("v_head_dim");
  m.head_dim = std::max(1, m.v_head_dim);
  m.num_key_value_heads = m.num_attention_heads;
  s.ignore({"head_dim", "qk_head_dim", "ep_size", "num_key_value_heads"});
  s.expect("attention_bias", false, "latent attention has no biases here");
  if (s.has("rms_norm_eps") && m.norm_eps != 1e-6) {
    // The library's norms of the latent vectors keep their default.
    s.error("rms_norm_eps", fmt::format("is {}, expected 1e-06: the norms of the latent vectors "
                                        "have it always",
                                        m.norm_eps));
  }
  if (mscale_all_dim != 0) {
    const double soft = yarn_factor(m.rope_factor, mscale_all_dim);
    m.attention_scale = soft * soft / std::sqrt(double{1} * m.qk_head_dim());
  }
  m.ffn_hidden_size = s.integer("intermediate_size");
  m.num_dense_layers = s.integer("first_k_dense_replace", 0);
  m.moe_ffn_hidden_size = s.integer("moe_intermediate_size");
  m.num_experts = s.integer("n_routed_experts");
  m.router_top_k = s.integer("num_experts_per_tok");
  m.num_shared_experts = s.integer("n_shared_experts", 0);
  m.routed_scaling_factor = s.number("routed_scaling_factor", 1.0);
  s.expect("moe_layer_freq", 1, "after the dense layers every layer has experts");
  m.aux_loss_coeff = s.number("aux_loss_alpha", 0.0);
  s.ignore({"seq_aux"});
}

void read_groups(Settings& s, ModelConfig& m) {
  m.router_num_groups = s.integer("n_group", 1);
  m.router_top_groups = s.integer("topk_group", 1);
}

void read_deepseek_v2(Settings& s, ModelConfig& m) {
  read_deepseek(s, m);
  m.router_score = RouterScore::softmax;
  s.expect("scoring_func", "softmax", "the scores of version 2");
  const std::string method = s.text("topk_method", "greedy");
  if (method == "group_limited_greedy") {
    read_groups(s, m);
    m.router_group_best = 1;
  } else if (method != "greedy") {
    s.error("topk_method", fmt::format("\"{}\", expected \"greedy\" or \"group_limited_greedy\"",
                                       method.substr(0, 60)));
  }
  s.expect("norm_topk_prob", false, "implementations of version 2 disagree on what it scales");
  s.expect("mlp_bias", false, "these layers have no biases here");
  s.ignore({"n_group", "topk_group"});
}

void read_deepseek_v3(Settings& s, ModelConfig& m) {
  read_deepseek(s, m);
  m.router_score = RouterScore::sigmoid;
  m.router_renormalize = s.flag("norm_topk_prob", true);
  read_groups(s, m);
  // Step of the bias. Source: DeepSeek-AI 2024, DeepSeek-V3, section 4.2.
  m.expert_bias_update_rate = 0.001;
  s.expect("scoring_func", "sigmoid", "the scores of version 3");
  s.expect("topk_method", "noaux_tc", "the choice of version 3");
  m.num_mtp_layers = s.integer("num_nextn_predict_layers", s.integer("num_mtp_layers", 0));
}

using Read = void (*)(Settings&, ModelConfig&);
constexpr std::array<Read, EnumNames<HuggingFaceFamily>::value.size()> kRead = {
    read_gpt2,      read_gpt_neox,    read_llama,      read_mistral, read_qwen2,
    read_qwen3,     read_olmo2,       read_mixtral,    read_olmoe,   read_qwen2_moe,
    read_qwen3_moe, read_deepseek_v2, read_deepseek_v3};

void read_quantization(Settings& s, int& fp8_block_size) {
  if (!s.has("quantization_config")) return s.ignore({"quantization_config"});
  Settings q = s.object("quantization_config");
  const std::string method = q.text("quant_method", "");
  const json block = q.values().value("weight_block_size", json());
  if (method != "fp8" || q.text("fmt", "e4m3") != "e4m3" || !block.is_array() ||
      block.size() != 2 || !block[0].is_number_unsigned() || block[0] != block[1] ||
      block[0].get<std::uint64_t>() < 1 || block[0].get<std::uint64_t>() > 65536) {
    s.error(
        "quantization_config",
        fmt::format("{} is not a quantisation the engine reads", q.values().dump().substr(0, 100)),
        "fp8 e4m3 with square weight blocks is; otherwise take the unquantised files");
    return;
  }
  fp8_block_size = block[0].get<int>();
}

void check_architectures(Settings& s) {
  const auto names = s.values().find("architectures");
  if (names == s.values().end() || !names->is_array() || names->empty()) return;
  for (const json& name : *names) {
    const std::string text = name.is_string() ? name.get<std::string>() : name.dump();
    if (text.ends_with("ForCausalLM") || text.ends_with("LMHeadModel")) return;
  }
  s.error("architectures", fmt::format("{}, expected a model with a language-model head",
                                       names->dump().substr(0, 80)));
}

// Ranges of the fields and the rules of the architecture, in our words.
void check_result(const ModelConfig& model, std::vector<Diagnostic>& diagnostics) {
  RunSpec spec;
  spec.model = model;
  for (Diagnostic& d : validate(spec)) {
    if (d.severity == Severity::error && d.field.starts_with("model"))
      diagnostics.push_back(std::move(d));
  }
}

}  // namespace

HuggingFaceConfig parse_hugging_face_config(std::string_view text) {
  HuggingFaceConfig config;
  const auto refuse = [&](std::string field, std::string message, std::string hint = {}) {
    config.diagnostics.push_back({.severity = Severity::error,
                                  .field = std::move(field),
                                  .message = std::move(message),
                                  .hint = std::move(hint)});
    return config;
  };
  const Result<json> parsed = parse_json(text, kLimits);
  if (!parsed) return refuse("", parsed.error().message);
  if (!parsed->is_object()) return refuse("", "got no object, expected the model's settings");
  Settings s(*parsed, "", config.diagnostics);
  const std::string type = s.text("model_type", "");
  const auto& names = EnumNames<HuggingFaceFamily>::value;
  const std::optional<HuggingFaceFamily> family = enum_from_name<HuggingFaceFamily>(type);
  if (!family) {
    return refuse("model_type",
                  type.empty() ? "is missing"
                               : fmt::format("\"{}\" is not an architecture the engine has",
                                             type.substr(0, 60)),
                  fmt::format("it has {}", one_of({names.begin(), names.end()})));
  }
  config.family = *family;
  ignore_common(s);
  check_architectures(s);
  kRead[static_cast<std::size_t>(*family)](s, config.model);
  config.rope_interleaved =
      config.model.attention == AttentionKind::latent && s.flag("rope_interleave", true);
  read_quantization(s, config.fp8_block_size);
  s.report_unknown();
  if (config.ok()) {
    check_result(config.model, config.diagnostics);
    if (config.ok() && config.model.num_experts > 0 &&
        config.model.attention != AttentionKind::latent) {
      config.model.aux_loss_coeff *= aux_coeff_scale(config.model);
    }
  }
  return config;
}

}  // namespace tera::spec
