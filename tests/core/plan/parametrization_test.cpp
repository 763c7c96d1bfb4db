#include "core/plan/parametrization.h"

#include <cmath>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "core/plan/optimizer_state.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

class Parametrization : public testing::Test {
 protected:
  Parametrization() {
    model_ = model_config("tiny-moe");  // 4 layers of 256
    model_.init_std = 0.02;
    model_.num_shared_experts = 1;
    model_.shared_expert_gate = true;
  }
  ParamSpec row(const std::string& name) const {
    for (const ParamSpec& param : make_param_table(model_)) {
      if (param.name == name) return param;
    }
    ADD_FAILURE() << name;
    return {};
  }
  double std_of(const std::string& name) const { return init_std(row(name), model_); }

  spec::ModelConfig model_;
  const std::string in_ = "layers.0.moe.experts.in.weight";
  const std::string out_ = "layers.0.attention.out.weight";
  const std::string router_ = "layers.0.moe.router.weight";
};

TEST_F(Parametrization, FamiliesOfInitialSpread) {
  model_.init_method = spec::InitMethod::normal;
  EXPECT_DOUBLE_EQ(std_of(in_), 0.02);
  EXPECT_DOUBLE_EQ(std_of(out_), 0.02);
  model_.init_method = spec::InitMethod::scaled_normal;
  EXPECT_DOUBLE_EQ(std_of(in_), 0.02);
  EXPECT_DOUBLE_EQ(std_of(out_), 0.02 / std::sqrt(8.0));
  model_.init_method = spec::InitMethod::small_init;
  EXPECT_DOUBLE_EQ(std_of(in_), std::sqrt(2.0 / (5 * 256)));
  EXPECT_DOUBLE_EQ(std_of("embedding.tokens"), std::sqrt(2.0 / (5 * 256)));
  EXPECT_DOUBLE_EQ(std_of(out_), 2.0 / (4 * 16));
}

TEST_F(Parametrization, AtTheBaseWidthMaximalUpdateChangesTheAttentionScaleAlone) {
  const spec::ModelConfig plain = model_;
  model_.mup_base_hidden_size = model_.hidden_size;
  for (const ParamSpec& param : make_param_table(model_)) {
    EXPECT_EQ(init_std(param, model_), init_std(param, plain)) << param.name;
    EXPECT_EQ(mup_learning_rate(param, model_), 1) << param.name;
  }
  EXPECT_EQ(model_.output_multiplier(), plain.output_multiplier());
  EXPECT_DOUBLE_EQ(model_.score_scale(), 1.0 / 64);
  EXPECT_DOUBLE_EQ(plain.score_scale(), 1.0 / 8);
}

// Table 8 of Yang et al. 2022 at four times the base width.
TEST_F(Parametrization, MaximalUpdateFollowsItsTable) {
  spec::RunSpec spec;
  spec.training.param_groups.router.lr_multiplier = 3;
  model_.mup_base_hidden_size = 64;
  model_.logit_multiplier = 2;
  spec.model = model_;
  const double residual = 0.02 / std::sqrt(8.0);
  const std::map<std::string, std::pair<double, double>> expected = {
      {"embedding.tokens", {0.02, 1}},
      {"head.weight", {0.02, 1}},
      {in_, {0.01, 0.25}},
      {out_, {residual / 2, 0.25}},
      {router_, {0.005, 0.75}},
      {"layers.0.moe.shared.gate.weight", {0.005, 0.25}}};
  for (const auto& [name, values] : expected) {
    EXPECT_DOUBLE_EQ(std_of(name), values.first) << name;
    EXPECT_DOUBLE_EQ(learning_rate_multiplier(row(name), spec), values.second) << name;
  }
  EXPECT_DOUBLE_EQ(learning_rate_multiplier(row("final_norm.weight"), spec), 1);
  EXPECT_DOUBLE_EQ(model_.output_multiplier(), 0.5);
  model_.attention_scale = 0.3;
  EXPECT_EQ(model_.score_scale(), 0.3);
}

}  // namespace
}  // namespace tera::plan
