// Values worked out by hand, and the messages of calls that break the contract.
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "kernels/ops.h"
#include "tests/kernels/support/buffer.h"
#include "tests/kernels/support/executors.h"
#include "tests/kernels/support/message.h"

namespace tera::kernels::test {
namespace {

Buffer f32(std::vector<std::int64_t> shape, const std::vector<double>& values) {
  Buffer buffer(DType::f32, std::move(shape));
  buffer.assign(values);
  return buffer;
}

Buffer i32(std::vector<std::int64_t> shape, const std::vector<double>& values) {
  Buffer buffer(DType::i32, std::move(shape));
  buffer.assign(values);
  return buffer;
}

class BothTables : public testing::TestWithParam<const OpTable*> {
 protected:
  const OpTable& ops_ = *GetParam();
  ThreadExecutor executor_{2};
  Context context_{&executor_};
};

TEST_P(BothTables, NameTheArgumentOfAWrongShape) {
  const Buffer a = f32({2, 5}, std::vector<double>(10, 1));
  const Buffer b = f32({6, 7}, std::vector<double>(42, 1));
  Buffer c(DType::f32, {2, 7});
  EXPECT_EQ(message_of([&] { ops_.matmul(context_, a, b, c, {}); }),
            "matmul: b is f32 [6, 7], expected shape [5, 7]");
  Buffer c64(DType::f64, {2, 7});
  const Buffer right = f32({5, 7}, std::vector<double>(35, 1));
  EXPECT_EQ(message_of([&] { ops_.matmul(context_, a, right, c64, {}); }),
            "matmul: dtypes are f32, f32 and f64, expected all f64 or none");
  EXPECT_EQ(message_of([&] { ops_.matmul(context_, a, View{}, c, {}); }),
            "matmul: b is absent, expected 2 dims");
  Buffer y(DType::bf16, {10});
  EXPECT_EQ(message_of([&] { ops_.add(context_, a, a, y); }),
            "add: y is bf16 [10], expected it contiguous like a, f32 [2, 5]");
}

TEST_P(BothTables, SumAndScaleRows) {
  const Buffer x = f32({2, 2}, {3, 4, 1, 2});
  const Buffer y = f32({2, 2}, {1, 10, 100, 1000});
  const Buffer w = f32({2}, {2, 0.5});
  Buffer sums(DType::f32, {2});
  ops_.dot_rows(context_, x, x, {}, sums);
  EXPECT_EQ(sums.values(), (std::vector<double>{25, 5}));
  ops_.dot_rows(context_, x, y, w, sums);
  EXPECT_EQ(sums.values(), (std::vector<double>{26, 1200}));
  Buffer z(DType::f32, {2, 2});
  ops_.scale_rows(context_, x, w, f32({2}, {2, 10}), {}, {}, z);
  EXPECT_EQ(z.values(), (std::vector<double>{12, 4, 20, 10}));
  ops_.scale_rows(context_, x, w, f32({2}, {2, 10}), y, f32({2}, {1, 0.5}), z);
  EXPECT_EQ(z.values(), (std::vector<double>{13, 14, 70, 510}));
  EXPECT_EQ(message_of([&] { ops_.scale_rows(context_, x, w, sums, y, {}, z); }),
            "scale_rows: y is f32 [2, 2] and y_scale absent, expected both or none");
}

// x W^T for 1 to kFewRows rows of x, K of several steps and a rest.
TEST_P(BothTables, GiveEachOfFewRowsTheBitsItHasAlone) {
  constexpr std::int64_t kWidth = 515;
  constexpr std::int64_t kColumns = 100;
  std::mt19937 rng(3);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Buffer x(dtype, {kFewRows, kWidth});
    Buffer w(dtype, {kColumns, kWidth});
    x.fill_normal(rng);
    w.fill_normal(rng);
    Buffer alone(DType::f32, {kFewRows, kColumns});
    const auto rows = [](const View& from, std::int64_t first, std::int64_t count) {
      View part = from;
      part.data = from.as<std::byte>() + first * from.strides[0] * dtype_bytes(from.dtype);
      part.shape[0] = count;
      return part;
    };
    for (std::int64_t row = 0; row < kFewRows; ++row)
      ops_.matmul(context_, rows(x, row, 1), w, rows(alone, row, 1), {.transpose_b = true});
    for (const std::int64_t count : {std::int64_t{2}, std::int64_t{7}, kFewRows}) {
      Buffer together = alone.clone();
      for (std::int64_t i = 0; i < count * kColumns; ++i)
        together.set(i, 7);
      ops_.matmul(context_, rows(x, 0, count), w, rows(together, 0, count), {.transpose_b = true});
      EXPECT_TRUE(together.same_bits(alone)) << count << " rows of " << dtype_name(dtype);
    }
  }
}

TEST_P(BothTables, RefuseIndicesOutsideTheirTable) {
  const Buffer table = f32({3, 2}, {1, 2, 3, 4, 5, 6});
  Buffer y(DType::f32, {2, 2});
  EXPECT_EQ(message_of([&] {
              ops_.embedding_forward(context_, i32({2}, {1, 3}), table, y, false);
            }),
            "embedding_forward: ids holds 3 at 1, expected -1 to 2");
  Buffer logits = f32({1, 3}, {0, 1, 2});
  Buffer of_row(DType::f32, {1});
  EXPECT_EQ(
      message_of([&] {
        ops_.cross_entropy_forward(context_, logits, i32({1}, {-2}), 0, {of_row, of_row}, of_row);
      }),
      "cross_entropy_forward: targets holds -2 at 0, expected -1 to 2147483646");
  Buffer offsets(DType::i64, {3});
  offsets.assign({0, 2, 1});
  const Buffer w(DType::f32, {2, 2, 2});
  EXPECT_EQ(message_of([&] { ops_.grouped_matmul(context_, y, w, offsets, y, true); }),
            "grouped_matmul: offsets do not rise from 0 to the number of rows, 2");
}

TEST_P(BothTables, RefuseMoreFrequenciesThanPairs) {
  const Buffer x(DType::f32, {2, 1, 5});
  Buffer y(DType::f32, {2, 1, 5});
  EXPECT_EQ(message_of([&] {
              ops_.rotary(context_, x, i32({2}, {0, 1}), Buffer(DType::f64, {3}), {}, y);
            }),
            "rotary: 3 frequencies turn 6 dims, but a head has 5");
}

// A pair of one radian per position at position 2, the third dim as it was, and back again.
TEST_P(BothTables, TurnTheFirstPairsOfAHead) {
  const Buffer x = f32({1, 1, 3}, {1, 0, 5});
  Buffer frequency(DType::f64, {1});
  frequency.assign({1});
  Buffer y(DType::f32, {1, 1, 3});
  ops_.rotary(context_, x, i32({1}, {2}), frequency, {.factor = 2}, y);
  EXPECT_NEAR(y.get(0), 2 * std::cos(2.0), 1e-6);
  EXPECT_NEAR(y.get(1), 2 * std::sin(2.0), 1e-6);
  EXPECT_EQ(y.get(2), 5);
  ops_.rotary(context_, y, i32({1}, {2}), frequency, {.factor = 0.5, .transpose = true}, y);
  EXPECT_NEAR(y.get(0), 1, 1e-6);
  EXPECT_NEAR(y.get(1), 0, 1e-6);
}

// Known values: x Phi(x) with Phi(1) = 0.8413447461, Phi(-3) = 0.0013498980, Phi(-9) = 1.1286e-19.
TEST_P(BothTables, ComputeGeluWithTheErrorFunctionInTheTails) {
  const Buffer x = f32({1, 5}, {1, -3, -9, 40, -1e30});
  Buffer y(DType::f32, {1, 5});
  ops_.activation_forward(context_, Activation::gelu_exact, x, View{}, y);
  const double expected[] = {0.8413447461, -3 * 0.001349898032, -9 * 1.128588406e-19, 40, 0};
  for (std::int64_t i = 0; i < 5; ++i)
    EXPECT_NEAR(y.get(i), expected[i], 1e-6 * std::abs(expected[i])) << i;
}

TEST_P(BothTables, RefuseQueriesBeforeTheKeys) {
  const Buffer q(DType::f32, {1, 3, 2, 4});
  const Buffer k(DType::f32, {1, 4, 1, 4});
  Buffer out(DType::f32, {1, 3, 2, 4});
  Buffer lse(DType::f32, {1, 3, 2});
  EXPECT_EQ(message_of([&] {
              ops_.attention_forward(context_, q, k, k, i32({1, 3}, {0, 0, 0}),
                                     {.query_offset = -2}, out, lse);
            }),
            "attention_forward: queries are at offset -2, expected 0 or more");
}

TEST_P(BothTables, AccumulateInTheirOwnDtype) {
  const Buffer q(DType::bf16, {1, 3, 2, 4});
  const Buffer k(DType::bf16, {1, 3, 1, 4});
  Buffer out(DType::bf16, {1, 3, 2, 4});
  Buffer lse(DType::f32, {1, 3, 2});
  const AttentionOptions options{.accumulate = true};
  EXPECT_EQ(message_of([&] {
              ops_.attention_forward(context_, q, k, k, i32({1, 3}, {0, 0, 0}), options, out, lse);
            }),
            "attention_forward: out is bf16 [1, 3, 2, 4], expected f32");
  Buffer dk(DType::f32, {1, 3, 1, 4});
  EXPECT_EQ(message_of([&] {
              ops_.attention_backward(context_, q, q, k, k, i32({1, 3}, {0, 0, 0}), out, lse,
                                      options, out, dk, dk);
            }),
            "attention_backward: dq is bf16 [1, 3, 2, 4], expected f32");
}

TEST_P(BothTables, RefuseHeadsWithoutDims) {
  const Buffer first_key = i32({1, 9}, std::vector<double>(9));
  Buffer lse(DType::f32, {1, 9, 1});
  const auto message = [&](std::int64_t head_dim, std::int64_t value_dim) {
    const Buffer q(DType::f32, {1, 9, 1, head_dim});
    const Buffer v(DType::f32, {1, 9, 1, value_dim});
    Buffer out(DType::f32, {1, 9, 1, value_dim});
    return message_of([&] { ops_.attention_forward(context_, q, q, v, first_key, {}, out, lse); });
  };
  EXPECT_EQ(message(0, 3),
            "attention_forward: q is f32 [1, 9, 1, 0], expected heads of at least one dim");
  EXPECT_EQ(message(3, 0),
            "attention_forward: v is f32 [1, 9, 1, 0], expected heads of at least one dim");
  EXPECT_EQ(message(3, 2), "no error");
}

TEST_P(BothTables, GiveZeroToAQueryThatSeesNoKey) {
  const Buffer q = f32({1, 2, 1, 2}, {1, 2, 3, 4});
  Buffer out = f32({1, 2, 1, 2}, {9, 9, 9, 9});
  Buffer lse(DType::f32, {1, 2, 1});
  const Buffer first_key = i32({1, 2}, {0, 2});
  ops_.attention_forward(context_, q, q, q, first_key, {}, out, lse);
  EXPECT_EQ(out.get(2), 0);
  EXPECT_EQ(out.get(3), 0);
  EXPECT_EQ(lse.get(1), -std::numeric_limits<double>::infinity());
  Buffer dq = out.clone();
  Buffer dk = out.clone();
  Buffer dv = out.clone();
  ops_.attention_backward(context_, q, q, q, q, first_key, out, lse, {}, dq, dk, dv);
  for (std::int64_t i = 0; i < 4; ++i)
    EXPECT_TRUE(std::isfinite(dq.get(i)) && std::isfinite(dk.get(i)) && std::isfinite(dv.get(i)))
        << i;
  EXPECT_EQ(dq.get(2), 0);
}

TEST_P(BothTables, ChooseTheLowestExpertsAmongEquals) {
  const Buffer logits = f32({1, 4}, {1, 3, 3, 1});
  Buffer scores(DType::f32, {1, 4});
  Buffer indices(DType::i32, {1, 3});
  Buffer gates(DType::f32, {1, 3});
  ops_.router_forward(context_, logits, View{}, {RouterType::softmax, true, 1.0}, scores, indices,
                      gates, View{});
  EXPECT_EQ(indices.get(0), 1);
  EXPECT_EQ(indices.get(1), 2);
  EXPECT_EQ(indices.get(2), 0);
  EXPECT_NEAR(gates.get(0) + gates.get(1) + gates.get(2), 1.0, 1e-6);
}

TEST_P(BothTables, ChooseValidExpertsAmongNaN) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Buffer logits = f32({1, 3}, {nan, 1, nan});
  Buffer scores(DType::f32, {1, 3});
  Buffer indices(DType::i32, {1, 2});
  Buffer gates(DType::f32, {1, 2});
  ops_.router_forward(context_, logits, View{}, {}, scores, indices, gates, View{});
  EXPECT_NE(indices.get(0), indices.get(1));
  for (std::int64_t k = 0; k < 2; ++k)
    EXPECT_TRUE(indices.get(k) >= 0 && indices.get(k) < 3);
}

