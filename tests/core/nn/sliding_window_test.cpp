#include "core/nn/sliding_window.h"

#include <gtest/gtest.h>

#include "tests/core/nn/tiny_model.h"

namespace tera::nn::test {
namespace {

std::vector<std::int32_t> values(const Tensor& keys) {
  return {keys.data<std::int32_t>(), keys.data<std::int32_t>() + keys.num_elements()};
}

TEST(FirstKeys, StayInsideTheDocumentAndTheWindow) {
  TinyModel tiny(llama_config());
  Batch batch = random_batch(*tiny.backend, 2, 4, 17, 1);
  const std::vector<std::int32_t> documents = {0, 0, 2, 2, 0, 0, 0, 0};
  std::copy(documents.begin(), documents.end(), batch.first_key.data<std::int32_t>());
  EXPECT_EQ(values(first_keys(batch, 0)), documents);
  EXPECT_EQ(values(first_keys(batch, 1)), (std::vector<std::int32_t>{0, 1, 2, 3, 0, 1, 2, 3}));
  EXPECT_EQ(values(first_keys(batch, 3)), (std::vector<std::int32_t>{0, 0, 2, 2, 0, 0, 0, 1}));
  EXPECT_EQ(values(first_keys(batch, 9)), documents);
  EXPECT_EQ(values(first_keys(batch, 3, 10)),
            (std::vector<std::int32_t>{8, 9, 10, 11, 8, 9, 10, 11}));
}

// One layer of a window of 3: the loss of token 7 depends on tokens 5 to 7 alone.
TEST(SlidingWindow, HidesWhatLiesFurtherBack) {
  spec::ModelConfig config = mistral_config();
  config.num_layers = 1;
  TinyModel tiny(config);
  const auto loss_of_last = [&](int changed) {
    Batch batch = random_batch(*tiny.backend, 1, 8, config.vocab_size, 47);
    for (std::int32_t t = 0; t < 8; ++t) {
      batch.tokens.data<std::int32_t>()[t] = t == changed ? 11 : 3;
      batch.targets.data<std::int32_t>()[t] = t == 7 ? 5 : -1;
      batch.positions.data<std::int32_t>()[t] = t;
      batch.first_key.data<std::int32_t>()[t] = 0;
    }
    return tiny.evaluate(batch, 1);
  };
  for (int changed = 0; changed < 8; ++changed) {
    if (changed < 5) {
      EXPECT_EQ(loss_of_last(changed), loss_of_last(-1)) << changed;
    } else {
      EXPECT_NE(loss_of_last(changed), loss_of_last(-1)) << changed;
    }
  }
}

}  // namespace
}  // namespace tera::nn::test
