#include "core/nn/model.h"

#include <cmath>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/distance.h"

namespace tera::nn::test {
namespace {

class ModelOfKind : public testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(All,
                         ModelOfKind,
                         testing::ValuesIn(all_configs()),
                         testing::PrintToStringParamName());

double scale_of(const Batch& batch) {
  return 1.0 / static_cast<double>(num_targets(batch));
}

// Of two gradients of a parameter.
double gradient_distance(const Tensor& expected, const Tensor& got) {
  return tera::test::relative_distance(values_of(got), values_of(expected));
}

// Rounding of f32: eps 6e-8 times the length of the longest chain of roundings, about 20 products
// and sums per layer and direction with 2 layers, and sums of up to 35 terms: 1e-5 is generous by 3
// and catches any wrong term.
constexpr double kF32Tolerance = 1e-5;

TEST_P(ModelOfKind, F32IsCloseToF64) {
  TinyModel exact(GetParam().config, DType::f64);
  TinyModel rounded(GetParam().config, DType::f32);
  const Batch batch = random_batch(*exact.backend, 2, 9, exact.config.vocab_size, 21);
  const Batch same = random_batch(*rounded.backend, 2, 9, exact.config.vocab_size, 21);
  const double loss = exact.train(batch, scale_of(batch));
  EXPECT_NEAR(rounded.train(same, scale_of(batch)), loss, kF32Tolerance * loss);
  for (const Param& param : exact.params.params()) {
    if (!param.trained) continue;
    EXPECT_LT(gradient_distance(param.grad, rounded.params.get(param.spec.name).grad),
              kF32Tolerance)
        << param.spec.name;
  }
}

TEST_P(ModelOfKind, FastOpsGiveTheReferenceGradients) {
  TinyModel reference(GetParam().config, DType::f32, CpuOps::reference);
  TinyModel fast(GetParam().config, DType::f32, CpuOps::fast);
  const Batch a = random_batch(*reference.backend, 2, 9, reference.config.vocab_size, 23);
  const Batch b = random_batch(*fast.backend, 2, 9, reference.config.vocab_size, 23);
  const double loss = reference.train(a, scale_of(a));
  EXPECT_NEAR(fast.train(b, scale_of(a)), loss, kF32Tolerance * loss);
  for (const Param& param : reference.params.params()) {
    if (!param.trained) continue;
    EXPECT_LT(gradient_distance(param.grad, fast.params.get(param.spec.name).grad), kF32Tolerance)
        << param.spec.name;
  }
}

// Also on a second run of the same store: nothing may depend on what memory held before.
class ModelBits : public testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(All,
                         ModelBits,
                         testing::ValuesIn(all_and_training_configs()),
                         testing::PrintToStringParamName());

TEST_P(ModelBits, AreTheSameForEveryThreadCountAndRun) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    TinyModel one(GetParam().config, dtype, CpuOps::fast, 1);
    TinyModel two(GetParam().config, dtype, CpuOps::fast, 2);
    const Batch a = random_batch(*one.backend, 3, 11, one.config.vocab_size, 29);
    const Batch b = random_batch(*two.backend, 3, 11, one.config.vocab_size, 29);
    const double loss = one.train(a, scale_of(a));
    for (int run = 0; run < 2; ++run) {
      two.params.zero_grads();
      EXPECT_EQ(loss, two.train(b, scale_of(b)));
      for (const Param& param : one.params.params()) {
        if (!param.trained) continue;
        EXPECT_EQ(
            std::memcmp(param.grad.view().data, two.params.get(param.spec.name).grad.view().data,
                        static_cast<std::size_t>(param.grad.num_bytes())),
            0)
            << param.spec.name << " " << dtype_name(dtype) << ", run " << run;
      }
    }
  }
}

TEST_P(ModelOfKind, Bf16IsCloseToF32) {
  TinyModel exact(GetParam().config, DType::f32);
  TinyModel rounded(GetParam().config, DType::bf16);
  const Batch batch = random_batch(*exact.backend, 4, 9, exact.config.vocab_size, 31);
  const Batch same = random_batch(*rounded.backend, 4, 9, exact.config.vocab_size, 31);
  // bf16 has 8 bits: each of about 20 roundings on the way costs up to 0.4 %, mostly averaging out.
  const double loss = exact.evaluate(batch, scale_of(batch));
  EXPECT_NEAR(rounded.evaluate(same, scale_of(batch)), loss, 0.03 * loss);
}

