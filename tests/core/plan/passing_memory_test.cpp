#include "core/plan/passing_memory.h"

#include <gtest/gtest.h>

#include "core/plan/rank_mesh.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

using spec::Framework;

spec::RunSpec llama(Framework framework) {
  spec::RunSpec spec = run_spec("moe-1t");
  spec.model = model_config("llama-3.1-8b");
  spec.layout = {};
  spec.layout.data_parallel_size = 8;
  spec.layout.micro_batch_size = 2;
  spec.training.global_batch_size = 16;
  spec.training.seq_length = 4096;
  spec.training.precision = spec::Precision::bf16;
  spec.software.framework = framework;
  return spec;
}

PassingBytes passing_of(const spec::RunSpec& spec) {
  const RankMesh mesh = *RankMesh::make(spec.layout);
  const StageParts parts = stage_parts(spec, 0);
  return passing_bytes(spec, activation_bytes(spec), parts,
                       stage_groups(model_groups(spec, mesh), parts));
}

TEST(PassingMemory, TeraGptHasLogitsInChunksBesideALayer) {
  const PassingBytes bytes = passing_of(llama(Framework::teragpt));
  EXPECT_EQ(bytes.logits, 256.0 * 128256 * 6);
  EXPECT_GT(bytes.layer_gradients, 0);
  EXPECT_EQ(bytes.placeholders, 0);
}

TEST(PassingMemory, OthersHaveAllLogitsOrALayer) {
  spec::RunSpec spec = llama(Framework::megatron_lm);
  const double logits = 2 * 4096.0 * 128256;
  EXPECT_EQ(passing_of(spec).logits, 2 * logits) << "fused: in their place";
  EXPECT_EQ(passing_of(spec).layer_gradients, 0) << "which is smaller";
  spec.software.fused_cross_entropy = false;
  EXPECT_EQ(passing_of(spec).logits, 6 * logits);
  EXPECT_EQ(passing_of(llama(Framework::torchtitan)).logits, 4 * logits);
  spec::RunSpec eager = llama(Framework::torchtitan);
  eager.software.fused_cross_entropy = false;
  EXPECT_EQ(passing_of(eager).logits, (2 + 12) * logits) << "bf16 and three times f32";
  eager.layout.tensor_parallel_size = 8;
  EXPECT_EQ(passing_of(eager).logits, (2 + 16) * logits / 8) << "four times in f32, split";
  spec.model.vocab_size = 256;
  EXPECT_EQ(passing_of(spec).logits, 0);
  EXPECT_GT(passing_of(spec).layer_gradients, 0);
}

// 2 B for each weight of a layer: q, k, v, out and three of the feed-forward, and two norms; and of
// the head.
TEST(PassingMemory, TransformerEngineHasPlaceholders) {
  const double layer = 4096.0 * (4096 + 2 * 1024) + 4096.0 * 4096 + 3 * 4096.0 * 14336 + 2 * 4096;
  const PassingBytes bytes = passing_of(llama(Framework::megatron_lm));
  const double head = 4096.0 * 128256;
  EXPECT_NEAR(bytes.placeholders, 2 * (layer + head), 1e-3 * layer) << "norms come with it";
  spec::RunSpec apart = llama(Framework::megatron_lm);
  apart.software.compiled = false;
  EXPECT_EQ(passing_of(apart).placeholders, 0) << "without Transformer Engine";
  EXPECT_EQ(passing_of(llama(Framework::deepspeed)).placeholders, 0);
}

// What is computed again is there beside what was kept: both together are never more than all.
TEST(PassingMemory, OnlyWhatWasDroppedIsThereAgain) {
  spec::RunSpec spec = llama(Framework::megatron_lm);
  spec.model = model_config("deepseek-v3");
  spec.model.vocab_size = 256;
  EXPECT_EQ(passing_of(spec).recomputed_layer, 0);
  const double all = activation_bytes(spec).moe.everything;
  for (const spec::RecomputeKind kind :
       {spec::RecomputeKind::selective, spec::RecomputeKind::full}) {
    spec.layout.recompute = kind;
    const double kept = activation_bytes(spec).moe.whole();
    EXPECT_GT(passing_of(spec).recomputed_layer, 0);
    EXPECT_DOUBLE_EQ(passing_of(spec).recomputed_layer + kept, all);
  }
}

TEST(PassingMemory, ZeroThreeGathersByTheRulesOfEach) {
  const auto gathered = [](Framework framework) {
    spec::RunSpec spec = llama(framework);
    spec.layout.zero_stage = 3;
    return passing_of(spec).gathered_layers;
  };
  EXPECT_EQ(passing_of(llama(Framework::torchtitan)).gathered_layers, 0);
  // DeepSpeed: 1e9 live parameters and a bucket of 5e8, 2 B each.
  EXPECT_DOUBLE_EQ(gathered(Framework::deepspeed), 3e9);
  // FSDP2: two layers, gradients in bf16 and f32, and both ends.
  const double layer = 218.1e6;
  EXPECT_NEAR(gathered(Framework::torchtitan), 10 * layer + 2 * 1050.7e6, 0.01e9);
}

}  // namespace
}  // namespace tera::plan
