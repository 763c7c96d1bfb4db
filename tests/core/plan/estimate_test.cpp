#include "core/plan/estimate.h"

#include <cmath>
#include <functional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/spec/validate.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

using testing::HasSubstr;

TEST(Estimate, EveryPresetRunFits) {
  const auto names = spec::run_preset_names();
  ASSERT_TRUE(names);
  for (const std::string& name : *names) {
    const auto e = estimate(run_spec(name));
    ASSERT_TRUE(e) << name << ": " << e.error().message;
    EXPECT_TRUE(e->fits) << name;
    EXPECT_GT(e->model_flops_utilization, 0.01) << name;
    EXPECT_LT(e->model_flops_utilization, 0.75) << name;
  }
}

TEST(Estimate, FlopsPerTokenOfKnownModels) {
  // GPT-2: 6 x (124.4 M - embeddings + tied head) + 6 x 12 layers x 768 x 1024, causal.
  const double gpt2 = 6.0 * (124439808 - 1024 * 768) + 6.0 * 12 * 768 * 1024;
  EXPECT_DOUBLE_EQ(train_flops_per_token(model_config("gpt2-124m"), 1024), gpt2);
  // DeepSeek-V3 at 4,096 tokens: 37.55 B active less 0.93 B of embedding, and (192 + 128) wide
  // scores.
  const double deepseek = 6.0 * (37552282624.0 - 129280.0 * 7168) + 3.0 * 61 * 128 * 320 * 4096;
  spec::ModelConfig model = model_config("deepseek-v3");
  EXPECT_EQ(count_params(model).active, 37552282624);
  model.num_mtp_layers = 0;
  EXPECT_DOUBLE_EQ(train_flops_per_token(model, 4096), deepseek);
  // Its layer of multi-token prediction: a projection of 2 H x H, three norms, a layer with 8 + 1
  // experts, and the head again. One MoE layer is the difference of 62 and 61 layers.
  spec::ModelConfig longer = model;
  longer.num_layers = 62;
  const double layer = train_flops_per_token(longer, 4096) - deepseek;
  const double beside = 6.0 * (2.0 * 7168 * 7168 + 3 * 7168 + 129280.0 * 7168);
  EXPECT_DOUBLE_EQ(train_flops_per_token(model_config("deepseek-v3"), 4096),
                   deepseek + layer + beside);
}

TEST(Estimate, SaysWhatDoesNotFitAndWhy) {
  spec::RunSpec spec = run_spec("mixtral-8x7b");
  spec.layout.micro_batch_size = 8;
  const auto e = estimate(spec);
  ASSERT_TRUE(e);
  EXPECT_FALSE(e->fits);
  ASSERT_TRUE(has_errors(e->diagnostics));
  EXPECT_THAT(e->diagnostics.back().message, HasSubstr("most is activations"));
  EXPECT_THAT(e->diagnostics.back().hint, HasSubstr("micro_batch_size"));
}

TEST(Estimate, SaysThatFewerCopiesNeedLess) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.layout.data_parallel_size = 4;
  spec.layout.zero_stage = 1;
  spec.layout.zero_replicas = 4;
  spec.cluster.device.memory_bytes = 1.2e9;
  spec.training.seq_length = 8;  // states are most
  spec.layout.micro_batch_size = 1;
  spec.training.global_batch_size = 4;
  const auto e = estimate(spec);
  ASSERT_TRUE(e) << e.error().message;
  ASSERT_THAT(e->diagnostics.back().message, HasSubstr("most is m"));  // moments
  EXPECT_EQ(e->diagnostics.back().hint, "lower zero_replicas");
}

TEST(Estimate, BrokenSpecsAreErrorsNotNumbers) {
  spec::RunSpec spec = run_spec("moe-1t");
  spec.layout.expert_parallel_size = 3;
  spec.cluster.inter_node.bytes_per_s = 0;
  const auto broken = estimate(spec);
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, HasSubstr("more problem"));
  spec::RunSpec bare;
  bare.model = model_config("tiny-moe");
  const auto empty = estimate(bare);
  ASSERT_FALSE(empty);
  EXPECT_THAT(empty.error().message, HasSubstr("cluster"));
}

// Every field pushed to both ends of its range: an error or a finite estimate, never NaN.
TEST(Estimate, ExtremeValuesNeverGiveNonsense) {
  for (const char* name : {"tiny-moe", "moe-1t", "deepseek-v3"}) {
    const spec::RunSpec base = run_spec(name);
    for (const spec::FieldInfo& info : spec::all_fields()) {
      using Kind = spec::FieldInfo::Kind;
      if (info.kind != Kind::integer && info.kind != Kind::number) continue;
      for (const double value : {info.field.min, info.field.max, 1e12}) {
        spec::RunSpec spec = base;
        if (!std::isfinite(value) ||
            !spec::set_field(spec, info.path, fmt::format("{:.17g}", value)))
          continue;
        const auto e = estimate(spec);
        if (!e) continue;
        for (const double figure :
             {e->step_s, e->low_s, e->high_s, e->worst_bytes, e->cost.usd, e->cost.kwh,
              e->tokens_per_s, e->cost.run_s, e->model_flops_utilization}) {
          EXPECT_TRUE(std::isfinite(figure) && figure >= 0)
              << name << " " << info.path << " = " << value;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tera::plan
