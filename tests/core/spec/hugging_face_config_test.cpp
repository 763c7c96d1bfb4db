// config.json of transformers, both ways.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/spec/export.h"
#include "core/spec/import.h"

namespace tera::spec {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// Llama-3.1-8B as published (huggingface.co/meta-llama/Llama-3.1-8B, config.json).
json llama31() {
  return json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 128000, "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 4096,
    "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 131072,
    "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "transformers_version": "4.43.0.dev0", "use_cache": true, "vocab_size": 128256})");
}

json with(json config, const std::string& key, const json& value) {
  config[key] = value;
  return config;
}

// The first error, "field: message".
std::string error_of(const json& config) {
  const HuggingFaceConfig parsed = parse_hugging_face_config(config.dump());
  for (const Diagnostic& d : parsed.diagnostics) {
    if (d.severity == Severity::error) return d.field + ": " + d.message;
  }
  return "accepted";
}

TEST(HuggingFaceConfig, ReadsThePublishedLlama) {
  const HuggingFaceConfig config = parse_hugging_face_config(llama31().dump());
  ASSERT_TRUE(config.ok()) << error_of(llama31());
  EXPECT_TRUE(config.diagnostics.empty());
  EXPECT_EQ(config.family, HuggingFaceFamily::llama);
  ModelConfig expected;
  expected.num_layers = 32;
  expected.hidden_size = 4096;
  expected.num_attention_heads = 32;
  expected.num_key_value_heads = 8;
  expected.head_dim = 128;
  expected.vocab_size = 128256;
  expected.max_position_embeddings = 131072;
  expected.ffn_hidden_size = 14336;
  expected.rope_theta = 5e5;
  expected.rope_scaling = RopeScaling::llama3;
  expected.rope_factor = 8;
  expected.rope_original_max_position = 8192;
  EXPECT_EQ(config.model, expected);
}

TEST(HuggingFaceConfig, BothFormsOfRotarySettingsAreTheSame) {
  json newer = llama31();
  newer.erase("rope_scaling");
  newer.erase("rope_theta");
  newer["rope_parameters"] = {
      {"rope_type", "llama3"},   {"rope_theta", 500000.0},
      {"factor", 8.0},           {"low_freq_factor", 1.0},
      {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 8192}};
  EXPECT_EQ(parse_hugging_face_config(newer.dump()).model,
            parse_hugging_face_config(llama31().dump()).model);
  json oldest = llama31();
  oldest["rope_scaling"]["type"] = oldest["rope_scaling"]["rope_type"];
  oldest["rope_scaling"].erase("rope_type");
  EXPECT_EQ(parse_hugging_face_config(oldest.dump()).model,
            parse_hugging_face_config(llama31().dump()).model);
}

TEST(HuggingFaceConfig, NamesWhatIsWrong) {
  const HuggingFaceConfig broken = parse_hugging_face_config("{\"model_type\": ");
  EXPECT_THAT(broken.diagnostics.at(0).message, HasSubstr("not JSON"));
  EXPECT_FALSE(parse_hugging_face_config("[]").ok());
  EXPECT_FALSE(parse_hugging_face_config(R"({"model_type": "llama", "model_type": "gpt2"})").ok());
  EXPECT_EQ(error_of(json::object()), "model_type: is missing");
  const HuggingFaceConfig unknown = parse_hugging_face_config(R"({"model_type": "mamba"})");
  EXPECT_THAT(unknown.diagnostics.at(0).message, HasSubstr("\"mamba\" is not an architecture"));
  EXPECT_THAT(unknown.diagnostics.at(0).hint, HasSubstr("gpt2, gpt_neox, llama"));
  json missing = llama31();
  missing.erase("hidden_size");
  EXPECT_EQ(error_of(missing), "hidden_size: is missing, expected a whole number");
  EXPECT_THAT(error_of(with(llama31(), "hidden_size", "4096")),
              HasSubstr("got \"4096\", expected a"));
  EXPECT_THAT(error_of(with(llama31(), "hidden_size", -1)), HasSubstr("got -1, expected a whole"));
  EXPECT_THAT(error_of(with(llama31(), "hidden_size", 4e18)), HasSubstr("whole number"));
  EXPECT_THAT(error_of(with(llama31(), "num_attention_heads", 0)), HasSubstr("model."));
  EXPECT_THAT(error_of(with(llama31(), "num_key_value_heads", 5)),
              HasSubstr("model.num_key_value_heads: 5 does not divide"));
  EXPECT_THAT(error_of(with(llama31(), "rms_norm_eps", "x")), HasSubstr("expected a number"));
  EXPECT_THAT(error_of(with(llama31(), "hidden_act", "gelu")), HasSubstr("hidden_act: \"gelu\""));
  EXPECT_THAT(error_of(with(llama31(), "architectures", {"LlamaForSequenceClassification"})),
              HasSubstr("language-model head"));
  EXPECT_THAT(error_of(with(llama31(), "rope_scaling", {{"rope_type", "longrope"}, {"factor", 2}})),
              HasSubstr("rope_scaling.rope_type: \"longrope\" is not a scaling"));
  EXPECT_THAT(error_of(with(llama31(), "rope_scaling", {{"rope_type", "llama3"}, {"factor", 2}})),
              HasSubstr("rope_scaling.low_freq_factor: is missing"));
  EXPECT_THAT(error_of(with(llama31(), "rope_scaling", 3)), HasSubstr("expected an object"));
  EXPECT_THAT(error_of(with(llama31(), "quantization_config", {{"quant_method", "awq"}})),
              HasSubstr("is not a quantisation the engine reads"));
}

