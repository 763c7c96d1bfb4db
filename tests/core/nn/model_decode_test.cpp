// Decoding with a cache: one by one, several at once, and beside the forward that the loss is of.
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "core/nn/model.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/distance.h"

namespace tera::nn::test {
namespace {

class ModelDecoding : public testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(All,
                         ModelDecoding,
                         testing::ValuesIn(all_configs()),
                         testing::PrintToStringParamName());

// The same sums in other orders: the rounding of f32, see kF32Tolerance of model_test.cpp.
TEST_P(ModelDecoding, StepByStepGivesTheLogitsOfOneForward) {
  TinyModel tiny(GetParam().config, DType::f32);
  const std::vector<std::int32_t> tokens = {3, 14, 0, 7, 16, 7, 2, 9};
  KvCache whole_cache = tiny.model.make_cache(8);
  const Tensor whole = tiny.model.decode(tokens, whole_cache);  // [8, V]
  ASSERT_EQ(whole.shape(), (std::vector<std::int64_t>{8, tiny.config.vocab_size}));
  EXPECT_EQ(whole_cache.length(), 8);

  KvCache cache = tiny.model.make_cache(8);
  const std::vector<int> pieces = {3, 1, 1, 2, 1};
  int row = 0;
  for (const int piece : pieces) {
    const Tensor logits = tiny.model.decode(
        std::span(tokens).subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(piece)),
        cache);
    EXPECT_LT(tera::test::relative_distance(values_of(logits),
                                            values_of(whole.slice(0, row, row + piece))),
              1e-5)
        << row;
    row += piece;
  }
}

// Sequences of different lengths that go on together have the logits, to the bit, that each has
// alone; also when one takes the place of another in the cache.
TEST_P(ModelDecoding, OfABatchGivesTheBitsOfEachSequenceAlone) {
  const std::vector<std::vector<std::int32_t>> texts = {
      {3, 14, 0, 7, 16, 7, 2, 9, 1}, {5, 5}, {11, 2, 8, 13, 4, 6}};
  const std::vector<std::vector<std::int32_t>> more = {{4, 12}, {9, 3}, {15, 10}};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    TinyModel tiny(GetParam().config, dtype, CpuOps::fast, 2);
    std::vector<Tensor> alone;  // [3, V]: after the text, and after each token more
    for (std::size_t s = 0; s < texts.size(); ++s) {
      KvCache cache = tiny.model.make_cache(12);
      const Tensor rows = Tensor::empty(*tiny.backend, {3, tiny.config.vocab_size}, DType::f32,
                                        MemoryKind::workspace);
      const auto put = [&](std::int64_t row, const Tensor& logits) {
        tiny.backend->ops().copy(tiny.backend->context(), logits, rows.slice(0, row, row + 1));
      };
      put(0, tiny.model.decode(texts[s], cache, {.last_only = true}));
      for (std::size_t i = 0; i < 2; ++i)
        put(static_cast<std::int64_t>(i) + 1, tiny.model.decode({&more[s][i], 1}, cache));
      alone.push_back(rows);
    }
    const auto expect_row = [&](const Tensor& logits, std::int64_t row, std::size_t s,
                                std::int64_t step) {
      const std::int64_t v = tiny.config.vocab_size;
      EXPECT_EQ(std::memcmp(logits.data<float>() + row * v, alone[s].data<float>() + step * v,
                            static_cast<std::size_t>(v) * sizeof(float)),
                0)
          << "sequence " << s << ", step " << step << ", " << dtype_name(dtype);
    };
    KvCache cache = tiny.model.make_cache(12, {0, 7, 3});
    for (int s = 0; s < 3; ++s) {
      const Tensor logits = tiny.model.decode(texts[static_cast<std::size_t>(s)], cache,
                                              {.sequences = {s, 1}, .last_only = true});
      expect_row(logits, 0, static_cast<std::size_t>(s), 0);
    }
    const std::vector<std::int32_t> first = {more[0][0], more[1][0], more[2][0]};
    const Tensor both = tiny.model.decode(first, cache, {.sequences = {0, 3}});
    for (int s = 0; s < 3; ++s)
      expect_row(both, s, static_cast<std::size_t>(s), 1);
    cache.copy(2, 0);  // the first is done, the last takes its place
    const std::vector<std::int32_t> second = {more[2][1], more[1][1]};
    const Tensor rest = tiny.model.decode(second, cache, {.sequences = {0, 2}});
    expect_row(rest, 0, 2, 2);
    expect_row(rest, 1, 1, 2);
    EXPECT_EQ(cache.length(0), 8);
    EXPECT_EQ(cache.length(1), 4);
    EXPECT_EQ(cache.length(2), 7) << "left behind";
  }
}

TEST(ModelDecode, ReportsTheExpertsOfEachToken) {
  TinyModel tiny(sigmoid_moe_config(), DType::f32);
  KvCache cache = tiny.model.make_cache(4);
  std::vector<ExpertChoices> choices;
  const std::vector<std::int32_t> tokens = {3, 14, 1};
  tiny.model.decode(tokens, cache, {.choices = &choices});
  ASSERT_EQ(choices.size(), 2U);
  EXPECT_TRUE(choices[0].experts.empty()) << "a dense layer";
  ASSERT_EQ(choices[1].experts.size(), 6U);
  ASSERT_EQ(choices[1].gates.size(), 6U);
  for (std::size_t t = 0; t < 3; ++t) {
    const float sum = choices[1].gates[2 * t] + choices[1].gates[2 * t + 1];
    EXPECT_NEAR(sum, 1.7F, 1e-6F) << "renormalised, then times routed_scaling_factor";
    EXPECT_NE(choices[1].experts[2 * t], choices[1].experts[2 * t + 1]);
  }
}

// The logits of decode are those the loss is made of: loss = logsumexp - logit of the target.
TEST_P(ModelDecoding, AgreesWithTheLossOfForward) {
  TinyModel tiny(GetParam().config, DType::f32);
  Batch batch = random_batch(*tiny.backend, 1, 8, tiny.config.vocab_size, 33);
  for (std::int32_t t = 0; t < 8; ++t) {  // one document
    batch.positions.data<std::int32_t>()[t] = t;
    batch.first_key.data<std::int32_t>()[t] = 0;
  }
  KvCache cache = tiny.model.make_cache(8);
  const Tensor logits = tiny.model.decode({batch.tokens.data<std::int32_t>(), 8}, cache);
  double expected = 0;
  for (std::int64_t t = 0; t < 8; ++t) {
    const std::int32_t target = batch.targets.data<std::int32_t>()[t];
    if (target < 0) continue;
    double sum = 0;
    for (std::int64_t v = 0; v < logits.dim(1); ++v)
      sum += std::exp(value_at(logits, t * logits.dim(1) + v));
    expected += std::log(sum) - value_at(logits, t * logits.dim(1) + target);
  }
  Stash stash(*tiny.backend);
  Pass pass{.batch = batch, .stash = stash};
  EXPECT_NEAR(tiny.model.forward(pass, false), expected, 1e-5 * expected);
  EXPECT_TRUE(stash.entries().empty());
  EXPECT_EQ(tiny.backend->counter(MemoryKind::activations).live_bytes, 0);
}

}  // namespace
}  // namespace tera::nn::test
