// Families without experts.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "core/spec/hugging_face_read.h"

namespace tera::spec::hugging_face {
namespace {

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

}  // namespace

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
  constexpr int kLargest = std::numeric_limits<int>::max();  // out of range, and said to be
  m.ffn_hidden_size =
      s.integer("n_inner", m.hidden_size > kLargest / 4 ? kLargest : 4 * m.hidden_size);
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

void read_olmo2(Settings& s, ModelConfig& m) {
  read_decoder(s, m, 1e-5);
  m.ffn_hidden_size = s.integer("intermediate_size");
  m.attention_bias = all_or_none(s.flag("attention_bias", false));
  m.qk_norm = QkNormKind::full;
  m.norm_placement = NormPlacement::post;
}

}  // namespace tera::spec::hugging_face
