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

// Small models of every shape the engine trains, drawn at random; the seed is printed on failure.
spec::RunSpec random_spec(std::mt19937& random) {
  const auto pick = [&](std::initializer_list<int> choices) {
    return *(choices.begin() +
             std::uniform_int_distribution<std::ptrdiff_t>(0, std::ssize(choices) - 1)(random));
  };
  spec::RunSpec spec;
  spec::ModelConfig& m = spec.model;
  m.num_layers = pick({1, 2, 3});
  m.head_dim = pick({8, 16, 24});
  m.num_key_value_heads = pick({1, 2, 3});
  m.num_attention_heads = m.num_key_value_heads * pick({1, 2, 4});
  m.hidden_size = pick({24, 40, 64});
  m.vocab_size = pick({61, 128, 301});
  m.max_position_embeddings = 64;
  m.position = pick({0, 1}) == 0 ? spec::PositionKind::rotary : spec::PositionKind::learned;
  m.norm = pick({0, 1}) == 0 ? spec::NormKind::rms : spec::NormKind::layer;
  m.activation = static_cast<spec::ActivationKind>(pick({0, 1, 2, 3, 4, 5}));
  m.qk_norm = static_cast<spec::QkNormKind>(pick({0, 1, 2}));
  m.attention_bias = static_cast<spec::AttentionBias>(pick({0, 1, 2}));
  m.ffn_bias = pick({0, 1}) == 1;
  m.norm_placement = static_cast<spec::NormPlacement>(pick({0, 1, 2}));
  m.parallel_residual = pick({0, 1}) == 1;
  m.sliding_window = pick({0, 5});
  m.attention_scale = pick({0, 1}) * 0.25;
  m.attention_softcap = pick({0, 30});
  m.embedding_multiplier = pick({1, 3});
  m.logit_multiplier = pick({1, 2}) * 0.5;
  if (m.position == spec::PositionKind::rotary) {
    m.rotary_fraction = pick({1, 2, 4}) * 0.25;
    m.rope_scaling = static_cast<spec::RopeScaling>(pick({0, 1, 2, 3}));
    m.rope_factor = m.rope_scaling == spec::RopeScaling::none ? 1 : 4;
    m.rope_original_max_position = 16;
  }
  if (pick({0, 1, 2}) == 0) {
    m.attention = spec::AttentionKind::latent;
    m.qk_norm = spec::QkNormKind::none;
    m.attention_bias = spec::AttentionBias::none;
    m.rotary_fraction = 1;
    m.q_lora_rank = pick({0, 14});
    m.kv_lora_rank = pick({10, 24});
    m.qk_nope_head_dim = pick({6, 16});
    m.qk_rope_head_dim = pick({4, 8});
    m.v_head_dim = pick({5, 12});
  }
  m.tie_embeddings = pick({0, 1}) == 1;
  m.num_mtp_layers = pick({0, 0, 1, 2});
  m.num_experts = pick({0, 3, 8});
  m.ffn_hidden_size = 48;
  if (m.num_experts > 0) {
    m.router_top_k = pick({1, 2, 3});
    m.moe_ffn_hidden_size = pick({16, 40});
    m.num_shared_experts = pick({0, 1, 2});
    m.shared_expert_gate = m.num_shared_experts > 0 && pick({0, 1}) == 1;
    m.num_dense_layers = m.num_layers > 1 ? pick({0, 1}) : 0;
    m.moe_layer_interval = pick({1, 1, 2});  // 2 may leave no layer with experts
    m.router_score = pick({0, 1}) == 0 ? spec::RouterScore::softmax : spec::RouterScore::sigmoid;
    m.z_loss_coeff = pick({0, 1}) * 0.001;
    m.router_jitter = pick({0, 1}) * 0.01;
    m.expert_capacity_factor = 0.25 * pick({0, 0, 2, 5});
    m.router_choice = pick({0, 0, 1}) == 0 ? spec::RouterChoice::token : spec::RouterChoice::expert;
    if (m.router_choice == spec::RouterChoice::token) {
      m.router_renormalize = pick({0, 1}) == 1;
      m.expert_bias_update_rate = pick({0, 1}) * 0.001;
      m.aux_loss_coeff = pick({0, 1}) * 0.01;
      m.aux_loss_scope = static_cast<spec::AuxLossScope>(pick({0, 1, 2}));
      m.capacity_policy = static_cast<spec::CapacityPolicy>(pick({0, 1}));
      m.capacity_pad = m.expert_capacity_factor > 0 && pick({0, 1}) == 1;
      if (m.num_experts == 8) m.router_num_groups = pick({1, 2});  // 4 experts in a group
    }
  }
  spec.data.datasets.emplace_back().path = "unused";  // tokens are synthetic
  spec.training.precision = static_cast<spec::Precision>(pick({0, 1, 2, 3}));
  spec.training.ema_decay = pick({0, 1}) * 0.9;
  spec.training.optimizer = static_cast<spec::OptimizerKind>(pick({0, 1, 2, 3, 4}));
  spec.training.seq_length = pick({7, 16, 33});
  spec.layout.recompute = static_cast<spec::RecomputeKind>(pick({0, 1, 2}));
  spec.layout.micro_batch_size = pick({1, 2, 3});
  spec.training.global_batch_size = spec.layout.micro_batch_size * pick({1, 2});
  return spec;
}

// Adapters on everything the model has, or on some of it.
void add_adapters(spec::RunSpec& spec, std::mt19937& random) {
  spec.lora.rank = 1 + static_cast<int>(random() % 4);
  spec.training.init_from = "unused";  // weights are random
  for (const std::string_view target : spec::kLoraTargets) {
    if (random() % 3 == 0) continue;
    spec.lora.target_modules.emplace_back(target);
    for (const Diagnostic& found : spec::validate(spec)) {
      if (found.field.starts_with("lora.target_modules[")) {  // the model lacks it
        spec.lora.target_modules.pop_back();
        break;
      }
    }
  }
  if (!spec.lora.enabled()) spec.lora.target_modules = {"attention.out"};
}

TEST(PlanEqualsEngine, RandomAdapters) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int drawn = 0; drawn < 8; ++drawn) {
    spec::RunSpec spec = random_spec(random);
    add_adapters(spec, random);
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
    const spec::RunSpec spec = random_spec(random);
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
    spec::RunSpec spec = random_spec(random);
    if (pick({0, 1, 2}) == 0) add_adapters(spec, random);
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
