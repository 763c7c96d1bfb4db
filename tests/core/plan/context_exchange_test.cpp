#include "core/plan/context_exchange.h"

#include <gtest/gtest.h>

namespace tera::plan {
namespace {

// 16 tokens on each of 4 context ranks; 8 query heads and 2 key-value heads on each of 2 tensor
// ranks.
spec::RunSpec small_spec() {
  spec::RunSpec spec;
  spec.model.num_attention_heads = 16;
  spec.model.num_key_value_heads = 4;
  spec.model.head_dim = 10;
  spec.training.seq_length = 32;
  spec.training.precision = spec::Precision::bf16;
  spec.layout.micro_batch_size = 2;
  spec.layout.context_parallel_size = 4;
  spec.layout.tensor_parallel_size = 2;
  return spec;
}

TEST(ContextExchange, OfGroupedHeads) {
  spec::RunSpec spec = small_spec();
  ContextExchange elements = context_exchange(spec);
  EXPECT_EQ(elements.queries, 16 * 8 * 10);
  EXPECT_EQ(elements.keys, 16 * 2 * 10);
  EXPECT_EQ(elements.values, 16 * 2 * 10);
  EXPECT_EQ(elements.outputs, 16 * 8 * 10);
  spec.layout.context_parallel_method = spec::ContextMethod::ulysses;
  elements = context_exchange(spec);
  EXPECT_EQ(elements.queries, 16 * 8 * 10);
  EXPECT_EQ(elements.keys, 16 * 4 * 10) << "each head goes to two of the ranks";
  EXPECT_EQ(elements.inputs(), 16 * (8 + 4 + 4) * 10);
}

TEST(ContextExchange, OfLatentAttentionIsOfAllHeads) {
  spec::RunSpec spec = small_spec();
  spec.model.attention = spec::AttentionKind::latent;
  spec.model.kv_lora_rank = 7;
  spec.model.qk_nope_head_dim = 9;
  spec.model.qk_rope_head_dim = 4;
  spec.model.v_head_dim = 5;
  const ContextExchange elements = context_exchange(spec);
  EXPECT_EQ(elements.queries, 16 * 8 * 13);
  EXPECT_EQ(elements.keys, 16 * 8 * 13);
  EXPECT_EQ(elements.values, 16 * 8 * 5);
  EXPECT_EQ(elements.outputs, 16 * 8 * 5);
}

TEST(ContextExchange, TakesMemoryOnlyBetweenRanks) {
  spec::RunSpec spec = small_spec();
  EXPECT_EQ(context_passing_bytes(spec), 2 * 640 * (2 + 4) + 1280 * 4);
  spec.layout.context_parallel_size = 1;
  EXPECT_EQ(context_passing_bytes(spec), 0);
}

}  // namespace
}  // namespace tera::plan
