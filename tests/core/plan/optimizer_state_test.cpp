#include "core/plan/optimizer_state.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "core/plan/estimate.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

using spec::OptimizerKind;
using Shape = std::vector<std::int64_t>;

std::map<std::string, ParamSpec> tiny_rows() {
  std::map<std::string, ParamSpec> rows;
  spec::ModelConfig model = model_config("tiny-moe");
  model.num_shared_experts = 1;
  model.shared_expert_gate = true;
  model.expert_bias_update_rate = 0.001;
  for (ParamSpec& param : make_param_table(model))
    rows.emplace(param.name, std::move(param));
  return rows;
}

spec::TrainingConfig training(OptimizerKind kind) {
  spec::TrainingConfig config;
  config.optimizer = kind;
  return config;
}

std::map<std::string, Shape> states_of(const ParamSpec& param, const spec::TrainingConfig& config) {
  std::map<std::string, Shape> states;
  for (const StateTensor& state : optimizer_state(param, config))
    states.emplace(state.role, state.shape);
  return states;
}

TEST(OptimizerState, GroupsFollowTheKindOfTensor) {
  const auto rows = tiny_rows();
  spec::TrainingConfig config;
  const spec::ParamGroups& groups = config.param_groups;
  const auto group = [&](const char* name) { return &param_group(rows.at(name), config); };
  EXPECT_EQ(group("embedding.tokens"), &groups.embedding);
  EXPECT_EQ(group("head.weight"), &groups.head);
  EXPECT_EQ(group("final_norm.weight"), &groups.norm);
  EXPECT_EQ(group("layers.0.attention.qkv.weight"), &groups.matrix);
  EXPECT_EQ(group("layers.0.moe.shared.in.weight"), &groups.matrix);
  EXPECT_EQ(group("layers.0.moe.experts.in.weight"), &groups.expert);
  EXPECT_EQ(group("layers.0.moe.router.weight"), &groups.router);
}

TEST(OptimizerState, OnlyMatricesDecayUnlessTheSpecSaysSo) {
  const auto rows = tiny_rows();
  spec::TrainingConfig config;
  config.weight_decay = 0.2;
  for (const auto& [name, param] : rows)
    EXPECT_EQ(weight_decay(param, config), param.shape.size() == 1 && param.trainable ? 0 : 0.2)
        << name;
  config.param_groups.embedding.weight_decay_multiplier = 0;
  EXPECT_EQ(weight_decay(rows.at("embedding.tokens"), config), 0);
}

TEST(OptimizerState, MuonTakesTheMatricesOfLayersAlone) {
  const auto rows = tiny_rows();
  const spec::TrainingConfig config = training(OptimizerKind::muon);
  int matrices = 0;
  for (const auto& [name, param] : rows) {
    const bool muon = update_rule(param, config) == OptimizerKind::muon;
    const bool hidden = name.rfind("layers.", 0) == 0 && param.shape.size() > 1 &&
                        name.find("router") == std::string::npos &&
                        name.find("gate") == std::string::npos;
    EXPECT_EQ(muon, hidden) << name;
    matrices += muon ? 1 : 0;
  }
  EXPECT_GT(matrices, 0);
}

TEST(OptimizerState, RolesAndShapes) {
  const auto rows = tiny_rows();
  const ParamSpec& experts = rows.at("layers.0.moe.experts.out.weight");  // [8, 256, 384]
  const ParamSpec& norm = rows.at("final_norm.weight");
  using States = std::map<std::string, Shape>;
  const Shape all = experts.shape;
  EXPECT_EQ(states_of(experts, training(OptimizerKind::adamw)),
            (States{{"exp_avg", all}, {"exp_avg_sq", all}}));
  EXPECT_EQ(states_of(experts, training(OptimizerKind::lion)), (States{{"exp_avg", all}}));
  EXPECT_EQ(states_of(experts, training(OptimizerKind::muon)), (States{{"momentum_buffer", all}}));
  EXPECT_EQ(states_of(experts, training(OptimizerKind::adafactor)),
            (States{{"row_var", {all[0], all[1]}}, {"col_var", {all[0], all[2]}}}));
  EXPECT_EQ(states_of(norm, training(OptimizerKind::adafactor)),
            (States{{"variance", norm.shape}}));
  spec::TrainingConfig plain = training(OptimizerKind::sgd);
  plain.sgd_momentum = 0;
  EXPECT_TRUE(states_of(norm, plain).empty());
  plain.ema_decay = 0.99;
  EXPECT_EQ(states_of(norm, plain), (States{{"ema", norm.shape}}));
  spec::TrainingConfig bf16 = training(OptimizerKind::sgd);
  bf16.precision = spec::Precision::bf16;
  EXPECT_EQ(states_of(norm, bf16),
            (States{{"master", norm.shape}, {"momentum_buffer", norm.shape}}));
  EXPECT_EQ(states_of(rows.at("layers.0.moe.router.weight"), bf16).count("master"), 0U);
  EXPECT_TRUE(states_of(rows.at("layers.0.moe.router.bias"), bf16).empty());
}