TEST_P(BothTables, SortSlotsByExpertThenToken) {
  Buffer offsets(DType::i64, {4});
  Buffer rows(DType::i32, {3, 2});
  ops_.moe_dispatch(context_, i32({3, 2}, {2, 0, 0, 2, 2, 0}), View{}, {}, offsets, rows);
  const double expected_offsets[] = {0, 3, 3, 6};
  const double expected_rows[] = {3, 0, 1, 4, 5, 2};
  for (std::int64_t i = 0; i < 4; ++i)
    EXPECT_EQ(offsets.get(i), expected_offsets[i]);
  for (std::int64_t i = 0; i < 6; ++i)
    EXPECT_EQ(rows.get(i), expected_rows[i]);
}

// Groups {0, 1}, {2, 3}, {4, 5}: the best expert is in the first, the best sum of two in the
// second.
TEST_P(BothTables, ChooseWithinTheBestGroups) {
  const Buffer logits = f32({1, 6}, {3.0, -2.0, 2.0, 1.9, 0.5, 0.4});
  const auto chosen = [&](std::int64_t top_groups, std::int64_t group_best) {
    Buffer scores(DType::f32, {1, 6});
    Buffer indices(DType::i32, {1, 2});
    Buffer gates(DType::f32, {1, 2});
    const RouterOptions options{RouterType::sigmoid, false, 1.0, 3, top_groups, group_best};
    ops_.router_forward(context_, logits, View{}, options, scores, indices, gates, View{});
    return std::pair(indices.get(0), indices.get(1));
  };
  EXPECT_EQ(chosen(3, 2), std::pair(0.0, 2.0));  // every group: as without groups
  EXPECT_EQ(chosen(1, 2), std::pair(2.0, 3.0));  // 0.88 + 0.87 beats 0.62 + 0.60 and 0.95 + 0.12
  EXPECT_EQ(chosen(1, 1), std::pair(0.0, 1.0));
  EXPECT_EQ(chosen(2, 2), std::pair(2.0, 3.0));  // the third group is second: 0.62 + 0.60
}

