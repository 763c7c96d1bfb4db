#include "core/plan/kept_table.h"

#include <gtest/gtest.h>

#include "core/plan/placement.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

using spec::Framework;
using spec::RecomputeKind;

double bytes_of(const spec::RunSpec& spec, bool moe = false) {
  double sum = 0;
  for (const StashEntry& entry : kept_table(spec, layer_of_kind(spec.model, moe)))
    sum += kept_bytes(entry, spec, 1);
  return sum;
}

spec::RunSpec gpt(Framework framework) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.software.framework = framework;
  spec.training.precision = spec::Precision::bf16;
  spec.training.seq_length = 1024;
  spec.layout.micro_batch_size = 2;
  return spec;
}

// Korthikanti et al. 2022, eq. 1 and 2: s b h (34 + 5 a s / h), of which statistics of norms and
// the logarithms of sums, f32, are left out.
TEST(KeptTable, OfMegatronIsThePublishedFormula) {
  spec::RunSpec spec = gpt(Framework::megatron_lm);
  spec.software.fused_attention = false;
  spec.software.dropout = true;
  const double tokens = 2.0 * 1024;
  const double hidden = spec.model.hidden_size;
  const double heads = spec.model.num_attention_heads;
  const double statistics = tokens * 4 * (4 + heads);
  EXPECT_DOUBLE_EQ(bytes_of(spec), tokens * hidden * (34 + 5 * heads * 1024 / hidden) + statistics);
  spec.layout.recompute = RecomputeKind::selective;
  EXPECT_DOUBLE_EQ(bytes_of(spec), tokens * hidden * 34 + statistics);
  spec.layout.recompute = RecomputeKind::full;
  EXPECT_DOUBLE_EQ(bytes_of(spec), tokens * hidden * 2);
  // Split four ways with sequence parallelism all of it is (section 4.2.2).
  spec.layout.recompute = RecomputeKind::none;
  const double whole = bytes_of(spec);
  spec.layout.tensor_parallel_size = 4;
  spec.layout.sequence_parallel = true;
  EXPECT_DOUBLE_EQ(bytes_of(spec), whole / 4);
}

TEST(KeptTable, OfTeraGptIsItsStash) {
  for (const char* preset : {"tiny-moe", "deepseek-v3", "gpt2-124m"}) {
    for (const RecomputeKind kind :
         {RecomputeKind::none, RecomputeKind::selective, RecomputeKind::full}) {
      spec::RunSpec spec = run_spec(preset);
      spec.layout.recompute = kind;
      const auto kept = kept_table(spec, 0);
      const auto stash = make_stash_table(spec, 0, 1, false);
      ASSERT_EQ(kept.size(), stash.size()) << preset;
      for (std::size_t i = 0; i < kept.size(); ++i) {
        EXPECT_EQ(kept[i].name, stash[i].name);
        EXPECT_EQ(kept[i].num_bytes(), stash[i].num_bytes());
      }
    }
  }
}

// Of a Llama layer with gate G = ffn width: x, queries, values, attention, ffn.x, gate.
TEST(KeptTable, OfTorchTitanBySelectedOperations) {
  spec::RunSpec spec = gpt(Framework::torchtitan);
  spec.model = model_config("llama-3.1-8b");
  spec.layout.recompute = RecomputeKind::selective;
  const spec::ModelConfig& m = spec.model;
  const double heads = m.num_attention_heads;
  const double per_token = 2.0 * (2 * m.hidden_size + 2 * heads * m.head_dim +
                                  m.num_key_value_heads * m.head_dim + m.ffn_hidden_size) +
                           4 * heads;
  EXPECT_DOUBLE_EQ(bytes_of(spec), 2.0 * 1024 * per_token);
}

TEST(KeptTable, LayersThatAreNotFusedKeepMore) {
  spec::RunSpec spec = gpt(Framework::megatron_lm);
  spec.model = model_config("llama-3.1-8b");
  const double fused = bytes_of(spec);
  spec.software.compiled = false;
  const spec::ModelConfig& m = spec.model;
  const double more = (m.num_attention_heads + 2.0 * m.num_key_value_heads) * m.head_dim +
                      2.0 * m.hidden_size + m.ffn_hidden_size;
  EXPECT_DOUBLE_EQ(bytes_of(spec) - fused, 2.0 * 1024 * 2 * more);
}

TEST(KeptTable, ProductsInEightBitsKeepEightBits) {
  spec::RunSpec spec = gpt(Framework::megatron_lm);
  const double wide = bytes_of(spec);
  spec.training.precision = spec::Precision::fp8_tensor;
  // The inputs of four products: 2 norms, attention and activation, one byte less each.
  EXPECT_DOUBLE_EQ(wide - bytes_of(spec),
                   2.0 * 1024 * (3.0 * spec.model.hidden_size + spec.model.ffn_hidden_size));
}

