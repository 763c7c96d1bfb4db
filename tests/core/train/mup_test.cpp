// The coordinate check of maximal update parametrization (Yang et al. 2022, section 4 and appendix
// D): how far a few Adam steps move the logits must not depend on the width.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "core/nn/model.h"
#include "core/train/lr_schedule.h"
#include "core/train/optimizer.h"
#include "core/train/stage_executor.h"
#include "tests/core/nn/tiny_model.h"

namespace tera::train {
namespace {

constexpr int kLength = 16;
constexpr int kVocab = 64;

spec::RunSpec spec_of_width(int width, bool mup) {
  spec::RunSpec spec;
  spec::ModelConfig& m = spec.model;
  m.num_layers = 2;
  m.hidden_size = width;
  m.head_dim = 16;
  m.num_attention_heads = m.num_key_value_heads = width / 16;
  m.vocab_size = kVocab;
  m.max_position_embeddings = kLength;
  m.num_experts = 4;
  m.router_top_k = 2;
  m.moe_ffn_hidden_size = width;
  m.init_std = 0.1;
  if (mup) m.mup_base_hidden_size = 64;
  return spec;
}

data::HostBatch random_batch() {
  const Philox random(11, RngPurpose::test);
  data::HostBatch batch;
  batch.batch_size = 4;
  batch.seq_length = kLength;
  for (std::uint64_t i = 0; i < 4 * kLength; ++i) {
    batch.tokens.push_back(static_cast<std::int32_t>(random.words(0, i)[0] % kVocab));
    batch.targets.push_back(static_cast<std::int32_t>(random.words(1, i)[0] % kVocab));
    batch.positions.push_back(static_cast<std::int32_t>(i % kLength));
    batch.first_key.push_back(0);
  }
  batch.num_targets = 4 * kLength;
  return batch;
}

// Root mean square of what `steps` Adam steps on one batch add to the logits of a prompt.
double movement(int width, bool mup, int steps) {
  ThreadPool pool(2);
  const auto backend = make_cpu_backend(pool);
  const spec::RunSpec spec = spec_of_width(width, mup);
  nn::ParamStore params(*backend, plan::make_param_table(spec.model), {});
  nn::init_params(params, spec.model, 5);
  nn::Model model(spec.model, params);
  Optimizer optimizer(params, spec);
  const auto self = comm::make_self_communicator();
  StageExecutor executor(spec, params, *self);
  const plan::PipelineSchedule schedule = plan::make_schedule(spec.layout.schedule, {});
  const data::HostBatch batch = random_batch();
  const auto logits = [&] {
    nn::KvCache cache = model.make_cache(kLength);
    const Tensor out = model.decode({batch.tokens.data(), kLength}, cache);
    return std::vector<float>(out.data<float>(), out.data<float>() + out.num_elements());
  };
  const std::vector<float> before = logits();
  for (int step = 0; step < steps; ++step) {
    params.zero_grads();
    executor.run(schedule, {batch},
                 {.global_targets = batch.num_targets, .global_micro_batches = 1});
    params.settle_grads();
    optimizer.step(0.01, 1);
  }
  const std::vector<float> after = logits();
  double squares = 0;
  for (std::size_t i = 0; i < after.size(); ++i)
    squares += std::pow(static_cast<double>(after[i]) - static_cast<double>(before[i]), 2);
  return std::sqrt(squares / static_cast<double>(after.size()));
}

TEST(CoordinateCheck, StepsMoveTheLogitsAlikeAtEveryWidth) {
  const double base = movement(64, true, 3);
  for (const int width : {128, 256}) {
    const double ratio = movement(width, true, 3) / base;
    EXPECT_GT(ratio, 0.6) << width;
    EXPECT_LT(ratio, 1.6) << width;
  }
}

TEST(CoordinateCheck, WithoutItTheyGrowWithTheWidth) {
  const double base = movement(64, false, 3);
  EXPECT_GT(movement(256, false, 3) / base, 2);
}

}  // namespace
}  // namespace tera::train
