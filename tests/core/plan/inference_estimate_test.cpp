#include "core/plan/inference_estimate.h"

#include <algorithm>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/plan/param_table.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

using testing::HasSubstr;

spec::RunSpec serving(const char* model, const char* cluster = "h100-ib", int nodes = 4) {
  spec::RunSpec spec;
  spec.model = model_config(model);
  spec.cluster = spec::cluster_preset(cluster)->cluster;
  spec.cluster.num_nodes = nodes;
  return spec;
}

InferenceEstimate estimate_of(const spec::RunSpec& spec, const ReplicaLayout& layout) {
  const Result<InferenceEstimate> e = estimate_inference(spec, layout);
  EXPECT_TRUE(e) << e.error().message;
  return e.value_or(InferenceEstimate{});
}

TEST(Inference, MemoryOfAReplicaByHand) {
  const spec::RunSpec spec = serving("llama-3.1-8b");
  const InferenceEstimate one = estimate_of(spec, {});
  // 8.03 B parameters in bf16; 32 layers x 2 x 8 heads x 128 x 2 B for each token.
  EXPECT_EQ(one.weight_bytes, 2.0 * static_cast<double>(count_params(spec.model).total));
  EXPECT_EQ(one.cache_bytes_per_token, 32 * 2 * 8 * 128 * 2);
  EXPECT_EQ(one.cache_bytes_per_request, 2560.0 * one.cache_bytes_per_token);
  const double left =
      85.52e9 - spec.cluster.device.reserved_bytes - one.weight_bytes - one.workspace_bytes;
  EXPECT_EQ(one.max_requests, std::floor(left / one.cache_bytes_per_request));
  // Eight ranks hold an eighth each of matrices and of heads; norms are on all.
  const InferenceEstimate eight = estimate_of(spec, {.tensor = 8});
  EXPECT_NEAR(eight.weight_bytes / one.weight_bytes, 1.0 / 8, 1e-4);
  EXPECT_EQ(eight.cache_bytes_per_request, one.cache_bytes_per_request / 8);
  // Sixteen share eight heads in pairs: 4 queries each, and no cache is saved.
  const InferenceEstimate sixteen = estimate_of(spec, {.tensor = 16});
  EXPECT_EQ(sixteen.cache_bytes_per_request, eight.cache_bytes_per_request);
  const InferenceEstimate stages = estimate_of(spec, {.pipeline = 4});
  EXPECT_EQ(stages.cache_bytes_per_request, one.cache_bytes_per_request / 4);
}

// DeepSeek-AI 2024, DeepSeek-V2: latent attention keeps (512 + 64) numbers per token and layer, and
// splitting heads does not split them.
TEST(Inference, LatentAttentionKeepsOneVector) {
  const spec::RunSpec spec = serving("deepseek-v3", "h100-ib", 64);
  const InferenceEstimate e = estimate_of(spec, {.tensor = 8, .expert = 32});
  EXPECT_EQ(e.cache_bytes_per_token, 61 * 576 * 2);
  EXPECT_EQ(e.cache_bytes_per_request, 2560.0 * 61 * 576 * 2);
  EXPECT_EQ(e.layout.devices(), 32);
  EXPECT_EQ(e.layout.copies(), 4);
}

TEST(Inference, FormatsAndWindowsShrinkWhatTheySay) {
  spec::RunSpec spec = serving("mixtral-8x7b");
  const InferenceEstimate bf16 = estimate_of(spec, {.tensor = 4});
  spec.inference.weight_format = spec.inference.cache_format = spec::InferenceFormat::fp8;
  const InferenceEstimate fp8 = estimate_of(spec, {.tensor = 4});
  EXPECT_EQ(fp8.cache_bytes_per_request, bf16.cache_bytes_per_request / 2);
  // Embedding, norms and routers stay as they are: 0.3 % of the parameters.
  EXPECT_NEAR(fp8.weight_bytes / bf16.weight_bytes, 0.5, 0.005);
  spec.model.sliding_window = 1280;
  EXPECT_EQ(estimate_of(spec, {.tensor = 4}).cache_bytes_per_request,
            fp8.cache_bytes_per_request / 2);
}

// One request: a token reads every weight once and its cache once, at the bandwidth reached.
TEST(Inference, WritingOneTokenIsBoundByBytes) {
  spec::RunSpec spec = serving("llama-3.1-8b");
  spec.inference.max_requests = 1;
  spec.cluster.device.op_overhead_s = 0;
  const InferenceEstimate e = estimate_of(spec, {});
  const double embedding = 2.0 * 128256 * 4096;
  const double norms = 2.0 * (2 * 32 + 1) * 4096;
  const double cache = (2048 + 256) * e.cache_bytes_per_token;
  const double rate =
      spec.cluster.device.memory_bytes_per_s * spec.cluster.device.memory_efficiency;
  EXPECT_NEAR(e.token_s, (e.weight_bytes - embedding + cache) / rate, 2 * norms / rate);
  EXPECT_EQ(e.output_tokens_per_s, 1 / e.token_s);
  EXPECT_EQ(e.requests, 1);
}

