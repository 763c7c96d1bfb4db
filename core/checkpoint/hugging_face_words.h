// What the parts of a model are called in the files of the transformers library.
#pragma once
#include <array>
#include <string_view>

#include "core/spec/import.h"

namespace tera::checkpoint {

// The words of one group of families; the rest is the same for all.
struct HuggingFaceWords {
  std::string_view embedding, layer, final_norm, head;
  std::string_view attention_norm, attention_post_norm, ffn_norm, ffn_post_norm;
  std::string_view attention, out;  // "self_attn", "o_proj"
  std::string_view ffn_in, ffn_out;
  // Experts: <layer>.<moe>.experts.N.<gate>.weight, the router <layer>.<moe>.gate.weight.
  std::string_view moe = "mlp", gate = "gate_proj", up = "up_proj", down = "down_proj";
  std::string_view norm_weight = "weight";
};

inline constexpr HuggingFaceWords kDecoderWords = {
    .embedding = "model.embed_tokens",
    .layer = "model.layers",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attention_norm = "input_layernorm",
    .attention_post_norm = "post_attention_layernorm",
    .ffn_norm = "post_attention_layernorm",
    .ffn_post_norm = "post_feedforward_layernorm",
    .attention = "self_attn",
    .out = "o_proj",
    .ffn_in = "",
    .ffn_out = "mlp.down_proj"};

inline constexpr HuggingFaceWords kMixtralWords = [] {
  HuggingFaceWords words = kDecoderWords;
  words.moe = "block_sparse_moe";
  words.gate = "w1";
  words.up = "w3";
  words.down = "w2";
  return words;
}();

inline constexpr HuggingFaceWords kGrok1Words = [] {
  HuggingFaceWords words = kDecoderWords;
  words.attention_norm = "pre_attn_norm";
  words.attention_post_norm = "post_attn_norm";
  words.ffn_norm = "pre_moe_norm";
  words.ffn_post_norm = "post_moe_norm";
  words.norm_weight = "scale";
  words.attention = "attn";
  words.moe = "moe_block";
  words.gate = "linear";
  words.up = "linear_v";
  words.down = "linear_1";
  return words;
}();

inline constexpr HuggingFaceWords kGpt2Words = {.embedding = "transformer.wte",
                                                .layer = "transformer.h",
                                                .final_norm = "transformer.ln_f",
                                                .head = "lm_head",
                                                .attention_norm = "ln_1",
                                                .attention_post_norm = "",
                                                .ffn_norm = "ln_2",
                                                .ffn_post_norm = "",
                                                .attention = "attn",
                                                .out = "c_proj",
                                                .ffn_in = "mlp.c_fc",
                                                .ffn_out = "mlp.c_proj"};
inline constexpr HuggingFaceWords kGptNeoXWords = {.embedding = "gpt_neox.embed_in",
                                                   .layer = "gpt_neox.layers",
                                                   .final_norm = "gpt_neox.final_layer_norm",
                                                   .head = "embed_out",
                                                   .attention_norm = "input_layernorm",
                                                   .attention_post_norm = "",
                                                   .ffn_norm = "post_attention_layernorm",
                                                   .ffn_post_norm = "",
                                                   .attention = "attention",
                                                   .out = "dense",
                                                   .ffn_in = "mlp.dense_h_to_4h",
                                                   .ffn_out = "mlp.dense_4h_to_h"};

inline const HuggingFaceWords& hugging_face_words(spec::HuggingFaceFamily family) {
  if (family == spec::HuggingFaceFamily::gpt2) return kGpt2Words;
  if (family == spec::HuggingFaceFamily::gpt_neox) return kGptNeoXWords;
  if (family == spec::HuggingFaceFamily::mixtral) return kMixtralWords;
  if (family == spec::HuggingFaceFamily::grok_1) return kGrok1Words;
  return kDecoderWords;
}

// The output head, whatever the family.
inline constexpr std::array<const char*, 2> kHuggingFaceHeads = {"lm_head.weight",
                                                                 "embed_out.weight"};

}  // namespace tera::checkpoint
