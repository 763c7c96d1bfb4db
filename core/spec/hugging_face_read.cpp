#include "core/spec/hugging_face_read.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/spec/hugging_face_rope.h"

namespace tera::spec::hugging_face {

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

double read_decoder(Settings& s, ModelConfig& m, double default_eps, double default_theta) {
  m.norm = NormKind::rms;
  m.norm_eps = s.number("rms_norm_eps", default_eps);
  m.activation = ActivationKind::swiglu;
  const std::string activation = s.text("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") {
    s.error("hidden_act", fmt::format("\"{}\", expected \"silu\"", activation));
  }
  return read_sizes(s, m, default_theta);
}

void expect_whole_heads(Settings& s, const ModelConfig& m, std::string_view key) {
  if (m.num_attention_heads > 0 && m.hidden_size % m.num_attention_heads != 0) {
    s.error(key, fmt::format("{} heads do not divide the hidden size {}", m.num_attention_heads,
                             m.hidden_size));
  }
}

AttentionBias all_or_none(bool bias) {
  return bias ? AttentionBias::all : AttentionBias::none;
}

void check_layer_types(Settings& s, std::string_view only) {
  const auto types = s.values().find("layer_types");
  s.ignore({"layer_types"});
  if (types == s.values().end() || !types->is_array()) return;
  for (const nlohmann::json& type : *types) {
    if (type == only) continue;
    s.error("layer_types", fmt::format("names {}, expected {} in every layer", type.dump(), only),
            "the engine has one kind of attention for all layers");
    return;
  }
}

}  // namespace tera::spec::hugging_face