TEST_P(ModelOfKind, MicroBatchesAddUpToTheWholeBatch) {
  spec::ModelConfig config = GetParam().config;
  config.aux_loss_coeff = 0;  // defined on the micro-batch
  config.z_loss_coeff = 0;
  TinyModel whole(config);
  TinyModel parts(config);
  const Batch batch = random_batch(*whole.backend, 4, 7, config.vocab_size, 37);
  const double scale = scale_of(batch);
  const double loss = whole.train(batch, scale);
  double sum = 0;
  for (const int first : {0, 3}) {  // parts of 3 and 1 sequences
    const int count = first == 0 ? 3 : 1;
    const Batch part{.batch_size = count,
                     .seq_length = 7,
                     .tokens = batch.tokens.slice(0, 7 * first, 7 * (first + count)),
                     .targets = batch.targets.slice(0, 7 * first, 7 * (first + count)),
                     .positions = batch.positions.slice(0, 7 * first, 7 * (first + count)),
                     .first_key = batch.first_key.slice(0, first, first + count)};
    sum += parts.train(part, scale);
  }
  EXPECT_NEAR(sum, loss, 1e-12 * loss);
  for (const Param& param : whole.params.params()) {
    if (!param.trained) continue;
    EXPECT_LT(gradient_distance(param.grad, parts.params.get(param.spec.name).grad), 1e-12)
        << param.spec.name;
  }
}

// What is computed again is what was there before: the same bits, the losses of routers counted
// once, and less kept.
TEST_P(ModelOfKind, RecomputeChangesNothing) {
  TinyModel kept(GetParam().config, DType::f32, CpuOps::fast);
  const Batch batch = random_batch(*kept.backend, 2, 7, kept.config.vocab_size, 47);
  const double loss = kept.train(batch, scale_of(batch));
  const auto peak = [](const TinyModel& model) {
    return model.backend->counter(MemoryKind::activations).peak_bytes;
  };
  std::int64_t least = peak(kept);
  for (const auto kind : {spec::RecomputeKind::selective, spec::RecomputeKind::full}) {
    TinyModel again(GetParam().config, DType::f32, CpuOps::fast);
    again.recompute = kind;
    EXPECT_EQ(again.train(batch, scale_of(batch)), loss);
    for (const Param& param : kept.params.params()) {
      if (!param.trained) continue;
      EXPECT_EQ(
          std::memcmp(param.grad.view().data, again.params.get(param.spec.name).grad.view().data,
                      static_cast<std::size_t>(param.grad.num_bytes())),
          0)
          << param.spec.name << ", recompute " << enum_name(kind);
    }
    EXPECT_LT(peak(again), least) << enum_name(kind);
    least = peak(again);
  }
}

TEST_P(ModelOfKind, ForwardsMayRunBeforeTheirBackwards) {
  TinyModel in_turn(GetParam().config);
  TinyModel ahead(GetParam().config);
  const Batch first = random_batch(*ahead.backend, 1, 7, ahead.config.vocab_size, 41);
  const Batch second = random_batch(*ahead.backend, 1, 7, ahead.config.vocab_size, 43);
  in_turn.train(first, 0.1);
  in_turn.train(second, 0.1);
  Stash first_stash(*ahead.backend);
  Stash second_stash(*ahead.backend);
  Pass first_pass{.batch = first, .stash = first_stash, .loss_scale = 0.1};
  Pass second_pass{.batch = second, .stash = second_stash, .loss_scale = 0.1};
  ahead.model.forward(first_pass, true);
  ahead.model.forward(second_pass, true);
  ahead.model.backward(first_pass);
  ahead.model.backward(second_pass);
  for (const Param& param : in_turn.params.params()) {
    if (!param.trained) continue;
    // With tied embeddings the head's part is added earlier: equal but for the order of a sum.
    EXPECT_LT(gradient_distance(param.grad, ahead.params.get(param.spec.name).grad), 1e-13)
        << param.spec.name;
  }
}

TEST_P(ModelOfKind, DocumentsDoNotSeeEachOther) {
  spec::ModelConfig config = GetParam().config;
  TinyModel tiny(config);
  // One sequence of two documents, then the same with another first document.
  const auto loss_of_second = [&](std::int32_t first_word) {
    Batch batch = random_batch(*tiny.backend, 1, 8, config.vocab_size, 47);
    for (std::int32_t t = 0; t < 8; ++t) {
      if (t < 4) batch.tokens.data<std::int32_t>()[t] = (first_word + t) % config.vocab_size;
      if (t < 4) batch.targets.data<std::int32_t>()[t] = -1;
      batch.positions.data<std::int32_t>()[t] = t % 4;
      batch.first_key.data<std::int32_t>()[t] = t < 4 ? 0 : 4;
    }
    Stash stash(*tiny.backend);
    Pass pass{.batch = batch, .stash = stash};
    return tiny.model.forward(pass, false);
  };
  EXPECT_EQ(loss_of_second(1), loss_of_second(9));
}

