#include "core/plan/param_table.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

// Sums over the table, by the names of ParamCounts.
ParamCounts counts_of_table(const spec::ModelConfig& model) {
  ParamCounts sum;
  // At most as many as a token chooses, and on average no more than there is room for.
  const double room = model.expert_capacity_factor > 0 ? model.expert_capacity_factor : 1.0;
  const double per_token = model.router_top_k * std::min(1.0, room);
  const ParamTable table = make_param_table(model);
  for (const ParamSpec& p : table) {
    if (!p.trainable) continue;
    const std::int64_t n = p.num_elements();
    sum.total += n;
    const std::int64_t used =
        p.is_expert() ? std::llround(static_cast<double>(n / model.num_experts) * per_token) : n;
    sum.active_in_training += used;
    if (p.layer < model.num_layers) sum.active += used;
    if (p.kind == ParamKind::embedding)
      sum.embedding += n;
    else if (p.kind == ParamKind::expert)
      sum.experts += n;
    else if (p.kind == ParamKind::router)
      sum.router += n;
    else if (p.name == "head.weight" || p.name.find(".mtp.proj.") != std::string::npos)
      sum.head += n;
    else if (p.kind == ParamKind::norm || p.name.find("norm.bias") != std::string::npos)
      sum.norms += n;
    else if (p.name.find(".shared.") != std::string::npos)
      sum.shared_experts += n;
    else if (p.name.find(".attention.") != std::string::npos)
      sum.attention += n;
    else
      sum.dense_ffn += n;
  }
  return sum;
}

void expect_equal(const ParamCounts& a, const ParamCounts& b, const std::string& what) {
  EXPECT_EQ(a.total, b.total) << what;
  EXPECT_EQ(a.active, b.active) << what;
  EXPECT_EQ(a.active_in_training, b.active_in_training) << what;
  EXPECT_EQ(a.embedding, b.embedding) << what;
  EXPECT_EQ(a.attention, b.attention) << what;
  EXPECT_EQ(a.dense_ffn, b.dense_ffn) << what;
  EXPECT_EQ(a.experts, b.experts) << what;
  EXPECT_EQ(a.shared_experts, b.shared_experts) << what;
  EXPECT_EQ(a.router, b.router) << what;
  EXPECT_EQ(a.norms, b.norms) << what;
  EXPECT_EQ(a.head, b.head) << what;
}

TEST(ParamTable, ClosedFormEqualsTheTableForEveryPresetAndVariation) {
  const auto names = spec::model_preset_names();
  ASSERT_TRUE(names);
  for (const std::string& name : *names) {
    spec::ModelConfig model = model_config(name);
    expect_equal(count_params(model), counts_of_table(model), name);
    model.norm = spec::NormKind::layer;
    model.norm_placement = spec::NormPlacement::sandwich;
    model.ffn_bias = true;
    model.tie_embeddings = !model.tie_embeddings;
    model.position = spec::PositionKind::learned;
    model.activation = spec::ActivationKind::gelu;
    model.ffn_hidden_size = 640;
    model.num_dense_layers = 2;
    model.moe_layer_interval = 2;
    model.shared_expert_gate = model.num_shared_experts > 0;
    if (model.num_experts > 0) model.expert_capacity_factor = 0.5;
    if (model.attention == spec::AttentionKind::grouped_query) {
      model.qk_norm = spec::QkNormKind::full;
      model.attention_bias = spec::AttentionBias::all;
    }
    model.q_lora_rank = 0;
    model.num_mtp_layers = 3;
    expect_equal(count_params(model), counts_of_table(model), name + " varied");
    model.norm_placement = spec::NormPlacement::post;
    if (model.attention == spec::AttentionKind::grouped_query)
      model.attention_bias = spec::AttentionBias::qkv;
    expect_equal(count_params(model), counts_of_table(model), name + " varied again");
  }
}

TEST(ParamTable, PublishedCounts) {
  const auto names = spec::model_preset_names();
  ASSERT_TRUE(names);
  int checked = 0;
  for (const std::string& name : *names) {
    const auto preset = spec::model_preset(name);
    ASSERT_TRUE(preset);
    const ParamCounts counts = count_params(preset->model);
    const auto near = [&](std::int64_t ours, double published) {
      if (published == 0) return;
      ++checked;
      EXPECT_LE(std::abs(static_cast<double>(ours) - published),
                preset->published_tolerance * published)
          << name << ": " << ours << " against " << published;
    };
    near(counts.total, preset->published_total_params);
    near(counts.active, preset->published_active_params);
  }
  EXPECT_GE(checked, 12);
}