TEST(KeptTable, TorchTitanKeepsInputsOfNarrowProductsWide) {
  spec::RunSpec spec = gpt(Framework::torchtitan);
  const double wide = bytes_of(spec);
  spec.training.precision = spec::Precision::fp8_tensor;
  EXPECT_EQ(bytes_of(spec), wide);
}

// The outputs of two norms, whole on each of four ranks instead of a quarter.
TEST(KeptTable, TorchTitanKeepsInputsGatheredOverTensorRanks) {
  spec::RunSpec spec = gpt(Framework::torchtitan);
  spec.layout.tensor_parallel_size = 4;
  spec.layout.sequence_parallel = true;
  const double gathered = bytes_of(spec);
  spec.software.tensor_overlap = true;
  EXPECT_DOUBLE_EQ(gathered - bytes_of(spec),
                   (1 - 0.25) * 2 * 2.0 * 1024 * spec.model.hidden_size * 2);
}

// A layer of experts, each token to 8 of width 1024, in bf16: DeepSpeed keeps the experts' outputs
// for the gates and, as a norm keeps queries and keys already, nothing of them twice.
TEST(KeptTable, MegatronMultipliesGatesWithinTheActivation) {
  const auto kept = [](Framework framework) {
    spec::RunSpec spec = gpt(framework);
    spec.model = model_config("olmoe-1b-7b");
    return bytes_of(spec, true);
  };
  EXPECT_DOUBLE_EQ(kept(Framework::deepspeed) - kept(Framework::megatron_lm),
                   2.0 * 1024 * 8 * 2048 * 2);
}

// DeepSeek-V3: layernorm and mla_up_proj drop a norm's output of 7168 and, of 128 heads, queries
// and keys of 192 and values of 128; of layers with experts also that of their norm and, by
// moe_act, 2048 numbers of each of 8 rows.
TEST(KeptTable, SelectedModulesOfMegatronAreDropped) {
  spec::RunSpec spec = gpt(Framework::megatron_lm);
  spec.model = model_config("deepseek-v3");
  const auto dropped = [&spec](bool moe) {
    spec.layout.recompute = RecomputeKind::none;
    const double all = bytes_of(spec, moe);
    spec.layout.recompute = RecomputeKind::selective;
    return (all - bytes_of(spec, moe)) / (2.0 * 1024 * 2);
  };
  const double latent = 7168 + 128.0 * (192 + 192 + 128);
  EXPECT_DOUBLE_EQ(dropped(false), latent);
  EXPECT_DOUBLE_EQ(dropped(true), latent + 7168 + 8 * 2048.0);
  spec.model = model_config("llama-3.1-8b");
  EXPECT_DOUBLE_EQ(dropped(false), 0) << "the norms are one with their products";
}

// GPT-2: inputs of four products, 3 of 768 and one of 3072 wide, and the gradients at their
// outputs, 3 x 768 of queries, keys and values, 768, 3072 and 768. In 8 bits half.
TEST(KeptTable, ProductsWaitWithInputsAndGradients) {
  spec::RunSpec spec = gpt(Framework::megatron_lm);
  const auto waiting = [&spec] {
    double sum = 0;
    for (const StashEntry& entry : waiting_table(spec, 0))
      sum += kept_bytes(entry, spec, 1);
    return sum;
  };
  const double numbers = 2.0 * 1024 * (3 * 768 + 3072 + 3 * 768 + 768 + 3072 + 768);
  EXPECT_DOUBLE_EQ(waiting(), 2 * numbers);
  spec.training.precision = spec::Precision::fp8_tensor;
  EXPECT_DOUBLE_EQ(waiting(), numbers);
  spec.software.framework = Framework::teragpt;
  EXPECT_EQ(waiting_table(spec, 0).size(), make_waiting_table(spec, 0, 1, false).size());
}

TEST(KeptTable, TheBusiestRankKeepsMoreRowsOfExperts) {
  spec::RunSpec spec = run_spec("olmoe-1b-7b");
  spec.software.framework = Framework::megatron_lm;
  for (const StashEntry& entry : kept_table(spec, 0)) {
    const bool rows = entry.name.ends_with("moe.permuted") || entry.name.ends_with("moe.inner") ||
                      entry.name.ends_with("moe.act");
    EXPECT_EQ(kept_bytes(entry, spec, 1.5) / kept_bytes(entry, spec, 1), rows ? 1.5 : 1)
        << entry.name;
  }
}

}  // namespace
}  // namespace tera::plan