TEST_P(BothTables, ServeTheLargestGatesOrTheFirstTokens) {
  const Buffer indices = i32({4, 2}, {1, 0, 1, 2, 0, 1, 1, 0});
  Buffer offsets(DType::i64, {4});
  Buffer rows(DType::i32, {4, 2});
  const auto served = [&](const View& priority, std::int64_t capacity) {
    ops_.moe_dispatch(context_, indices, priority, {.capacity = capacity}, offsets, rows);
    std::vector<double> values;
    for (std::int64_t i = 0; i < 8; ++i)
      values.push_back(rows.get(i));
    return values;
  };
  // Expert 0 has slots 1, 4, 7, expert 1 slots 0, 2, 5, 6, expert 2 slot 3.
  EXPECT_EQ(served(View{}, 2), (std::vector<double>{2, 0, 3, 4, 1, -1, -1, -1}));
  EXPECT_EQ(offsets.get(1), 2);
  EXPECT_EQ(offsets.get(2), 4);
  EXPECT_EQ(offsets.get(3), 5);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Buffer gates = f32({4, 2}, {0.5, 0.1, 0.9, 0.1, 0.3, 0.9, 0.5, nan});
  EXPECT_EQ(served(gates, 1), (std::vector<double>{-1, -1, 1, 2, 0, -1, -1, -1}));
  EXPECT_EQ(served(gates, 3), (std::vector<double>{3, 0, 4, 6, 1, 5, -1, 2}));
  EXPECT_EQ(served(gates, 4), served(gates, 0));
}

