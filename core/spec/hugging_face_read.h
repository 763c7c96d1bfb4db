// The families of the transformers library, read from the settings of a config.json. Keys and
// defaults: the configuration classes of transformers 5.23 and the published models; the meaning of
// each is checked against the library by tests/referee/hugging_face.
#pragma once
#include <string>
#include <string_view>

#include "core/spec/foreign_settings.h"
#include "core/spec/model_config.h"

namespace tera::spec::hugging_face {

using Settings = ForeignSettings;

// --- families: hugging_face_dense.cpp, hugging_face_experts.cpp ----------------------------------

void read_gpt2(Settings& s, ModelConfig& m);
void read_gpt_neox(Settings& s, ModelConfig& m);
void read_llama(Settings& s, ModelConfig& m);
void read_mistral(Settings& s, ModelConfig& m);
void read_qwen2(Settings& s, ModelConfig& m);
void read_qwen3(Settings& s, ModelConfig& m);
void read_olmo2(Settings& s, ModelConfig& m);

void read_mixtral(Settings& s, ModelConfig& m);
void read_olmoe(Settings& s, ModelConfig& m);
void read_qwen2_moe(Settings& s, ModelConfig& m);
void read_qwen3_moe(Settings& s, ModelConfig& m);
void read_deepseek_v2(Settings& s, ModelConfig& m);
void read_deepseek_v3(Settings& s, ModelConfig& m);
void read_grok_1(Settings& s, ModelConfig& m);

// --- what they share -----------------------------------------------------------------------------

// All but GPT-2: sizes, and rotary positions. Returns mscale_all_dim of the rotary scaling.
double read_sizes(Settings& s, ModelConfig& m, double default_theta);
// Llama and all that came after it: RMSNorm and SwiGLU besides. Returns mscale_all_dim.
double read_decoder(Settings& s, ModelConfig& m, double default_eps, double default_theta = 1e4);
// An activation of a feed-forward with two matrices.
ActivationKind plain_activation(Settings& s, std::string_view key, std::string otherwise);
AttentionBias all_or_none(bool bias);
// transformers refuses heads that do not divide the hidden size in some families.
void expect_whole_heads(Settings& s, const ModelConfig& m, std::string_view key);
// The same kind of attention in every layer, or an error.
void check_layer_types(Settings& s, std::string_view only);

}  // namespace tera::spec::hugging_face
