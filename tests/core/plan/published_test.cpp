// Estimates against published step times: each measurement lies in the likely range and within 30
// %.
#include <string>

#include <gtest/gtest.h>

#include "core/plan/estimate.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

using spec::ParallelLayout;

struct Measurement {
  const char* what;
  spec::ModelConfig model;
  ParallelLayout layout;
  const char* cluster;
  int seq_length;
  int global_batch_size;
  double step_s;
};

spec::ModelConfig llama(int layers, int hidden, int ffn, int heads) {
  spec::ModelConfig model;
  model.num_layers = layers;
  model.hidden_size = hidden;
  model.ffn_hidden_size = ffn;
  model.num_attention_heads = heads;
  model.num_key_value_heads = 8;
  model.head_dim = 128;
  model.vocab_size = 128256;
  model.max_position_embeddings = 8192;
  return model;
}

spec::ModelConfig nemotron_15b() {
  spec::ModelConfig model = llama(32, 6144, 24576, 48);
  model.vocab_size = 256000;
  model.activation = spec::ActivationKind::relu;  // squared ReLU: two matrices as well
  return model;
}

ParallelLayout layout(int tensor, int context, int data, int pipeline) {
  ParallelLayout layout;
  layout.tensor_parallel_size = tensor;
  layout.context_parallel_size = context;
  layout.data_parallel_size = data;
  layout.pipeline_parallel_size = pipeline;
  layout.sequence_parallel = tensor > 1;
  layout.zero_stage = 1;
  return layout;
}

ParallelLayout with_experts(ParallelLayout layout, int expert) {
  layout.expert_parallel_size = expert;
  return layout;
}

ParallelLayout with_micro_batch(ParallelLayout layout, int size) {
  layout.micro_batch_size = size;
  return layout;
}

// Sources: NVIDIA dgxc-benchmarking v25.02.02, llama3.1 and nemotron READMEs (H100, bf16);
// NVIDIA-NeMo Megatron-Bridge 25.11 performance summary (GB200, bf16; their interleaved schedules
// are planned as 1F1B).
std::vector<Measurement> measurements() {
  return {{"Llama 3.1 70B, 64 H100", llama(80, 8192, 28672, 64), layout(4, 2, 2, 4), "h100-ib",
           8192, 128, 14.61},
          {"42 layers of Llama 3.1 405B, 192 H100", llama(42, 16384, 53248, 128),
           layout(8, 2, 4, 3), "h100-ib", 8192, 252, 17.3},
          {"Llama 3.1 8B, 64 H100", llama(32, 4096, 14336, 32), layout(1, 2, 32, 1), "h100-ib",
           8192, 1024, 13.0},
          {"Nemotron-4 15B, 32 H100", nemotron_15b(), with_micro_batch(layout(4, 1, 8, 1), 4),
           "h100-ib", 4096, 128, 2.824},
          {"DeepSeek-V3, 256 GB200", model_config("deepseek-v3"),
           with_experts(layout(1, 1, 64, 4), 64), "b200-nvl72", 4096, 4096, 20.88},
          {"Qwen3 235B-A22B, 256 GB200", model_config("qwen3-235b-a22b"),
           with_experts(layout(1, 1, 32, 8), 32), "b200-nvl72", 4096, 8192, 26.66}};
}

TEST(Published, StepTimesLieInTheLikelyRange) {
  for (const Measurement& m : measurements()) {
    spec::RunSpec spec;
    spec.model = m.model;
    spec.layout = m.layout;
    const auto cluster = spec::cluster_preset(m.cluster);
    ASSERT_TRUE(cluster) << cluster.error().message;
    spec.cluster = cluster->cluster;
    spec.training.precision = spec::Precision::bf16;
    spec.training.seq_length = m.seq_length;
    spec.training.global_batch_size = m.global_batch_size;
    const std::int64_t per_node = spec.cluster.devices_per_node;
    spec.cluster.num_nodes = static_cast<int>((m.layout.world_size() + per_node - 1) / per_node);
    const auto e = estimate(spec);
    ASSERT_TRUE(e) << m.what << ": " << e.error().message;
    EXPECT_NEAR(e->step_s / m.step_s, 1, 0.3)
        << m.what << ": " << e->step_s << " s against " << m.step_s;
    EXPECT_LE(e->low_s, m.step_s) << m.what;
    EXPECT_GE(e->high_s, m.step_s) << m.what;
    RecordProperty(m.what, std::to_string(e->step_s / m.step_s));
  }
}

}  // namespace
}  // namespace tera::plan
