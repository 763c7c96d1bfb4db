// The cache of latent attention. That decoding through it gives the logits of the uncached forward
// is in model_decode_test.cpp, for every latent model of all_configs().
#include "core/nn/latent_attention.h"

#include <gtest/gtest.h>

#include "tests/core/nn/tiny_model.h"
#include "tests/support/distance.h"

namespace tera::nn::test {
namespace {

// DeepSeek-V2, 2024, table 1: rkv + dr elements per token and layer, whatever the heads.
TEST(LatentCache, HoldsOneLatentVectorAndOneKeyPerToken) {
  const spec::ModelConfig config = latent_config();
  TinyModel tiny(config, DType::bf16);
  const std::int64_t before = tiny.backend->counter(MemoryKind::workspace).live_bytes;
  const KvCache cache = tiny.model.make_cache(64);  // of 14 bytes a multiple of any alignment
  const std::int64_t elements =
      std::int64_t{64} * (config.kv_lora_rank + config.qk_rope_head_dim) * config.num_layers;
  EXPECT_EQ(tiny.backend->counter(MemoryKind::workspace).live_bytes - before, 2 * elements);
  const LayerCache layer = cache.layer(0, {});
  EXPECT_EQ(layer.values.view().data, layer.keys.view().data);
  EXPECT_EQ(layer.values.shape(), (std::vector<std::int64_t>{1, 64, 1, config.kv_lora_rank}));
}

// Tokens after cached ones are compared with latents, the first ones with keys of their own: the
// same scores by another order of products. Rounding of f32, 6e-8, times sums of up to
// rkv + dr = 15 terms, over 2 layers: 1e-5 of the largest logit is generous by 10.
TEST(LatentCache, AbsorbedScoresAreThoseOfKeysAndValues) {
  for (const spec::ModelConfig& config : {latent_config(), latent_moe_config()}) {
    TinyModel tiny(config, DType::f32, CpuOps::fast);
    const std::vector<std::int32_t> tokens = {5, 1, 16, 3, 3, 0, 9, 12};
    KvCache at_once = tiny.model.make_cache(8);
    const Tensor expected = tiny.model.decode(tokens, at_once, {.last_only = true});
    for (const std::size_t first : {1U, 3U, 7U}) {  // then 7 and 5 in tiles, 1 row by row
      KvCache cache = tiny.model.make_cache(8);
      tiny.model.decode(std::span(tokens).first(first), cache, {.last_only = true});
      const Tensor logits =
          tiny.model.decode(std::span(tokens).subspan(first), cache, {.last_only = true});
      EXPECT_LT(tera::test::relative_distance(values_of(logits), values_of(expected)), 1e-5)
          << first;
    }
  }
}

}  // namespace
}  // namespace tera::nn::test