TEST(Model, LossOfUniformLogitsIsTheLogOfTheVocabulary) {
  spec::ModelConfig config = llama_config();
  TinyModel tiny(config);
  tiny.backend->ops().zero(tiny.backend->context(), tiny.params.get("head.weight").value);
  const Batch batch = random_batch(*tiny.backend, 2, 7, config.vocab_size, 1);
  EXPECT_NEAR(tiny.evaluate(batch, scale_of(batch)), std::log(config.vocab_size), 1e-12);
}

// Factors change the model as if they were in its weights.
TEST(Model, MultipliersAreFactorsOfEmbeddingAndHead) {
  spec::ModelConfig config = llama_config();
  TinyModel plain(config);
  config.embedding_multiplier = 3;
  config.logit_multiplier = 0.5;
  TinyModel scaled(config);
  const Batch batch = random_batch(*plain.backend, 2, 7, config.vocab_size, 1);
  const auto multiply = [&](const char* name, double factor) {
    const Tensor& value = plain.params.get(name).value;
    plain.backend->ops().scale(plain.backend->context(), value, factor, value);
  };
  const double different = plain.evaluate(batch, scale_of(batch));
  multiply("embedding.tokens", 3);
  multiply("head.weight", 0.5);
  const double loss = plain.evaluate(batch, scale_of(batch));
  EXPECT_NEAR(scaled.evaluate(batch, scale_of(batch)), loss, 1e-13);
  EXPECT_GT(std::abs(different - loss), 1e-3);
}

TEST(Model, ManyTokensAreCutIntoChunksOfTheHead) {
  spec::ModelConfig config = llama_config();
  config.max_position_embeddings = 512;
  TinyModel tiny(config);
  const Batch batch = random_batch(*tiny.backend, 2, 300, config.vocab_size, 2);  // 256 + 256 + 88
  tiny.backend->reset_peaks();
  const double scale = scale_of(batch);
  const double loss = tiny.train(batch, scale);
  double parts = 0;
  for (const int b : {0, 1}) {
    const Batch one{.batch_size = 1,
                    .seq_length = 300,
                    .tokens = batch.tokens.slice(0, 300 * b, 300 * (b + 1)),
                    .targets = batch.targets.slice(0, 300 * b, 300 * (b + 1)),
                    .positions = batch.positions.slice(0, 300 * b, 300 * (b + 1)),
                    .first_key = batch.first_key.slice(0, b, b + 1)};
    parts += tiny.evaluate(one, scale);
  }
  EXPECT_NEAR(parts, loss, 1e-12 * loss);
}

TEST(Model, EvaluationHoldsOneLayerAtATime) {
  const auto peak = [](int num_layers, bool with_backward) {
    spec::ModelConfig config = moe_config();
    config.num_layers = num_layers;
    TinyModel tiny(config);
    const Batch batch = random_batch(*tiny.backend, 2, 7, config.vocab_size, 3);
    Stash stash(*tiny.backend);
    Pass pass{.batch = batch, .stash = stash};
    tiny.model.forward(pass, with_backward);
    return tiny.backend->counter(MemoryKind::activations).peak_bytes;
  };
  EXPECT_EQ(peak(6, false), peak(2, false));
  EXPECT_GT(peak(6, true), 2 * peak(2, true));
}

TEST(Model, SaysWhatIsWrong) {
  const auto message_of = [](const auto& body) -> std::string {
    try {
      body();
    } catch (const ContractError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  TinyModel tiny(llama_config());
  KvCache cache = tiny.model.make_cache(2);
  const std::vector<std::int32_t> tokens = {1, 2, 3};
  EXPECT_THAT(message_of([&] { tiny.model.decode(tokens, cache); }),
              testing::HasSubstr("3 tokens after 0 in a cache for 2"));
  EXPECT_THAT(message_of([&] { tiny.model.chunk().update_expert_bias({{1}}); }),
              testing::HasSubstr("1 layers, expected 2"));
  Batch batch = random_batch(*tiny.backend, 1, 4, 17, 1);
  Stash stash(*tiny.backend);
  Pass pass{.batch = batch, .stash = stash};
  batch.targets = {};
  EXPECT_THAT(message_of([&] { tiny.model.forward(pass, true); }), testing::HasSubstr("targets"));
  ParamStore inference(*tiny.backend, plan::make_param_table(tiny.config),
                       {.compute = DType::f64, .gradients = false});
  Model without(tiny.config, inference);
  EXPECT_THAT(message_of([&] { without.forward(pass, true); }),
              testing::HasSubstr("without gradients"));
}

}  // namespace
}  // namespace tera::nn::test
