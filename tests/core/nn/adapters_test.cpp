// Low-rank adapters in every module that holds a projection: gradients, and what a model with
// adapters computes.
#include "core/nn/adapters.h"

#include <cmath>
#include <memory>

#include <gtest/gtest.h>

#include "core/plan/adapter_table.h"
#include "tests/core/nn/check_module.h"
#include "tests/support/distance.h"

namespace tera::nn::test {
namespace {

spec::LoraConfig lora_of(std::vector<std::string> targets) {
  return {.rank = 3, .alpha = 4, .use_rslora = false, .target_modules = std::move(targets)};
}

// Every projection the model has.
spec::LoraConfig everywhere(const spec::ModelConfig& model) {
  std::vector<std::string> targets = {"attention.out"};
  const auto add = [&](std::initializer_list<const char*> names) {
    targets.insert(targets.end(), names.begin(), names.end());
  };
  if (model.attention == spec::AttentionKind::latent) {
    add({"attention.kv_down", "attention.kv_up"});
    if (model.q_lora_rank > 0) {
      add({"attention.q_down", "attention.q_up"});
    } else {
      add({"attention.q"});
    }
  } else {
    add({"attention.q", "attention.k", "attention.v"});
  }
  const int layers = model.num_all_layers();
  if (model.num_moe_layers(layers) < layers) add({"ffn.in", "ffn.out"});
  if (model.num_experts > 0) add({"experts.in", "experts.out"});
  if (model.num_shared_experts > 0) add({"shared.in", "shared.out"});
  if (!model.tie_embeddings) add({"head"});
  return lora_of(std::move(targets));
}

class AdapterGradient : public testing::TestWithParam<NamedConfig> {};

TEST_P(AdapterGradient, IsThatOfDifferences) {
  const spec::ModelConfig& config = GetParam().config;
  TinyModel tiny(config, DType::f64, CpuOps::reference, 1, everywhere(config));
  const Batch batch = random_batch(*tiny.backend, 2, 7, config.vocab_size, 4);
  const double scale = 1.0 / static_cast<double>(num_targets(batch));
  EXPECT_DOUBLE_EQ(tiny.train(batch, scale), tiny.evaluate(batch, scale));
  int checked = 0;
  for (const Param& param : tiny.params.params()) {
    EXPECT_EQ(param.trained, param.spec.adapts.has_value()) << param.spec.name;
    if (!param.spec.adapts) continue;
    tera::test::expect_gradient(
        param.spec.name, elements(param.value), elements(param.grad),
        [&] { return tiny.evaluate(batch, scale); }, 2);
    ++checked;
  }
  EXPECT_GT(checked, 0);
}

std::vector<NamedConfig> adapted_configs() {
  std::vector<NamedConfig> chosen;
  for (NamedConfig& named : all_and_training_configs()) {
    for (const char* name : {"gpt2", "moe", "sigmoid_moe", "latent_moe", "mtp", "neox", "grok",
                             "expert_choice", "latent_window_softcap"}) {
      if (named.name == name) chosen.push_back(std::move(named));
    }
  }
  return chosen;
}

INSTANTIATE_TEST_SUITE_P(Models,
                         AdapterGradient,
                         testing::ValuesIn(adapted_configs()),
                         [](const auto& test) { return test.param.name; });

std::vector<double> logits_of(TinyModel& tiny, const std::vector<std::int32_t>& tokens) {
  KvCache cache = tiny.model.make_cache(static_cast<int>(tokens.size()));
  const Tensor rows = tiny.model.decode(tokens, cache);
  std::vector<double> logits;
  for (std::int64_t i = 0; i < rows.num_elements(); ++i)
    logits.push_back(value_at(rows, i));
  return logits;
}

void set_up_factors(TinyModel& tiny, float value) {
  for (Param& param : tiny.params.params()) {
    if (!param.spec.adapts || param.spec.init != plan::ParamInit::zeros) continue;
    for (std::int64_t i = 0; i < param.value.num_elements(); ++i)
      param.value.data<float>()[i] = value;
  }
}

// B = 0: nothing is added, to the bit, in every type of the weights.
TEST(Adapters, StartFromTheBaseModel) {
  const std::vector<std::int32_t> tokens = {5, 1, 16, 3, 3, 0};
  for (const NamedConfig& named : adapted_configs()) {
    if (named.config.router_choice == spec::RouterChoice::expert) continue;
    for (const DType dtype : {DType::f32, DType::bf16}) {
      TinyModel base(named.config, dtype, CpuOps::fast);
      TinyModel adapted(named.config, dtype, CpuOps::fast, 1, everywhere(named.config));
      set_up_factors(adapted, 0);
      EXPECT_EQ(logits_of(base, tokens), logits_of(adapted, tokens)) << named.name;
      set_up_factors(adapted, 0.5F);
      EXPECT_NE(logits_of(base, tokens), logits_of(adapted, tokens)) << named.name;
    }
  }
}

// The latent cache goes through rows of kv_up and its adapter: the logits of tokens one by one are
// those of all at once, up to the order of f32 sums (latent_attention_test.cpp).
TEST(Adapters, AreSeenByTheLatentCache) {
  const spec::ModelConfig config = latent_config();
  TinyModel tiny(config, DType::f32, CpuOps::fast, 1,
                 lora_of({"attention.kv_up", "attention.kv_down"}));
  const std::vector<std::int32_t> tokens = {5, 1, 16, 3, 3, 0, 9, 12};
  const std::vector<double> at_once = logits_of(tiny, tokens);
  KvCache cache = tiny.model.make_cache(8);
  std::vector<double> one_by_one;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const Tensor row = tiny.model.decode(std::span(tokens).subspan(t, 1), cache);
    for (const double logit : values_of(row))
      one_by_one.push_back(logit);
  }
  EXPECT_LT(tera::test::relative_distance(one_by_one, at_once), 1e-5);
}

// torch.nn.init.kaiming_uniform_(a = sqrt(5)): uniform within 1 / sqrt(columns), whose deviation is
// bound / sqrt(3). 4096 numbers: the deviation is within 5 % (its own is 0.7 %).
TEST(Adapters, StartUniformAndZero) {
  spec::ModelConfig config = small_config();
  config.hidden_size = 512;
  ThreadPool pool(1);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  spec::LoraConfig lora = lora_of({"attention.v"});
  lora.rank = 8;
  ParamStore store(*backend, plan::with_adapters(plan::make_param_table(config), lora), {});
  init_params(store, config, 3);
  const Tensor& a = store.get("layers.1.attention.v.lora_A.weight").value;
  ASSERT_EQ(a.shape(), (std::vector<std::int64_t>{8, 512}));
  const double bound = 1 / std::sqrt(512.0);
  double squares = 0;
  for (std::int64_t i = 0; i < a.num_elements(); ++i) {
    EXPECT_LE(std::abs(a.data<float>()[i]), bound);
    squares += std::pow(a.data<float>()[i], 2);
  }
  EXPECT_NEAR(std::sqrt(squares / 4096), bound / std::sqrt(3.0), 0.05 * bound);
  const Tensor& b = store.get("layers.1.attention.v.lora_B.weight").value;
  for (std::int64_t i = 0; i < b.num_elements(); ++i)
    EXPECT_EQ(b.data<float>()[i], 0.0F);
}

}  // namespace
}  // namespace tera::nn::test