TEST(Inference, FewTokensTouchFewExperts) {
  spec::RunSpec spec = serving("mixtral-8x7b");
  spec.cluster.device.op_overhead_s = 0;
  spec.inference.max_requests = 1;
  const auto weights_s = [&spec] {
    const InferenceEstimate e = estimate_of(spec, {.tensor = 4});
    return find_term(e.terms, "next token/weights")->value;
  };
  const double one = weights_s();
  // A token of Mixtral reads two of eight experts: 12.9 of 46.7 B parameters, and the router is
  // always read.
  const plan::ParamCounts counts = count_params(spec.model);
  const double all_s =
      static_cast<double>(counts.active - counts.embedding) * 2 / 4 /
      (spec.cluster.device.memory_bytes_per_s * spec.cluster.device.memory_efficiency);
  EXPECT_NEAR(one / all_s, 1, 0.01);
  spec.inference.max_requests = 64;
  const double many = weights_s();
  const double total_s =
      static_cast<double>(counts.total - counts.embedding) * 2 / 4 /
      (spec.cluster.device.memory_bytes_per_s * spec.cluster.device.memory_efficiency);
  EXPECT_NEAR(many / total_s, 1, 0.01);  // 1 - 0.75^64 of the experts: all
}

TEST(Inference, MoreRequestsTradeLatencyForPrice) {
  spec::RunSpec spec = serving("llama-3.1-8b");
  double token_s = 0;
  double usd = 1e9;
  for (const int requests : {1, 8, 64, 150}) {
    spec.inference.max_requests = requests;
    const InferenceEstimate e = estimate_of(spec, {});
    EXPECT_EQ(e.requests, requests);
    EXPECT_GT(e.token_s, token_s);
    EXPECT_LT(e.usd_per_m_output_tokens, usd);
    token_s = e.token_s;
    usd = e.usd_per_m_output_tokens;
    const double between = 1 / (2048 / e.prompt_tokens_per_s + 512 / e.output_tokens_per_s);
    EXPECT_DOUBLE_EQ(e.requests_per_s, between);
    EXPECT_NEAR(e.usd_per_m_tokens * 2560,
                e.usd_per_m_prompt_tokens * 2048 + e.usd_per_m_output_tokens * 512, 1e-6);
  }
}

TEST(Inference, PromptsAreBoundByCompute) {
  const spec::RunSpec spec = serving("llama-3.1-8b");
  const InferenceEstimate e = estimate_of(spec, {});
  const double flops = 2 * static_cast<double>(count_params(spec.model).total) * 2048;
  const double share = flops / e.first_token_s / spec.cluster.device.peak_flops_per_s_bf16;
  EXPECT_GT(share, 0.3);
  EXPECT_LT(share, spec.cluster.device.matmul_efficiency);
}

TEST(PlanInference, ChoosesTheCheapestLayoutThatFits) {
  const spec::RunSpec spec = serving("mixtral-8x7b");
  const Result<InferenceEstimate> best = plan_inference(spec);
  ASSERT_TRUE(best) << best.error().message;
  EXPECT_TRUE(best->fits);
  EXPECT_GE(best->layout.devices(), 2);  // 93 GB of weights
  int fitting = 0;
  for (const ReplicaLayout& layout : replica_layouts(spec)) {
    const InferenceEstimate e = estimate_of(spec, layout);
    if (!e.fits) continue;
    ++fitting;
    EXPECT_GE(e.usd_per_m_tokens, best->usd_per_m_tokens);
  }
  EXPECT_GT(fitting, 10);
}

TEST(PlanInference, FixedSizesHoldAndWhatNeverFitsIsSaid) {
  spec::RunSpec spec = serving("deepseek-v3", "h100-ib", 8);
  spec.inference.tensor_parallel_size = 4;
  spec.inference.expert_parallel_size = 32;
  const Result<InferenceEstimate> fixed = plan_inference(spec);
  ASSERT_TRUE(fixed) << fixed.error().message;
  EXPECT_EQ(fixed->layout.tensor, 4);
  EXPECT_EQ(fixed->layout.expert, 32);
  spec.cluster.num_nodes = 1;
  spec.inference = {};
  const Result<InferenceEstimate> small = plan_inference(spec);  // 1.34 TB in 640 GB
  ASSERT_TRUE(small) << small.error().message;
  EXPECT_FALSE(small->fits);
  EXPECT_EQ(small->usd_per_m_tokens, 0);
  EXPECT_EQ(small->layout.devices(), 8);
}

TEST(PlanInference, WrongSizesAreErrorsThatNameThem) {
  struct Mistake {
    std::function<void(spec::RunSpec&)> make;
    const char* message;
  };
  for (const Mistake& mistake :
       {Mistake{[](auto& s) { s.inference.tensor_parallel_size = 3; },
                "tensor_parallel_size: 3 does not divide model.num_attention_heads = 32"},
        {[](auto& s) { s.inference.expert_parallel_size = 16; },
         "expert_parallel_size: 16 does not divide model.num_experts = 8"},
        {[](auto& s) { s.inference.pipeline_parallel_size = 33; }, "no replica of the sizes"},
        {[](auto& s) { s.inference.tensor_parallel_size = 64; }, "no replica of the sizes"},
        {[](auto& s) { s.cluster = {}; }, "not described"}}) {
    spec::RunSpec spec = serving("mixtral-8x7b");
    mistake.make(spec);
    const Result<InferenceEstimate> e = plan_inference(spec);
    ASSERT_FALSE(e) << mistake.message;
    EXPECT_THAT(e.error().message, HasSubstr(mistake.message));
    EXPECT_FALSE(e.error().hint.empty());
  }
}

TEST(PlanInference, EveryTermHasAFormulaAndASource) {
  const Result<InferenceEstimate> e = plan_inference(serving("mixtral-8x7b"));
  ASSERT_TRUE(e);
  const std::function<int(const Term&)> check = [&](const Term& term) {
    EXPECT_FALSE(term.formula.empty()) << term.label;
    EXPECT_FALSE(term.source.empty()) << term.label;
    int count = 1;
    for (const Term& child : term.children)
      count += check(child);
    return count;
  };
  EXPECT_EQ(check(e->terms), 1 + 4 + 3 + 5 + 3);
}

}  // namespace
}  // namespace tera::plan