// Sizes beyond all ranges are named; what is computed of them must not wrap.
TEST(HuggingFaceConfig, SizesOutOfRangeDoNotWrap) {
  const auto golden = [](const std::string& family) {
    std::ifstream file(std::filesystem::path(std::getenv("TERA_SOURCE_DIR")) /
                       "tests/golden/hugging_face" / family / "config.json");
    return json::parse(file);
  };
  const auto messages = [](const json& config) {
    std::string all;
    for (const Diagnostic& d : parse_hugging_face_config(config.dump()).diagnostics)
      all += d.field + ": " + d.message + "\n";
    return all;
  };
  json wide = with(golden("gpt2"), "n_embd", 1000000000);
  wide.erase("n_inner");
  const std::string gpt2 = messages(wide);
  EXPECT_THAT(gpt2, HasSubstr("model.hidden_size: got 1000000000, expected at most"));
  EXPECT_THAT(gpt2, testing::Not(HasSubstr("got -")));

  json latent = golden("deepseek_v3");
  latent["qk_nope_head_dim"] = latent["qk_rope_head_dim"] = 2147483646;
  latent.erase("rope_parameters");
  latent["rope_scaling"] = {{"type", "yarn"},
                            {"factor", 40},
                            {"mscale", 1.0},
                            {"mscale_all_dim", 1.0},
                            {"original_max_position_embeddings", 4096}};
  const std::string deepseek = messages(latent);
  EXPECT_THAT(deepseek, HasSubstr("model.qk_nope_head_dim: got 2147483646, expected at most"));
  EXPECT_THAT(deepseek, testing::Not(HasSubstr("attention_scale"))) << "the root of a negative sum";
}

TEST(HuggingFaceConfig, SaysWhatItLeavesOut) {
  json config = with(llama31(), "attention_dropout", 0.1);
  config["logit_softness"] = 3;
  const HuggingFaceConfig parsed = parse_hugging_face_config(config.dump());
  ASSERT_TRUE(parsed.ok());
  ASSERT_EQ(parsed.diagnostics.size(), 2U);
  EXPECT_EQ(parsed.diagnostics[0].field, "attention_dropout");
  EXPECT_EQ(parsed.diagnostics[0].severity, Severity::note);
  EXPECT_EQ(parsed.diagnostics[1].field, "logit_softness");
  EXPECT_THAT(parsed.diagnostics[1].message, HasSubstr("3 is not known here"));
}

// Qwen1.5-MoE-A2.7B as published (huggingface.co/Qwen/Qwen1.5-MoE-A2.7B, config.json).
json qwen_moe() {
  return json::parse(R"({
    "architectures": ["Qwen2MoeForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
    "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
    "intermediate_size": 5632, "max_position_embeddings": 8192, "max_window_layers": 21,
    "model_type": "qwen2_moe", "num_attention_heads": 16, "num_hidden_layers": 24,
    "num_key_value_heads": 16, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 32768, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "transformers_version": "4.39.0.dev0", "use_cache": true, "use_sliding_window": false,
    "vocab_size": 151936, "decoder_sparse_step": 1, "moe_intermediate_size": 1408,
    "shared_expert_intermediate_size": 5632, "num_experts_per_tok": 4, "num_experts": 60,
    "norm_topk_prob": false, "output_router_logits": false, "router_aux_loss_coef": 0.001})");
}