TEST(UpdateWork, AdamWMovesWhatWasMeasured) {
  const ParamSpec param = tiny_rows().at("layers.0.attention.out.weight");
  spec::TrainingConfig config;
  const auto elements = static_cast<double>(param.num_elements());
  EXPECT_EQ(update_work(param, config).bytes / elements, 28);  // llm.c's AdamW: 28 B per parameter
  config.precision = spec::Precision::bf16;
  EXPECT_EQ(update_work(param, config).bytes / elements, 28) << "both halves instead of one f32";
  config.precision = spec::Precision::fp16;
  EXPECT_EQ(update_work(param, config).bytes / elements, 30);
  EXPECT_EQ(update_work(param, config).flops, 0);
}

TEST(UpdateWork, MuonCountsThreeProductsPerIterationAndMatrix) {
  const ParamSpec experts = tiny_rows().at("layers.0.moe.experts.in.weight");  // gate and up
  spec::TrainingConfig config = training(OptimizerKind::muon);
  config.muon_ns_steps = 3;
  const auto count = static_cast<double>(experts.shape[0]);
  const double n = 384;
  const double m = 256;  // the smaller extent
  EXPECT_DOUBLE_EQ(update_work(experts, config).flops,
                   count * 2 * 3 * (2 * m * m * n + 2 * m * m * m + 2 * m * m * n));
}

TEST(UpdateWorkspace, MuonNeedsTwoMatricesAndTwoSquares) {
  const ParamSpec experts = tiny_rows().at("layers.0.moe.experts.in.weight");  // gate and up
  EXPECT_EQ(update_workspace_bytes(experts, training(OptimizerKind::muon)),
            4 * (2 * 384 * 256 + 2 * 256 * 256));
  EXPECT_EQ(update_workspace_bytes(experts, training(OptimizerKind::adamw)), 0);
  spec::TrainingConfig by_chance = training(OptimizerKind::adamw);
  by_chance.precision = spec::Precision::bf16_stochastic;
  EXPECT_EQ(update_workspace_bytes(experts, by_chance), (4 + 2) * (1 << 18)) << "a piece";
  spec::TrainingConfig halves = training(OptimizerKind::adamw);
  halves.precision = spec::Precision::bf16;
  EXPECT_EQ(update_workspace_bytes(experts, halves), 0) << "updated in place";
  halves.ema_decay = 0.99;
  EXPECT_EQ(update_workspace_bytes(experts, halves), 4 * (1 << 18)) << "a piece for the mean";
  halves = training(OptimizerKind::lion);
  halves.precision = spec::Precision::bf16;
  EXPECT_EQ(update_workspace_bytes(experts, halves), 4 * (1 << 18)) << "a piece";
  EXPECT_EQ(update_workspace_bytes(tiny_rows().at("final_norm.weight"), by_chance), 6 * 256);
  EXPECT_EQ(update_workspace_bytes(tiny_rows().at("layers.0.moe.router.bias"), by_chance), 0);
}

TEST(UpdateWork, TheStepIsLongerWithMuonAndTheMemoryLess) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  const auto adamw = estimate(spec);
  spec.training.optimizer = OptimizerKind::muon;
  const auto muon = estimate(spec);
  ASSERT_TRUE(adamw && muon);
  EXPECT_GT(find_term(muon->step_time, "optimizer")->value,
            find_term(adamw->step_time, "optimizer")->value);
  EXPECT_LT(muon->worst_bytes, adamw->worst_bytes);
}

}  // namespace
}  // namespace tera::plan
