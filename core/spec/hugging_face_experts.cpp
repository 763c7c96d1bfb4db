// Families with experts.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/spec/hugging_face_read.h"
#include "core/spec/hugging_face_rope.h"

namespace tera::spec::hugging_face {
namespace {

void read_experts(Settings& s, ModelConfig& m, std::string_view count_key, double default_aux) {
  const std::string_view other = count_key == "num_experts" ? "num_local_experts" : "num_experts";
  m.num_experts = s.integer(s.has(other) && !s.has(count_key) ? other : count_key);
  m.router_top_k = s.integer("num_experts_per_tok");
  m.router_score = RouterScore::softmax;
  s.ignore({"num_experts", "num_local_experts"});
  m.aux_loss_coeff = s.number("router_aux_loss_coef", default_aux);
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
    if (std::find(listed->begin(), listed->end(), nlohmann::json(i)) == listed->end())
      sparse.push_back(i);
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
    const double head_dim = double{1} * m.qk_nope_head_dim + m.qk_rope_head_dim;  // not yet checked
    m.attention_scale = soft * soft / std::sqrt(head_dim);
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

}  // namespace

void read_mixtral(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-5, 1e6);
  m.sliding_window = s.integer("sliding_window", 0);
  m.moe_ffn_hidden_size = s.integer("intermediate_size");
  read_experts(s, m, "num_local_experts", 0.001);
  m.router_renormalize = true;
  s.leave_out({"router_jitter_noise"});
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

void read_olmoe(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-5);
  m.attention_bias = all_or_none(s.flag("attention_bias", false));
  m.qk_norm = QkNormKind::full;
  read_experts(s, m, "num_experts", 0.01);
  m.moe_ffn_hidden_size = s.integer("intermediate_size");
  m.router_renormalize = s.flag("norm_topk_prob", false);
  s.expect("clip_qkv", nullptr, "queries, keys and values are not clamped here");
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

// As published: the model in github.com/xai-org/grok-1, model.py, which has GELU by tanh; its
// settings in huggingface.co/hpcai-tech/grok-1, config.json and modeling_grok1.py.
void read_grok_1(Settings& s, ModelConfig& m) {
  read_sizes(s, m, 1e4);
  s.expect("head_dim", nullptr, "heads share out the hidden size");
  expect_whole_heads(s, m, "num_attention_heads");
  m.norm = NormKind::rms;
  m.norm_eps = s.number("rms_norm_eps", 1e-5);
  m.norm_placement = NormPlacement::sandwich;
  m.activation = ActivationKind::geglu;
  s.expect("hidden_act", "gelu", "its experts have gated GELU");
  m.tie_embeddings = s.flag("tie_word_embeddings", true);
  m.attention_scale = s.number("attn_output_multiplier");
  m.attention_softcap = s.number("max_attn_value");
  m.embedding_multiplier = s.number("embedding_multiplier_scale");
  m.logit_multiplier = s.number("output_multiplier_scale");
  for (const char* key : {"attn_output_multiplier", "max_attn_value"}) {
    if (s.number(key) <= 0) s.error(key, fmt::format("is {}, expected more than 0", s.number(key)));
  }
  read_experts(s, m, "num_experts", 0.001);
  m.moe_ffn_hidden_size = s.integer("intermediate_size");
}

}  // namespace tera::spec::hugging_face
