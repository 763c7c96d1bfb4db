// Every backward op of the reference against central differences of its forward op in f64: the loss
// is sum_i weight_i output_i with random weights, whose gradient the backward op must give.
#include "tests/kernels/support/gradient.h"

namespace tera::kernels::test {
namespace {

TEST(Gradient, MatmulByItsTransposes) {
  Buffer a = normal({3, 5}, 1);
  Buffer b = normal({4, 5}, 2);
  const Buffer dc = normal({3, 4}, 3);
  const auto loss = [&] {
    Buffer c = zeros({3, 4});
    ops.matmul(kContext, a, b, c, {.transpose_b = true});
    return dot(c, dc);
  };
  Buffer da = zeros({3, 5});
  Buffer db = zeros({4, 5});
  ops.matmul(kContext, dc, b, da, {});
  ops.matmul(kContext, dc, a, db, {.transpose_a = true});
  expect_gradient(a, da, loss);
  expect_gradient(b, db, loss);
}

TEST(Gradient, GroupedMatmul) {
  Buffer x = normal({6, 4}, 1);
  Buffer w = normal({3, 5, 4}, 2);
  Buffer offsets(DType::i64, {4});
  offsets.assign({0, 2, 2, 6});
  const Buffer dy = normal({6, 5}, 3);
  const auto loss = [&] {
    Buffer y = zeros({6, 5});
    ops.grouped_matmul(kContext, x, w, offsets, y, true);
    return dot(y, dy);
  };
  Buffer dx = zeros({6, 4});
  Buffer dw = zeros({3, 5, 4});
  ops.grouped_matmul(kContext, dy, w, offsets, dx, false);
  ops.grouped_matmul_weight(kContext, dy, x, offsets, dw, false);
  expect_gradient(x, dx, loss);
  expect_gradient(w, dw, loss);
}

TEST(Gradient, EmbeddingAddsTheRowsOfAToken) {
  Buffer table = normal({4, 3}, 1);
  const Buffer ids = integers({5}, {2, 0, 2, 3, 2});
  const Buffer dy = normal({5, 3}, 2);
  Buffer dtable = zeros({4, 3});
  ops.embedding_backward(kContext, ids, dy, dtable);
  expect_gradient(table, dtable, [&] {
    Buffer y = zeros({5, 3});
    ops.embedding_forward(kContext, ids, table, y, false);
    return dot(y, dy);
  });
}

class NormGradient : public testing::TestWithParam<NormType> {};

TEST_P(NormGradient, InputWeightAndBias) {
  const bool layer = GetParam() == NormType::layer;
  Buffer x = normal({4, 6}, 1);
  Buffer w = normal({6}, 2);
  Buffer b = layer ? normal({6}, 3) : Buffer();
  const Buffer dy = normal({4, 6}, 4);
  Buffer rstd = zeros({4});
  Buffer mean = layer ? zeros({4}) : Buffer();
  const auto loss = [&] {
    Buffer y = zeros({4, 6});
    ops.norm_forward(kContext, GetParam(), x, {}, w, b, 1e-3, {}, y, rstd, mean);
    return dot(y, dy);
  };
  loss();
  Buffer dx = zeros({4, 6});
  Buffer dw = zeros({6});
  Buffer db = layer ? zeros({6}) : Buffer();
  ops.norm_backward_input(kContext, GetParam(), dy, x, w, rstd, mean, {}, dx);
  ops.norm_backward_weight(kContext, GetParam(), dy, x, rstd, mean, dw, db);
  expect_gradient(x, dx, loss);
  expect_gradient(w, dw, loss);
  if (layer) expect_gradient(b, db, loss);
}

// Of both summands, which are one in the stream that goes on beside the norm.
TEST_P(NormGradient, OfASumAndTheStreamBeside) {
  const bool layer = GetParam() == NormType::layer;
  Buffer x = normal({4, 6}, 1);
  Buffer branch = normal({4, 6}, 5);
  const Buffer w = normal({6}, 2);
  const Buffer dy = normal({4, 6}, 4);
  const Buffer d_stream = normal({4, 6}, 6);
  Buffer sum = zeros({4, 6});
  Buffer rstd = zeros({4});
  Buffer mean = layer ? zeros({4}) : Buffer();
  const auto loss = [&] {
    Buffer y = zeros({4, 6});
    ops.norm_forward(kContext, GetParam(), x, branch, w, {}, 1e-3, sum, y, rstd, mean);
    return dot(y, dy) + dot(sum, d_stream);
  };
  loss();
  Buffer dx = zeros({4, 6});
  ops.norm_backward_input(kContext, GetParam(), dy, sum, w, rstd, mean, d_stream, dx);
  expect_gradient(x, dx, loss);
  expect_gradient(branch, dx, loss);
}

INSTANTIATE_TEST_SUITE_P(,
                         NormGradient,
                         testing::Values(NormType::rms, NormType::layer),
                         [](const auto& row) {
                           return row.param == NormType::rms ? "rms" : "layer";
                         });

TEST(Gradient, RotaryTurnsBackAndPassesTheOtherDims) {
  Buffer x = normal({3, 2, 7}, 1);
  const Buffer positions = integers({3}, {0, 5, 1000});
  const Buffer frequencies = normal({2}, 5);
  const Buffer dy = normal({3, 2, 7}, 2);
  Buffer dx = zeros({3, 2, 7});
  ops.rotary(kContext, dy, positions, frequencies, {.factor = 1.3, .transpose = true}, dx);
  expect_gradient(x, dx, [&] {
    Buffer y = zeros({3, 2, 7});
    ops.rotary(kContext, x, positions, frequencies, {.factor = 1.3}, y);
    return dot(y, dy);
  });
}

TEST(Gradient, NormAndRotaryOfHeads) {
  for (const std::int64_t width : {7, 14}) {  // of each head, of both
    Buffer x = normal({3, 2, 7}, 1);
    Buffer w = normal({width}, 3);
    const Buffer positions = integers({3}, {0, 5, 1000});
    const Buffer frequencies = normal({2}, 5);
    const Buffer dy = normal({3, 2, 7}, 2);
    const RotaryOptions options{.factor = 1.3};
    const std::int64_t norms = 42 / width;
    Buffer raw = zeros({3, 2, 7});
    Buffer rstd = zeros({norms});
    const auto loss = [&] {
      Buffer y = zeros({3, 2, 7});
      ops.qk_norm_forward(kContext, x, w, 1e-3, positions, frequencies, options, raw, y, rstd);
      return dot(y, dy);
    };
    loss();
    Buffer d_norm = zeros({norms, width});
    Buffer dx = zeros({3, 2, 7});
    View d_heads = d_norm;
    d_heads.rank = 3;
    d_heads.shape = {3, 2, 7, 1};
    d_heads.strides = {14, 7, 1, 0};
    ops.qk_norm_backward_input(kContext, dy, raw, w, rstd, positions, frequencies, options, d_heads,
                               dx);
    View rows = raw;
    rows.rank = 2;
    rows.shape = {norms, width, 1, 1};
    rows.strides = {width, 1, 0, 0};
    Buffer dw = zeros({width});
    ops.norm_backward_weight(kContext, NormType::rms, d_norm, rows, rstd, {}, dw, {});
    expect_gradient(x, dx, loss);
    expect_gradient(w, dw, loss);
  }
}

struct AttentionCase {
  const char* name;
  std::int64_t batch, heads, groups, value_dim;
  std::vector<double> first_key;  // [batch, 5]
  AttentionOptions options;
};

class AttentionGradient : public testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionGradient, QueriesKeysAndValues) {
  const AttentionCase& c = GetParam();
  constexpr std::int64_t kLength = 5;
  constexpr std::int64_t kDim = 6;
  Buffer q = normal({c.batch, kLength, c.heads, kDim}, 1);
  Buffer k = normal({c.batch, kLength, c.groups, kDim}, 2);
  Buffer v = normal({c.batch, kLength, c.groups, c.value_dim}, 3);
  const Buffer first_key = integers({c.batch, kLength}, c.first_key);
  const Buffer dout = normal({c.batch, kLength, c.heads, c.value_dim}, 4);
  Buffer out = zeros({c.batch, kLength, c.heads, c.value_dim});
  Buffer lse = zeros({c.batch, kLength, c.heads});
  const auto loss = [&] {
    ops.attention_forward(kContext, q, k, v, first_key, c.options, out, lse);
    return dot(out, dout);
  };
  loss();
  Buffer dq = zeros({c.batch, kLength, c.heads, kDim});
  Buffer dk = zeros({c.batch, kLength, c.groups, kDim});
  Buffer dv = zeros({c.batch, kLength, c.groups, c.value_dim});
  ops.attention_backward(kContext, dout, q, k, v, first_key, out, lse, c.options, dq, dk, dv);
  expect_gradient(q, dq, loss);
  expect_gradient(k, dk, loss);
  expect_gradient(v, dv, loss);
}

INSTANTIATE_TEST_SUITE_P(,
                         AttentionGradient,
                         testing::Values(AttentionCase{.name = "SharedHeadsAndDocuments",
                                                       .batch = 2,
                                                       .heads = 4,
                                                       .groups = 2,
                                                       .value_dim = 6,
                                                       .first_key = {0, 0, 0, 3, 3, 0, 1, 1, 1, 4},
                                                       .options = {.scale = 0.4}},
                                         AttentionCase{.name = "NarrowValuesAndSoftCap",
                                                       .batch = 1,
                                                       .heads = 2,
                                                       .groups = 1,
                                                       .value_dim = 3,
                                                       .first_key = {0, 0, 1, 1, 0},
                                                       .options = {.scale = 0.7, .softcap = 1.5}}),
                         [](const auto& row) { return std::string(row.param.name); });

// Keys [first, last) of [B, S, G, D].
View some_keys(const Buffer& keys, std::int64_t first, std::int64_t last) {
  View view = keys;
  view.data = view.as<double>() + first * view.strides[1];
  view.shape[1] = last - first;
  return view;
}

// Over keys 0 .. 2 and then over the others, as if these came from elsewhere.
TEST(AttentionParts, AddUpToAllKeys) {
  constexpr std::int64_t kLength = 8;
  constexpr std::int64_t kCut = 3;
  const Buffer q = normal({1, kLength, 4, 6}, 1);
  const Buffer k = normal({1, kLength, 2, 6}, 2);
  const Buffer v = normal({1, kLength, 2, 5}, 3);
  const Buffer dout = normal({1, kLength, 4, 5}, 4);
  const std::vector<double> first = {0, 0, 0, 0, 0, 2, 2, 4};
  const Buffer first_key = integers({1, kLength}, first);
  const AttentionOptions options{.scale = 0.4, .softcap = 3};
  Buffer out = zeros({1, kLength, 4, 5});
  Buffer lse = zeros({1, kLength, 4});
  ops.attention_forward(kContext, q, k, v, first_key, options, out, lse);
  Buffer dq = zeros({1, kLength, 4, 6});
  Buffer dk = zeros({1, kLength, 2, 6});
  Buffer dv = zeros({1, kLength, 2, 5});
  ops.attention_backward(kContext, dout, q, k, v, first_key, out, lse, options, dq, dk, dv);

  Buffer sum = zeros({1, kLength, 4, 5});
  Buffer sum_lse = zeros({1, kLength, 4});
  Buffer sum_dq = zeros({1, kLength, 4, 6});
  Buffer sum_dk = zeros({1, kLength, 2, 6});
  Buffer sum_dv = zeros({1, kLength, 2, 5});
  AttentionOptions more = options;
  const auto behind = [&](const Buffer& rows) { return some_keys(rows, kCut, kLength); };
  std::vector<double> first_behind;
  for (std::int64_t i = kCut; i < kLength; ++i)
    first_behind.push_back(first[static_cast<std::size_t>(i)] - kCut);
  const Buffer first_key_behind = integers({1, kLength - kCut}, first_behind);
  const auto before = [&](const Buffer& rows) { return some_keys(rows, 0, kCut); };
  ops.attention_forward(kContext, q, before(k), before(v), first_key, options, sum, sum_lse);
  View lse_behind = sum_lse;
  lse_behind.data = lse_behind.as<double>() + kCut * 4;
  lse_behind.shape[1] = kLength - kCut;
  more.accumulate = true;
  ops.attention_forward(kContext, behind(q), behind(k), behind(v), first_key_behind, more,
                        behind(sum), lse_behind);
  ops.attention_backward(kContext, dout, q, before(k), before(v), first_key, sum, sum_lse, more,
                         sum_dq, before(sum_dk), before(sum_dv));
  ops.attention_backward(kContext, behind(dout), behind(q), behind(k), behind(v), first_key_behind,
                         behind(sum), lse_behind, more, behind(sum_dq), behind(sum_dk),
                         behind(sum_dv));
  const auto expect_near = [](const Buffer& got, const Buffer& expected) {
    for (std::int64_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(got.get(i), expected.get(i), 1e-13) << i;
  };
  expect_near(sum, out);
  expect_near(sum_lse, lse);
  expect_near(sum_dq, dq);
  expect_near(sum_dk, dk);
  expect_near(sum_dv, dv);
}

class ActivationGradient : public testing::TestWithParam<Activation> {};

TEST_P(ActivationGradient, InputAndRowScale) {
  Buffer x = normal({3, is_gated(GetParam()) ? 10 : 5}, 1);
  Buffer row_scale = normal({3}, 2);
  const Buffer dy = normal({3, 5}, 3);
  const auto loss = [&] {
    Buffer y = zeros({3, 5});
    ops.activation_forward(kContext, GetParam(), x, row_scale, y);
    return dot(y, dy);
  };
  Buffer dx = x.clone();
  Buffer drow_scale = zeros({3});
  ops.activation_backward(kContext, GetParam(), dy, x, row_scale, dx, drow_scale);
  expect_gradient(x, dx, loss);
  expect_gradient(row_scale, drow_scale, loss);
}

INSTANTIATE_TEST_SUITE_P(,
                         ActivationGradient,
                         testing::Values(Activation::swiglu,
                                         Activation::gelu,
                                         Activation::relu,
                                         Activation::gelu_exact,
                                         Activation::relu_squared,
                                         Activation::geglu),
                         [](const auto& row) {
                           return std::to_string(static_cast<int>(row.param));
                         });

TEST(Gradient, BiasSumsOverRows) {
  Buffer b = normal({3}, 1);
  const Buffer dy = normal({4, 3}, 2);
  Buffer db = zeros({3});
  ops.bias_backward(kContext, dy, db);
  expect_gradient(b, db, [&] {
    Buffer y = normal({4, 3}, 3);
    ops.add_bias(kContext, y, b);
    return dot(y, dy);
  });
}

// Of rows of logits, in f64.
struct Softmax {
  explicit Softmax(std::int64_t tokens)
      : highest(zeros({tokens})), total(zeros({tokens})), at_target(zeros({tokens})) {}
  SoftmaxRows rows() const { return {highest, total}; }
  double loss(std::int64_t t) const {
    return std::log(total.get(t)) + highest.get(t) - at_target.get(t);
  }
  Buffer highest, total, at_target;
};

TEST(Gradient, CrossEntropyIgnoresMissingTargets) {
  Buffer logits = normal({4, 5}, 1);
  const Buffer targets = integers({4}, {2, -1, 0, 4});
  const Softmax softmax(4);
  Buffer gradient = logits.clone();
  ops.cross_entropy_forward(kContext, logits, targets, 0, softmax.rows(), softmax.at_target);
  ops.cross_entropy_backward(kContext, gradient, targets, 0, softmax.rows(), 0.5);
  expect_gradient(logits, gradient, [&] {
    ops.cross_entropy_forward(kContext, logits, targets, 0, softmax.rows(), softmax.at_target);
    double sum = 0;
    for (const std::int64_t t : {0, 2, 3})
      sum += 0.5 * softmax.loss(t);
    return sum;
  });
}

}  // namespace
}  // namespace tera::kernels::test
