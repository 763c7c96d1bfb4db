// Small models trained over the stages of a pipeline whose ranks are threads, and what came out.
#pragma once
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/thread_pool.h"
#include "core/spec/validate.h"
#include "core/tensor/cpu_backend.h"
#include "core/train/synthetic.h"
#include "tests/core/plan/schedules.h"
#include "tests/support/distance.h"
#include "tests/support/spawn_ranks.h"

namespace tera::train::test {

struct PipelineOutcome {
  std::vector<double> losses;                               // [step]
  std::map<std::string, std::vector<std::byte>> weights;    // of all stages
  std::vector<std::vector<plan::PlayedAction>> actions;     // [stage] of the last step
  std::vector<std::map<MemoryKind, MemoryCounter>> memory;  // [stage]
  int copies = 0;  // weights that two stages have, of equal bits
};

// Five layers: uneven on two stages, four and their chunks.
inline spec::RunSpec pipeline_spec() {
  spec::RunSpec spec;
  spec.name = "pipeline";
  spec.model.num_layers = 5;
  spec.model.hidden_size = 24;
  spec.model.num_attention_heads = 2;
  spec.model.num_key_value_heads = 1;
  spec.model.head_dim = 12;
  spec.model.ffn_hidden_size = 40;
  spec.model.vocab_size = 37;
  spec.model.max_position_embeddings = 16;
  spec.training.seq_length = 9;
  spec.training.global_batch_size = 8;
  spec.training.num_steps = 20;
  spec.training.warmup_steps = 2;
  spec.training.learning_rate = 1e-2;
  spec.layout.micro_batch_size = 1;
  spec.data.datasets.emplace_back().path = "unused";
  return spec;
}

inline void add_experts(spec::RunSpec& spec) {
  spec.model.num_experts = 4;
  spec.model.router_top_k = 2;
  spec.model.moe_ffn_hidden_size = 16;
  spec.model.num_shared_experts = 1;
  spec.model.num_dense_layers = 1;
  spec.model.router_renormalize = true;
  spec.model.aux_loss_coeff = 0.01;
  spec.model.z_loss_coeff = 0.001;
}

// The spec over `stages` stages.
inline spec::RunSpec over_stages(spec::RunSpec spec, spec::ScheduleKind kind, int stages) {
  spec.layout.pipeline_parallel_size = stages;
  spec.layout.schedule = kind;
  spec.layout.virtual_stages = plan::default_chunks(kind);
  if (stages * spec.layout.virtual_stages > spec.model.num_layers)
    spec.model.num_layers = stages * spec.layout.virtual_stages + 1;
  return spec;
}

// The same model and batch on one rank.
inline spec::RunSpec on_one_rank(spec::RunSpec spec) {
  spec.layout.pipeline_parallel_size = 1;
  spec.layout.virtual_stages = 1;
  spec.layout.schedule = spec::ScheduleKind::one_f_one_b;
  return spec;
}

inline PipelineOutcome train_stages(const spec::RunSpec& spec, int num_steps) {
  for (const Diagnostic& found : spec::validate(spec))
    EXPECT_NE(found.severity, Severity::error) << found.field << ": " << found.message;
  const auto stages = static_cast<std::size_t>(spec.layout.pipeline_parallel_size);
  PipelineOutcome outcome;
  outcome.actions.resize(stages);
  outcome.memory.resize(stages);
  std::mutex mutex;
  tera::test::spawn_ranks(static_cast<int>(stages), [&](comm::Communicator& world) {
    ThreadPool pool(1);
    const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
    SyntheticTrainer trainer(spec, *backend, &world);
    std::vector<double> losses;
    for (int step = 0; step < num_steps; ++step)
      losses.push_back(trainer.step());
    const std::scoped_lock lock(mutex);
    if (world.rank() == 0) outcome.losses = losses;
    EXPECT_EQ(losses.size(), static_cast<std::size_t>(num_steps));
    const auto stage = static_cast<std::size_t>(world.rank());
    outcome.actions[stage] = trainer.last_result().actions;
    for (const MemoryKind kind : {MemoryKind::weights, MemoryKind::gradients, MemoryKind::optimizer,
                                  MemoryKind::activations})
      outcome.memory[stage][kind] = backend->counter(kind);
    for (const nn::Param& param : trainer.params().params()) {
      const auto* bytes = param.value.data<const std::byte>();
      std::vector<std::byte> value(bytes, bytes + param.value.num_bytes());
      const auto [at, is_new] = outcome.weights.emplace(param.spec.name, value);
      if (is_new) continue;
      ++outcome.copies;
      EXPECT_EQ(at->second, value) << "copies of " << param.spec.name;
    }
  });
  return outcome;
}

inline void expect_runs_the_schedule(const spec::RunSpec& spec, const PipelineOutcome& outcome) {
  const plan::PipelineSchedule schedule = plan::make_schedule(spec);
  for (std::size_t stage = 0; stage < schedule.stages.size(); ++stage) {
    std::vector<plan::PipelineAction> ran;
    double before = 0;
    for (const plan::PlayedAction& played : outcome.actions[stage]) {
      ran.push_back(played.action);
      EXPECT_LE(before, played.start_s);
      EXPECT_LE(played.start_s, played.end_s);
      before = played.end_s;
    }
    EXPECT_EQ(ran, plan::actions_of(schedule.stages[stage])) << "stage " << stage;
  }
}

inline void expect_equal_bits(const PipelineOutcome& got, const PipelineOutcome& expected) {
  EXPECT_EQ(got.losses, expected.losses);
  ASSERT_EQ(got.weights.size(), expected.weights.size());
  for (const auto& [name, value] : expected.weights)
    EXPECT_EQ(got.weights.at(name), value) << name;
}

inline std::string name_of(const spec::RunSpec& spec) {
  return plan::name_of(spec.layout.schedule, plan::pipeline_shape(spec));
}

// Two orders of adding up n terms differ by at most 2 n 2^-24 of the sum of their sizes (Higham
// 2002, Accuracy and Stability of Numerical Algorithms, section 4.2); n is micro-batches x readers
// of the matrix. With plain descent a step moves a weight by rate x gradient, less than itself.
inline double order_of_sums(const spec::RunSpec& spec, int steps) {
  const double terms =
      static_cast<double>(spec.num_micro_batches()) * (2 + spec.model.num_mtp_layers);
  return 2 * terms * 0x1p-24 * steps;
}

inline void expect_close(const PipelineOutcome& got,
                         const PipelineOutcome& expected,
                         double tolerance) {
  const auto values = [](const std::vector<std::byte>& bytes) {
    std::vector<float> floats(bytes.size() / sizeof(float));
    std::memcpy(floats.data(), bytes.data(), bytes.size());
    return std::vector<double>(floats.begin(), floats.end());
  };
  for (std::size_t step = 0; step < expected.losses.size(); ++step)
    EXPECT_NEAR(got.losses[step], expected.losses[step], tolerance * expected.losses[step]);
  ASSERT_EQ(got.weights.size(), expected.weights.size());
  for (const auto& [name, value] : expected.weights) {
    EXPECT_LT(tera::test::relative_distance(values(got.weights.at(name)), values(value)), tolerance)
        << name;
  }
}

}  // namespace tera::train::test
