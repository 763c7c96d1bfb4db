// What the updates promise beyond agreeing with each other, on both tables.
#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/ops.h"
#include "tests/kernels/support/buffer.h"
#include "tests/kernels/support/executors.h"

namespace tera::kernels::test {
namespace {

Buffer f32(std::vector<std::int64_t> shape, const std::vector<double>& values) {
  Buffer buffer(DType::f32, std::move(shape));
  buffer.assign(values);
  return buffer;
}

class Updates : public testing::TestWithParam<const OpTable*> {
 protected:
  const OpTable& ops_ = *GetParam();
  ThreadExecutor executor_{2};
  Context context_{&executor_};
};

TEST_P(Updates, LionTakesStepsOfTheLearningRateAndNoneWithoutADirection) {
  Buffer weight = f32({3}, {1, -2, 3});
  const Buffer grad = f32({3}, {1e-6, -4, 0});
  Buffer m(DType::f32, {3});
  ops_.lion(context_, weight, grad, m, {.learning_rate = 0.01, .weight_decay = 0.1});
  EXPECT_NEAR(weight.get(0), 1 - 0.01 - 0.001, 1e-6);
  EXPECT_NEAR(weight.get(1), -2 + 0.01 + 0.002, 1e-6);
  EXPECT_NEAR(weight.get(2), 3 - 0.003, 1e-6);
  EXPECT_NEAR(m.get(1), -0.04, 1e-7);  // beta2 is 0.99
}

TEST_P(Updates, SgdGathersMomentum) {
  Buffer weight = f32({1}, {0});
  const Buffer grad = f32({1}, {2});
  Buffer m(DType::f32, {1});
  const SgdOptions options{.learning_rate = 1, .momentum = 0.5, .grad_scale = 0.5};
  ops_.sgd(context_, weight, grad, m, options);
  ops_.sgd(context_, weight, grad, m, options);
  EXPECT_FLOAT_EQ(static_cast<float>(m.get(0)), 1.5F);
  EXPECT_FLOAT_EQ(static_cast<float>(weight.get(0)), -2.5F);
}

// A gradient of rank one has factors without error: the update is the sign of the gradient.
TEST_P(Updates, AdafactorIsExactForFactorsOfRankOne) {
  constexpr std::int64_t kRows = 5;
  constexpr std::int64_t kCols = 19;
  Buffer grad(DType::f32, {kRows, kCols});
  for (std::int64_t i = 0; i < grad.size(); ++i) {
    const double sign = i % 3 == 0 ? -1 : 1;
    grad.set(i, sign * static_cast<double>((i / kCols + 1) * (i % kCols + 2)));
  }
  Buffer rows(DType::f32, {kRows});
  Buffer cols(DType::f32, {kCols});
  AdafactorOptions options{.learning_rate = 0.5};
  options.row_mean = ops_.factored_moments(context_, grad, rows, cols, 1, 1);
  EXPECT_NEAR(ops_.adafactor_norm(context_, grad, rows, cols, options), kRows * kCols, 1e-3);
  Buffer weight(DType::f32, {kRows, kCols});
  ops_.adafactor(context_, weight, grad, rows, cols, options);
  for (std::int64_t i = 0; i < weight.size(); ++i)
    EXPECT_NEAR(weight.get(i), grad.get(i) > 0 ? -0.5 : 0.5, 1e-5) << i;
}

TEST_P(Updates, RoundingByChanceIsRightOnAverageAndExactWhereItCanBe) {
  constexpr std::int64_t kDraws = 65536;
  // 1 + 3/4 of the spacing of bf16 at 1: up in three of four cases. Every noise value once.
  for (const auto& [value, expected] : {std::pair(1 + 0.75 * 0x1p-7, 1 + 0.75 * 0x1p-7),
                                        std::pair(-1 - 0.25 * 0x1p-7, -1 - 0.25 * 0x1p-7),
                                        std::pair(1.5, 1.5), std::pair(0.0, 0.0)}) {
    Buffer x(DType::f32, {kDraws});
    x.fill(value);
    Buffer noise(DType::u16, {kDraws});
    for (std::int64_t i = 0; i < kDraws; ++i)
      noise.set(i, static_cast<double>(i));
    Buffer y(DType::bf16, {kDraws});
    ops_.stochastic_round(context_, x, noise, y);
    double sum = 0;
    for (std::int64_t i = 0; i < kDraws; ++i)
      sum += y.get(i);
    EXPECT_DOUBLE_EQ(sum / static_cast<double>(kDraws), expected);
  }
}

TEST_P(Updates, RoundingByChanceKeepsNaNAndInfinity) {
  const double inf = std::numeric_limits<double>::infinity();
  Buffer x = f32({4}, {inf, -inf, 0, 0});
  x.view().as<std::uint32_t>()[2] = 0x7fffffffU;  // the NaN that a carry would turn into -0
  x.view().as<std::uint32_t>()[3] = 0x7f800001U;  // the NaN whose mark is cut off
  Buffer noise(DType::u16, {4});
  noise.assign({65535, 65535, 65535, 0});
  Buffer y(DType::bf16, {4});
  ops_.stochastic_round(context_, x, noise, y);
  EXPECT_EQ(y.get(0), inf);
  EXPECT_EQ(y.get(1), -inf);
  EXPECT_TRUE(std::isnan(y.get(2)));
  EXPECT_TRUE(std::isnan(y.get(3)));
}

// Every pattern of the lower half under upper halves of all kinds: the number comes back whole, and
// what is read as bf16 is the nearest one.
TEST_P(Updates, HalvesAreTheNearestBf16AndAllBits) {
  constexpr std::int64_t kPatterns = 65536;
  Buffer x(DType::f32, {kPatterns});
  Buffer high(DType::bf16, {kPatterns});
  Buffer low(DType::u16, {kPatterns});
  Buffer back(DType::f32, {kPatterns});
  for (const std::uint32_t upper :
       {0x0000U, 0x8000U, 0x3f80U, 0x3f81U, 0xc2ffU, 0x7f7fU, 0xff7fU}) {
    auto* bits = x.view().as<std::uint32_t>();
    for (std::uint32_t i = 0; i < kPatterns; ++i)
      bits[i] = upper << 16U | i;
    ops_.split_halves(context_, x, high, low);
    ops_.join_halves(context_, high, low, back);
    for (std::int64_t i = 0; i < kPatterns; ++i) {
      ASSERT_EQ(back.view().as<std::uint32_t>()[i], bits[i]);
      const float value = x.view().as<float>()[i];
      const Bf16 nearest(value);
      const bool tie = (bits[i] & 0xffffU) == 0x8000U;
      ASSERT_EQ(high.view().as<Bf16>()[i].bits, tie ? (bits[i] >> 16U) + 1 : nearest.bits) << value;
    }
  }
}

TEST_P(Updates, HalvesKeepInfinityAndNaN) {
  const double inf = std::numeric_limits<double>::infinity();
  Buffer x = f32({4}, {inf, -inf, 0, 0});
  x.view().as<std::uint32_t>()[2] = 0x7fffffffU;
  x.view().as<std::uint32_t>()[3] = 0x7f800001U;
  Buffer high(DType::bf16, {4});
  Buffer low(DType::u16, {4});
  ops_.split_halves(context_, x, high, low);
  Buffer back(DType::f32, {4});
  ops_.join_halves(context_, high, low, back);
  for (const Buffer* part : {&high, &back}) {
    EXPECT_EQ(part->get(0), inf);
    EXPECT_EQ(part->get(1), -inf);
    EXPECT_TRUE(std::isnan(part->get(2)));
    EXPECT_TRUE(std::isnan(part->get(3)));
  }
}

// Bit by bit: the spread of the weights has lower halves of all kinds, and a short last vector.
TEST_P(Updates, HalvesAreUpdatedAsTheNumberTheyAre) {
  constexpr std::int64_t kCount = 70001;
  Buffer whole(DType::f32, {kCount});
  Buffer grad(DType::f32, {kCount});
  for (std::int64_t i = 0; i < kCount; ++i) {
    whole.set(i, std::sin(static_cast<double>(i)) * std::exp(static_cast<double>(i % 40) - 20));
    grad.set(i, std::cos(static_cast<double>(i)));
  }
  Buffer high(DType::bf16, {kCount});
  Buffer low(DType::u16, {kCount});
  ops_.split_halves(context_, whole, high, low);
  Buffer m(DType::f32, {kCount}), v(DType::f32, {kCount});
  Buffer m2(DType::f32, {kCount}), v2(DType::f32, {kCount});
  for (std::int64_t step = 1; step <= 3; ++step) {
    const AdamWOptions options{.learning_rate = 1e-3, .weight_decay = 0.1, .step = step};
    ops_.adamw(context_, whole, grad, m, v, options);
    ops_.adamw_halves(context_, high, low, grad, m2, v2, options);
  }
  Buffer back(DType::f32, {kCount});
  ops_.join_halves(context_, high, low, back);
  for (std::int64_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(back.get(i), whole.get(i)) << i;
    ASSERT_EQ(m2.get(i), m.get(i)) << i;
    ASSERT_EQ(v2.get(i), v.get(i)) << i;
  }
}

TEST_P(Updates, NameWhatDoesNotFit) {
  Buffer weight(DType::f32, {4});
  const Buffer grad(DType::f32, {4});
  const auto message_of = [](auto&& call) {
    try {
      call();
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message_of([&] { ops_.lion(context_, weight, grad, Buffer(DType::f32, {3}), {}); }),
            "lion: m is f32 [3], expected it contiguous like the weight, f32 [4]");
  EXPECT_EQ(message_of([&] { ops_.sgd(context_, weight, grad, View{}, {.momentum = 0.5}); }),
            "sgd: momentum is 0.500000 and m absent, expected both or none");
  EXPECT_EQ(message_of([&] {
              ops_.factored_moments(context_, Buffer(DType::f32, {2, 3}), View{},
                                    Buffer(DType::f32, {3}), 1, 1);
            }),
            "factored_moments: grad is f32 [2, 3] and rows are absent, expected one row");
}

INSTANTIATE_TEST_SUITE_P(, Updates, testing::Values(&ref_ops(), &cpu_ops()), [](const auto& row) {
  return row.index == 0 ? "ref" : "cpu";
});

}  // namespace
}  // namespace tera::kernels::test
