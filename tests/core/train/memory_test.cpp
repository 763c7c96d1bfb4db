// Plan equals reality: the bytes the planner predicts are the bytes a training step allocates.
#include <array>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/base/thread_pool.h"
#include "core/plan/estimate.h"
#include "core/spec/presets.h"
#include "core/spec/validate.h"
#include "core/spec/yaml.h"
#include "core/tensor/cpu_backend.h"
#include "core/train/synthetic.h"
#include "tests/core/train/random_specs.h"
#include "tests/core/train/trained_precisions.h"
#include "tests/support/spawn_ranks.h"

namespace tera::train {
namespace {

// Two steps, so that every kind has been at its peak.
void expect_plan_equals_engine(const spec::RunSpec& spec) {
  const plan::EngineBytes planned = plan::engine_bytes(spec);
  ThreadPool pool(2);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  {
    SyntheticTrainer trainer(spec, *backend);
    trainer.step();
    trainer.step();
    EXPECT_EQ(backend->counter(MemoryKind::weights).peak_bytes, planned.weights);
    EXPECT_EQ(backend->counter(MemoryKind::gradients).peak_bytes, planned.gradients);
    EXPECT_EQ(backend->counter(MemoryKind::optimizer).peak_bytes, planned.optimizer);
    EXPECT_EQ(backend->counter(MemoryKind::activations).peak_bytes, planned.activations);
    EXPECT_EQ(backend->counter(MemoryKind::weights).live_bytes, planned.weights);
    EXPECT_EQ(backend->counter(MemoryKind::activations).live_bytes, 0) << "released after backward";
  }
  for (const MemoryKind kind : {MemoryKind::weights, MemoryKind::gradients, MemoryKind::optimizer,
                                MemoryKind::activations, MemoryKind::workspace}) {
    EXPECT_EQ(backend->counter(kind).live_bytes, 0) << static_cast<int>(kind);
  }
}

TEST(PlanEqualsEngine, TinyMoe) {
  const auto preset = spec::run_preset("tiny-moe");
  ASSERT_TRUE(preset.has_value());
  for (const spec::Precision precision : test::trained_precisions()) {
    spec::RunSpec spec = preset->spec;
    spec.training.precision = precision;
    spec.training.ema_decay = static_cast<int>(precision) % 2 == 0 ? 0 : 0.9;
    spec.training.seq_length = 64;  // the sizes scale with it; the test is about the bytes
    expect_plan_equals_engine(spec);
  }
}

// The preset with its kinds of layers and its router, made small.
TEST(PlanEqualsEngine, DeepSeekV3MadeSmall) {
  spec::RunSpec spec;
  spec.model = spec::model_preset("deepseek-v3")->model;
  spec::ModelConfig& m = spec.model;
  m.num_layers = 3;
  m.num_dense_layers = 1;
  m.hidden_size = 48;
  m.num_attention_heads = m.num_key_value_heads = 4;
  m.q_lora_rank = 24;
  m.kv_lora_rank = 16;
  m.qk_nope_head_dim = 12;
  m.qk_rope_head_dim = 8;
  m.v_head_dim = 12;
  m.vocab_size = 101;
  m.ffn_hidden_size = 96;
  m.num_experts = 16;
  m.moe_ffn_hidden_size = 24;
  spec.training.seq_length = 20;
  spec.training.global_batch_size = 4;
  spec.layout.micro_batch_size = 2;
  spec.data.datasets.emplace_back().path = "unused";
  for (const spec::Precision precision : {spec::Precision::fp32, spec::Precision::bf16}) {
    spec.training.precision = precision;
    ASSERT_TRUE(spec::validate_for_engine(spec).empty());
    expect_plan_equals_engine(spec);
  }
}

// Few tokens and wide matrices: the workspace of a step is that of Newton-Schulz.
TEST(PlanEqualsEngine, WorkspaceOfMuon) {
  spec::RunSpec spec;
  spec.model = spec::model_preset("tiny-moe")->model;
  spec.cluster = spec::cluster_preset("this-machine")->cluster;
  spec.model.num_layers = 1;
  spec.model.vocab_size = 61;
  spec.training.optimizer = spec::OptimizerKind::muon;
  spec.training.seq_length = 7;
  spec.training.global_batch_size = spec.layout.micro_batch_size = 1;
  spec.data.datasets.emplace_back().path = "unused";
  const auto planned = plan::estimate(spec);
  ASSERT_TRUE(planned) << planned.error().message;
  const plan::Term* workspace = plan::find_term(planned->stages.front().memory, "workspace");
  ASSERT_EQ(workspace->children.front().label, "update of the largest tensor");
  ThreadPool pool(2);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  SyntheticTrainer trainer(spec, *backend);
  trainer.step();
  const MemoryCounter counted = backend->counter(MemoryKind::workspace);
  const std::int64_t kept = counted.live_bytes;  // by the model: rotary frequencies
  EXPECT_EQ(static_cast<double>(counted.peak_bytes - kept), workspace->value);
}

TEST(PlanEqualsEngine, RandomAdapters) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int drawn = 0; drawn < 8; ++drawn) {
    spec::RunSpec spec = test::random_spec(random);
    test::add_adapters(spec, random);
    SCOPED_TRACE("spec " + std::to_string(drawn) + ": " +
                 spec::get_field(spec, "lora.target_modules").value());
    expect_plan_equals_engine(spec);
  }
}