TEST_P(BothTables, GiveEveryExpertItsCapacityWhenPadded) {
  Buffer offsets(DType::i64, {4});
  Buffer rows(DType::i32, {4, 2});
  const Buffer indices = i32({4, 2}, {1, 0, 1, 2, 0, 1, 1, 0});
  const auto pad_to = [&](std::int64_t capacity) {
    ops_.moe_dispatch(context_, indices, View{}, {.capacity = capacity, .pad = true}, offsets,
                      rows);
  };
  pad_to(3);
  const double expected_offsets[] = {0, 3, 6, 9};
  const double expected_rows[] = {3, 0, 4, 6, 1, 5, -1, 2};
  for (std::int64_t i = 0; i < 4; ++i)
    EXPECT_EQ(offsets.get(i), expected_offsets[i]);
  for (std::int64_t i = 0; i < 8; ++i)
    EXPECT_EQ(rows.get(i), expected_rows[i]);
  EXPECT_THROW(pad_to(0), std::invalid_argument);
}

// Scores that underflow to 0: the gates are 0, not 0 / 0.
TEST_P(BothTables, RenormaliseScoresOfZero) {
  const Buffer logits = f32({1, 3}, {-200, -300, -400});
  Buffer scores(DType::f32, {1, 3});
  Buffer indices(DType::i32, {1, 2});
  Buffer gates(DType::f32, {1, 2});
  const RouterOptions options{RouterType::sigmoid, true, 1.0};
  ops_.router_forward(context_, logits, View{}, options, scores, indices, gates, View{});
  Buffer dlogits = f32({1, 3}, {7, 7, 7});
  ops_.router_backward(context_, View{}, scores, indices, gates, View{}, f32({1, 2}, {1, 1}),
                       f32({1, 3}, {1, 2, 3}), 0.0, options, dlogits);
  for (std::int64_t e = 0; e < 3; ++e)
    EXPECT_NEAR(dlogits.get(e), 0.0, 1e-10);
  EXPECT_NEAR(gates.get(0), 0.0, 1e-10);
}

