#include "core/nn/multi_token_prediction.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/core/nn/tiny_model.h"

namespace tera::nn::test {
namespace {

std::vector<std::int32_t> values(const Tensor& ids) {
  return {ids.data<std::int32_t>(), ids.data<std::int32_t>() + ids.num_elements()};
}

void assign(const Tensor& ids, const std::vector<std::int32_t>& from) {
  std::copy(from.begin(), from.end(), ids.data<std::int32_t>());
}

spec::ModelConfig mtp_config(int layers) {
  spec::ModelConfig config = llama_config();
  config.num_mtp_layers = layers;
  return config;
}

PredictionStats stats_of(TinyModel& tiny, const Batch& batch) {
  Stash stash(*tiny.backend);
  PredictionStats stats;
  Pass pass{.batch = batch, .stash = stash, .prediction_stats = &stats};
  tiny.model.forward(pass, false);
  EXPECT_TRUE(stash.entries().empty());
  return stats;
}

TEST(TokensAhead, StayInsideTheSequenceAndTheDocument) {
  TinyModel tiny(llama_config());
  const Batch batch = random_batch(*tiny.backend, 2, 5, 17, 1);
  assign(batch.tokens, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  assign(batch.targets, {2, 3, -1, 5, 11, 7, 8, 9, 10, -1});
  assign(batch.first_key, {0, 0, 0, 3, 3, 0, 0, 0, 0, 0});
  const TokensAhead one = tokens_ahead(batch, 1);
  EXPECT_EQ(values(one.tokens), (std::vector<std::int32_t>{2, 3, 3, 5, 5, 7, 8, 9, 10, 10}));
  EXPECT_EQ(values(one.targets), (std::vector<std::int32_t>{3, -1, -1, 11, -1, 8, 9, 10, -1, -1}));
  const TokensAhead three = tokens_ahead(batch, 3);
  EXPECT_EQ(values(three.tokens), (std::vector<std::int32_t>{1, 2, 3, 4, 5, 9, 10, 8, 9, 10}));
  EXPECT_EQ(values(three.targets),
            (std::vector<std::int32_t>{-1, -1, -1, -1, -1, 10, -1, -1, -1, -1}));
}

// Of 8 tokens in one document 7 have a token one place on, 6 two places on.
TEST(MultiTokenPrediction, CountsTheTargetsOfItsLayers) {
  TinyModel tiny(mtp_config(2));
  tiny.backend->ops().zero(tiny.backend->context(), tiny.params.get("head.weight").value);
  const Batch batch = random_batch(*tiny.backend, 1, 8, tiny.config.vocab_size, 47);
  assign(batch.targets, {1, 2, 3, 4, 5, 6, 7, 8});
  assign(batch.first_key, std::vector<std::int32_t>(8, 0));
  const PredictionStats stats = stats_of(tiny, batch);
  EXPECT_EQ(stats.num_targets, 13);
  EXPECT_NEAR(stats.loss_sum, 13 * std::log(tiny.config.vocab_size), 1e-12 * stats.loss_sum);
}

// Two documents of four tokens: another first one changes its own predictions alone.
TEST(MultiTokenPrediction, DocumentsDoNotSeeEachOther) {
  TinyModel tiny(mtp_config(2));
  const auto loss = [&](std::int32_t first_word, bool of_second) {
    const Batch batch = random_batch(*tiny.backend, 1, 8, tiny.config.vocab_size, 47);
    for (std::int32_t t = 0; t < 8; ++t) {
      if (t < 4) batch.tokens.data<std::int32_t>()[t] = first_word + t;
      batch.targets.data<std::int32_t>()[t] = (t >= 4) == of_second ? t : -1;
      batch.positions.data<std::int32_t>()[t] = t % 4;
      batch.first_key.data<std::int32_t>()[t] = t < 4 ? 0 : 4;
    }
    return stats_of(tiny, batch).loss_sum;
  };
  EXPECT_EQ(loss(1, true), loss(9, true));
  EXPECT_NE(loss(1, false), loss(9, false));
}

// The model itself is that without these layers: they are for training alone.
TEST(MultiTokenPrediction, LeavesTheModelsOwnLossAlone) {
  TinyModel with(mtp_config(2));
  TinyModel without(mtp_config(0));
  const Batch batch = random_batch(*with.backend, 2, 7, with.config.vocab_size, 3);
  const auto own_loss = [&batch](TinyModel& tiny) {
    Stash stash(*tiny.backend);
    Pass pass{.batch = batch, .stash = stash};
    return tiny.model.forward(pass, false);
  };
  EXPECT_EQ(own_loss(with), own_loss(without));
  EXPECT_GT(with.params.params().size(), without.params.params().size());
}

}  // namespace
}  // namespace tera::nn::test
