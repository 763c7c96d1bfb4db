// The gradient check of a module alone: its loss is <c, y> for a random c, plus the auxiliary
// losses it records.
#pragma once
#include <gtest/gtest.h>

#include "core/nn/module.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/gradcheck.h"

namespace tera::nn::test {

inline constexpr int kBatch = 2;
inline constexpr int kLength = 6;

inline Tensor random_tensor(Backend& backend,
                            std::int64_t rows,
                            std::int64_t cols,
                            std::uint64_t seed) {
  Tensor t = Tensor::empty(backend, {rows, cols}, DType::f64, MemoryKind::workspace);
  const Philox random(seed, RngPurpose::test);
  for (std::int64_t i = 0; i < t.num_elements(); ++i)
    t.data<double>()[i] = random.normal2(0, static_cast<std::uint64_t>(i))[0];
  return t;
}

inline std::span<double> elements(const Tensor& t) {
  return {t.data<double>(), static_cast<std::size_t>(t.num_elements())};
}

// Checks a module that reads its input in backward_weight from the stash entry `input` (nullptr:
// it keeps its own), and the gradients of all parameters whose name starts with `prefix`.
inline void check_module(TinyModel& tiny,
                         Module& module,
                         const char* input,
                         const std::string& prefix,
                         std::size_t num_single = 12) {
  Backend& backend = *tiny.backend;
  const std::int64_t tokens = kBatch * kLength;
  const Batch batch = random_batch(backend, kBatch, kLength, tiny.config.vocab_size, 51);
  const Tensor x = random_tensor(backend, tokens, tiny.config.hidden_size, 52);
  const Tensor c = random_tensor(backend, tokens, tiny.config.hidden_size, 53);
  Stash stash(backend);
  std::vector<RouterStats> stats;
  Pass pass{.batch = batch,
            .stash = stash,
            .batch_share = 0.7,
            .router_stats = &stats,
            .training = tiny.place};
  const auto loss = [&] {
    stats.assign(static_cast<std::size_t>(tiny.config.num_all_layers()), {});
    stash.clear();
    const Tensor y = module.forward(x, pass);
    double sum = TinyModel::auxiliary(stats);
    for (std::int64_t i = 0; i < y.num_elements(); ++i)
      sum += c.data<double>()[i] * y.data<double>()[i];
    return sum;
  };
  loss();
  if (input != nullptr) stash.keep(input, x);
  tiny.params.zero_grads();
  const Tensor dx = module.backward_input(c, pass);
  module.backward_weight(pass);
  if (input != nullptr) stash.release(input);
  tiny.params.settle_grads();
  EXPECT_TRUE(stash.entries().empty()) << stash.entries().begin()->first << " was not released";

  tera::test::expect_gradient("input", elements(x), elements(dx), loss, 2 * num_single);
  int checked = 0;
  for (const Param& param : tiny.params.params()) {
    if (param.spec.name.rfind(prefix, 0) != 0 || !param.spec.trainable) continue;
    tera::test::expect_gradient(param.spec.name, elements(param.value), elements(param.grad), loss,
                                num_single);
    ++checked;
  }
  EXPECT_GT(checked, 0) << "no parameter starts with " << prefix;
}

}  // namespace tera::nn::test