TEST(HuggingFaceConfig, SharedExpertsAreCountedInRoutedOnes) {
  const HuggingFaceConfig config = parse_hugging_face_config(qwen_moe().dump());
  ASSERT_TRUE(config.ok()) << error_of(qwen_moe());
  EXPECT_EQ(config.model.num_shared_experts, 4);
  EXPECT_TRUE(config.model.shared_expert_gate);
  EXPECT_EQ(config.model.attention_bias, AttentionBias::qkv);
  EXPECT_EQ(config.model.sliding_window, 0);
  EXPECT_THAT(error_of(with(qwen_moe(), "shared_expert_intermediate_size", 5000)),
              HasSubstr("is 5000, expected a multiple of moe_intermediate_size 1408"));
  EXPECT_THAT(error_of(with(qwen_moe(), "use_sliding_window", true)),
              HasSubstr("every other layer"));
}

TEST(HuggingFaceConfig, LayersWithExpertsAreLeadingDenseOnesAndEveryNth) {
  const auto pattern = [](int step, const json& dense, int layers = 8) {
    json config = with(qwen_moe(), "decoder_sparse_step", step);
    config["mlp_only_layers"] = dense;
    config["num_hidden_layers"] = layers;
    const HuggingFaceConfig parsed = parse_hugging_face_config(config.dump());
    if (!parsed.ok()) return error_of(config);
    const ModelConfig back =
        parse_hugging_face_config(export_hugging_face(parsed.model, {}).value().config_json).model;
    std::string text;
    for (int i = 0; i < layers; ++i) {
      text += parsed.model.is_moe_layer(i) ? 'E' : '-';
      EXPECT_EQ(back.is_moe_layer(i), parsed.model.is_moe_layer(i)) << i;
    }
    return text;
  };
  EXPECT_EQ(pattern(1, json::array()), "EEEEEEEE");
  EXPECT_EQ(pattern(1, {0, 1}), "--EEEEEE");
  EXPECT_EQ(pattern(2, json::array()), "-E-E-E-E");
  EXPECT_EQ(pattern(2, {1, 0}), "---E-E-E");
  EXPECT_EQ(pattern(3, {2}), "-----E--");
  EXPECT_EQ(pattern(1, {0, 2, 4, 6, 7}, 7), "-E-E-E-");
  EXPECT_THAT(pattern(1, {3}), HasSubstr("leaves experts in layers 0, 1, 2, 4, 5, 6, 7"));
  EXPECT_THAT(pattern(1, {0, 1, 2, 3, 4, 5, 6, 7}), HasSubstr("no layer with experts"));
  EXPECT_THAT(pattern(0, {0}), HasSubstr("mlp_only_layers"));
  EXPECT_THAT(pattern(0, json::array()), HasSubstr("moe_layer_interval"));
}

// The files of the tiny models, which transformers wrote.
std::vector<std::filesystem::path> golden_configs() {
  std::vector<std::filesystem::path> paths;
  const auto root =
      std::filesystem::path(std::getenv("TERA_SOURCE_DIR")) / "tests/golden/hugging_face";
  for (const auto& entry : std::filesystem::directory_iterator(root))
    paths.push_back(entry.path() / "config.json");
  return paths;
}

TEST(HuggingFaceConfig, EveryFamilyComesBackFromExport) {
  constexpr std::size_t kFamilies = EnumNames<HuggingFaceFamily>::value.size();
  std::set<HuggingFaceFamily> seen;
  for (const auto& path : golden_configs()) {
    SCOPED_TRACE(path.string());
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const HuggingFaceConfig config = parse_hugging_face_config(text);
    ASSERT_TRUE(config.ok()) << error_of(json::parse(text));
    for (const Diagnostic& d : config.diagnostics)
      ADD_FAILURE() << d.field << ": " << d.message;
    seen.insert(config.family);
    const auto exported = export_hugging_face(config.model, {.source_config = text});
    ASSERT_TRUE(exported) << exported.error().message;
    const HuggingFaceConfig back = parse_hugging_face_config(exported->config_json);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back.family, exported->family);
    // A family is the same model as a simpler one when its special settings are off.
    const bool same_family = exported->family == config.family;
    EXPECT_TRUE(same_family) << "became " << enum_name(exported->family);
    EXPECT_EQ(back.model.num_layers, config.model.num_layers);
    EXPECT_EQ(back.model.attention_bias, config.model.attention_bias);
    EXPECT_NEAR(back.model.attention_scale, config.model.attention_scale, 1e-12);
    EXPECT_NEAR(back.model.aux_loss_coeff, config.model.aux_loss_coeff, 1e-12);
  }
  EXPECT_EQ(seen.size(), kFamilies) << "a family has no example";
}