TEST(PlanEqualsEngine, RandomSmallSpecs) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int drawn = 0; drawn < 16; ++drawn) {
    const spec::RunSpec spec = test::random_spec(random);
    const std::vector<Diagnostic> problems = spec::validate_for_engine(spec);
    ASSERT_FALSE(has_errors(problems))
        << problems.front().field << ": " << problems.front().message;
    SCOPED_TRACE("spec " + std::to_string(drawn));
    expect_plan_equals_engine(spec);
  }
}

// Of each rank, padding of the buckets, gathered weights and sums under way included.
TEST(PlanEqualsEngine, RandomStagesOfZero) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto pick = [&](std::initializer_list<int> choices) {
    return *(choices.begin() +
             std::uniform_int_distribution<std::ptrdiff_t>(0, std::ssize(choices) - 1)(random));
  };
  for (int drawn = 0; drawn < 24; ++drawn) {
    spec::RunSpec spec = test::random_spec(random);
    if (pick({0, 1, 2}) == 0) test::add_adapters(spec, random);
    spec.layout.data_parallel_size = pick({2, 3, 4});
    spec.layout.zero_stage = pick({0, 1, 2, 3});
    spec.training.global_batch_size *= spec.layout.data_parallel_size;
    spec.training.reproducible_sums = pick({0, 0, 1}) == 1;
    if (spec.layout.zero_stage > 0) {
      using enum spec::OptimizerKind;
      spec.training.optimizer =
          std::array{adamw, lion, sgd}[static_cast<std::size_t>(pick({0, 1, 2}))];
    }
    ASSERT_FALSE(has_errors(spec::validate_for_engine(spec)));
    const std::string text = fmt::format(
        "spec {}: ZeRO {}, {} ranks, {} micro-batches of {}, {}, tied {}, {} layers for "
        "prediction, "
        "{} adapters{}",
        drawn, spec.layout.zero_stage, spec.layout.data_parallel_size, spec.num_micro_batches(),
        spec.layout.micro_batch_size, enum_name(spec.training.precision), spec.model.tie_embeddings,
        spec.model.num_mtp_layers, spec.lora.target_modules.size(),
        spec.training.reproducible_sums ? ", reproducible sums" : "");
    const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);
    tera::test::spawn_ranks(mesh.world_size(), [&](comm::Communicator& world) {
      const plan::EngineBytes planned = plan::engine_bytes(spec, mesh, world.rank());
      ThreadPool pool(1);
      const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
      SyntheticTrainer trainer(spec, *backend, &world);
      trainer.step();
      trainer.step();
      const auto peak = [&](MemoryKind kind) { return backend->counter(kind).peak_bytes; };
      EXPECT_EQ(peak(MemoryKind::weights), planned.weights) << text;
      EXPECT_EQ(peak(MemoryKind::gradients), planned.gradients) << text;
      EXPECT_EQ(peak(MemoryKind::optimizer), planned.optimizer) << text;
      EXPECT_EQ(peak(MemoryKind::activations), planned.activations) << text;
    });
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace tera::train
