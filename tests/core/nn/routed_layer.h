// A MoE layer in f64 with an input, ready for forward.
#pragma once
#include <string>
#include <vector>

#include "core/nn/moe_layer.h"
#include "tests/core/nn/tiny_model.h"

namespace tera::nn::test {

struct RoutedLayer {
  static constexpr int kTokens = 9;  // per sequence

  explicit RoutedLayer(const spec::ModelConfig& config, int num_sequences = 1)
      : tiny(config),
        layer(tiny.params, config, 1, "layers.1.ffn.norm_out"),
        batch(random_batch(*tiny.backend, num_sequences, kTokens, config.vocab_size, 71)),
        x(Tensor::empty(*tiny.backend,
                        {num_sequences * kTokens, config.hidden_size},
                        DType::f64,
                        MemoryKind::workspace)),
        stash(*tiny.backend),
        stats(2),
        pass{.batch = batch, .stash = stash, .batch_share = 0.25, .router_stats = &stats} {
    const Philox random(72, RngPurpose::test);
    for (std::int64_t i = 0; i < x.num_elements(); ++i)
      x.data<double>()[i] = random.normal2(0, static_cast<std::uint64_t>(i))[0];
  }

  const Tensor& kept(const char* name) { return stash.get(std::string("layers.1.moe.") + name); }

  TinyModel tiny;
  MoeLayer layer;
  Batch batch;
  Tensor x;
  Stash stash;
  std::vector<RouterStats> stats;
  Pass pass;
};

}  // namespace tera::nn::test