TEST(ParamTable, KnownModelsToTheDigit) {
  EXPECT_EQ(count_params(model_config("gpt2-124m")).total, 124439808);
  EXPECT_EQ(count_params(model_config("pythia-160m")).total, 162322944);
  EXPECT_EQ(count_params(model_config("llama-3.1-8b")).total, 8030261248);
  EXPECT_EQ(count_params(model_config("qwen3-30b-a3b")).total, 30532122624);
  EXPECT_EQ(count_params(model_config("olmoe-1b-7b")).total, 6919161856);
  EXPECT_EQ(count_params(model_config("mixtral-8x7b")).total, 46702792704);
  EXPECT_EQ(count_params(model_config("qwen3-235b-a22b")).total, 235093634560);
  spec::ModelConfig deepseek = model_config("deepseek-v3");
  // A layer of multi-token prediction: a projection of 2 H x H, three norms, a layer with experts.
  const std::int64_t layer = 11507286016;
  EXPECT_EQ(count_params(deepseek).total, 671026404352 + 2 * 7168 * 7168 + 3 * 7168 + layer);
  deepseek.num_mtp_layers = 0;
  EXPECT_EQ(count_params(deepseek).total, 671026404352);  // hub, without that layer
}

TEST(ParamTable, RowsOfATinyMoe) {
  spec::ModelConfig model = model_config("tiny-moe");
  model.expert_bias_update_rate = 0.001;
  model.num_shared_experts = 1;
  model.qk_norm = spec::QkNormKind::per_head;
  std::vector<std::string> names;
  std::map<std::string, const ParamSpec*> rows;
  const ParamTable table = make_param_table(model);
  for (const ParamSpec& p : table) {
    rows[p.name] = &p;
    if (p.layer <= 0) names.push_back(p.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{
                       "embedding.tokens", "layers.0.attention.norm.weight",
                       "layers.0.attention.qkv.weight", "layers.0.attention.q_norm.weight",
                       "layers.0.attention.k_norm.weight", "layers.0.attention.out.weight",
                       "layers.0.ffn.norm.weight", "layers.0.moe.router.weight",
                       "layers.0.moe.router.bias", "layers.0.moe.experts.in.weight",
                       "layers.0.moe.experts.out.weight", "layers.0.moe.shared.in.weight",
                       "layers.0.moe.shared.out.weight", "final_norm.weight", "head.weight"}));
  const ParamSpec& in = *rows.at("layers.3.moe.experts.in.weight");
  EXPECT_EQ(in.shape, (std::vector<std::int64_t>{8, 768, 256}));
  EXPECT_EQ(in.splits, (std::vector<ParamSplit>{
                           {.axis = Axis::expert, .dim = 0, .parts = {8}},
                           {.axis = Axis::expert_tensor, .dim = 1, .parts = {384, 384}}}));
  EXPECT_EQ(in.layer, 3);
  EXPECT_EQ(rows.at("layers.0.attention.qkv.weight")->shape, (std::vector<std::int64_t>{512, 256}));
  const ParamSpec& router = *rows.at("layers.0.moe.router.weight");
  EXPECT_TRUE(router.always_f32);
  EXPECT_EQ(weight_dtype(router, spec::Precision::bf16), DType::f32);
  EXPECT_EQ(weight_dtype(in, spec::Precision::bf16), DType::bf16);
  const ParamSpec& bias = *rows.at("layers.0.moe.router.bias");
  EXPECT_FALSE(bias.trainable);
  using Rows = std::vector<std::int64_t>;
  EXPECT_EQ(in.row_parts, (Rows{384, 384}));  // gate, up
  EXPECT_EQ(rows.at("layers.0.attention.qkv.weight")->row_parts, (Rows{256, 128, 128}));
  EXPECT_EQ(rows.at("layers.0.attention.out.weight")->row_parts, Rows{256});
  EXPECT_TRUE(rows.at("final_norm.weight")->row_parts.empty());
  EXPECT_EQ(rows.at("layers.0.attention.out.weight")->init, ParamInit::scaled_normal);
}

TEST(ParamTable, Gpt2HasBiasesPositionsAndNoHead) {
  std::set<std::string> names;
  const ParamTable table = make_param_table(model_config("gpt2-124m"));
  for (const ParamSpec& p : table)
    names.insert(p.name);
  for (const char* name :
       {"embedding.positions", "layers.11.attention.qkv.bias", "layers.0.attention.norm.bias",
        "layers.0.ffn.in.bias", "layers.0.ffn.out.bias", "final_norm.bias"}) {
    EXPECT_TRUE(names.count(name)) << name;
  }
  EXPECT_FALSE(names.count("head.weight"));
}

TEST(ParamTable, PartsAddUpToTheWhole) {
  const spec::ModelConfig model = model_config("deepseek-v3");
  ParamTable parts = make_part_table(model, ModelPart::embedding);
  for (int layer = 0; layer < model.num_layers; ++layer) {
    for (const ParamSpec& p : make_part_table(model, ModelPart::layer, layer))
      parts.push_back(p);
  }
  for (const ParamSpec& p : make_part_table(model, ModelPart::head))
    parts.push_back(p);
  for (const ParamSpec& p : make_part_table(model, ModelPart::prediction, model.num_layers))
    parts.push_back(p);
  const ParamTable whole = make_param_table(model);
  ASSERT_EQ(parts.size(), whole.size());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(parts[i].name, whole[i].name);
    EXPECT_EQ(parts[i].shape, whole[i].shape);
  }
}

}  // namespace
}  // namespace tera::plan