TEST_P(BothTables, LetNaNAndInfinityThroughTheSumOfSquares) {
  Buffer x(DType::f32, {1000});
  x.fill(2);
  EXPECT_EQ(ops_.sum_of_squares(context_, x), 4000.0);
  x.set(777, std::numeric_limits<double>::infinity());
  EXPECT_EQ(ops_.sum_of_squares(context_, x), std::numeric_limits<double>::infinity());
  x.set(3, std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(std::isnan(ops_.sum_of_squares(context_, x)));
}

TEST_P(BothTables, RoundToEvenAndKeepNaNInBf16) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  // 1 + 2^-8 lies between 1 and 1 + 2^-7: to even is 1; 1 + 3 2^-8 goes up to 1 + 2^-6.
  const Buffer x = f32({5}, {1 + 0x1p-8, 1 + 3 * 0x1p-8, nan, -inf, 3.4e38});
  Buffer y(DType::bf16, {5});
  ops_.copy(context_, x, y);
  EXPECT_EQ(y.get(0), 1.0);
  EXPECT_EQ(y.get(1), 1 + 0x1p-6);
  EXPECT_TRUE(std::isnan(y.get(2)));
  EXPECT_EQ(y.get(3), -inf);
  EXPECT_EQ(y.get(4), inf);
}

// First step: m^ = g and v^ = g^2, so the update is the sign of g; decay takes 0.1 of the rate.
TEST_P(BothTables, TakeAFirstAdamWStepOfTheLearningRate) {
  Buffer weight = f32({2}, {1.0, -2.0});
  const Buffer grad = f32({2}, {0.5, -4.0});
  Buffer m(DType::f32, {2});
  Buffer v(DType::f32, {2});
  ops_.adamw(context_, weight, grad, m, v, {.learning_rate = 0.01, .weight_decay = 0.1});
  EXPECT_NEAR(weight.get(0), 1.0 - 0.01 - 0.001, 1e-6);
  EXPECT_NEAR(weight.get(1), -2.0 + 0.01 + 0.002, 1e-6);
  EXPECT_NEAR(m.get(1), -0.4, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(,
                         BothTables,
                         testing::Values(&ref_ops(), &cpu_ops()),
                         [](const auto& row) { return row.index == 0 ? "ref" : "cpu"; });

}  // namespace
}  // namespace tera::kernels::test