TEST(HuggingFaceExport, TakesTheSimplestFamilyThatFits) {
  const auto family_of = [](const ModelConfig& model) {
    const auto exported = export_hugging_face(model, {});
    return exported ? std::string(enum_name(exported->family)) : exported.error().message;
  };
  ModelConfig m = parse_hugging_face_config(llama31().dump()).model;
  EXPECT_EQ(family_of(m), "llama");
  m.sliding_window = 4096;
  EXPECT_EQ(family_of(m), "mistral");
  m.attention_bias = AttentionBias::qkv;
  EXPECT_EQ(family_of(m), "qwen2");
  m.attention_bias = AttentionBias::none;
  m.sliding_window = 0;
  m.qk_norm = QkNormKind::per_head;
  EXPECT_EQ(family_of(m), "qwen3");
  m.num_experts = 8;
  m.router_top_k = 2;
  m.moe_ffn_hidden_size = 512;
  m.ffn_hidden_size = 0;
  m.z_loss_coeff = 0.001;
  EXPECT_EQ(family_of(m), "qwen3_moe");
  m.qk_norm = QkNormKind::none;
  m.router_renormalize = true;
  EXPECT_EQ(family_of(m), "mixtral");
  const auto exported = export_hugging_face(m, {});
  ASSERT_TRUE(exported);
  ASSERT_EQ(exported->notes.size(), 1U);
  EXPECT_EQ(exported->notes[0].field, "model.z_loss_coeff");
  m.router_renormalize = false;
  m.qk_norm = QkNormKind::full;
  EXPECT_EQ(family_of(m), "olmoe");
}

TEST(HuggingFaceExport, NamesTheFieldsThatFitNoFamily) {
  ModelConfig m = parse_hugging_face_config(llama31().dump()).model;
  m.attention_softcap = 30;
  m.embedding_multiplier = 78.4;
  const auto exported = export_hugging_face(m, {});
  ASSERT_FALSE(exported);
  EXPECT_EQ(exported.error().code, ErrorCode::unsupported);
  EXPECT_THAT(exported.error().message, HasSubstr("the nearest is llama"));
  EXPECT_THAT(exported.error().message, HasSubstr("model.attention_softcap: 30 has no place"));
  EXPECT_THAT(exported.error().message, HasSubstr("model.embedding_multiplier: 78.4"));
}

// Its multipliers change what the model computes, and no family has a place for them.
TEST(HuggingFaceExport, RefusesMaximalUpdateParametrization) {
  for (const json& source : {llama31(), qwen_moe()}) {
    ModelConfig m = parse_hugging_face_config(source.dump()).model;
    ASSERT_TRUE(export_hugging_face(m, {}));
    m.mup_base_hidden_size = m.hidden_size / 4;
    const auto exported = export_hugging_face(m, {.source_config = source.dump()});
    ASSERT_FALSE(exported);
    EXPECT_EQ(exported.error().code, ErrorCode::unsupported);
    EXPECT_THAT(exported.error().message, HasSubstr("model.mup_base_hidden_size: "));
    EXPECT_THAT(exported.error().message, HasSubstr("model.attention_scale: "));
    EXPECT_THAT(exported.error().hint, HasSubstr("divides the logits by 4 and the scores by"));
  }
}

TEST(HuggingFaceExport, KeepsKeysOfTheSource) {
  json source = with(llama31(), "my_key", {1, 2});
  source["torch_dtype"] = "float16";
  const ModelConfig model = parse_hugging_face_config(source.dump()).model;
  const auto exported =
      export_hugging_face(model, {.bf16 = true, .end_token_id = 7, .source_config = source.dump()});
  ASSERT_TRUE(exported);
  const json config = json::parse(exported->config_json);
  EXPECT_EQ(config["my_key"], json({1, 2}));
  EXPECT_EQ(config["torch_dtype"], "bfloat16");
  EXPECT_EQ(config["eos_token_id"], 128001) << "the source knows its tokens";
  const auto own = export_hugging_face(model, {.begin_token_id = 6, .end_token_id = 7});
  EXPECT_EQ(json::parse(own->config_json)["bos_token_id"], 6);
  EXPECT_EQ(json::parse(own->config_json)["eos_token_id"], 7);
  EXPECT_FALSE(json::parse(own->config_json).contains("my_key"));
}

}  // namespace
}  // namespace tera::spec
