// Ops that do the work of several give the bits of those one after the other.
#include <vector>

#include <gtest/gtest.h>

#include "kernels/qk_norm_steps.h"
#include "tests/kernels/op_cases.h"
#include "tests/kernels/support/executors.h"
#include "tests/kernels/support/message.h"
#include "tests/kernels/support/targets.h"

namespace tera::kernels::test {
namespace {

constexpr std::int64_t kTokens = 150;
constexpr std::int64_t kWidth = 100;

class FusedOps : public testing::TestWithParam<DType> {
 protected:
  // Compares what two ways make of copies of the same outputs, on every instruction set.
  template <class Fused, class Steps>
  void expect_same_bits(const std::vector<Buffer>& outputs, Fused&& fused, Steps&& steps) const {
    const auto made_by = [&](auto&& call) {
      std::vector<Buffer> made;
      for (const Buffer& output : outputs)
        made.push_back(output.clone());
      call(Views(made.begin(), made.end()));
      return made;
    };
    for_each_target([&](const char* target) {
      const std::vector<Buffer> once = made_by(fused);
      const std::vector<Buffer> one_by_one = made_by(steps);
      for (std::size_t i = 0; i < outputs.size(); ++i)
        EXPECT_TRUE(once[i].same_bits(one_by_one[i])) << target << ", output " << i;
    });
  }

  CaseBuilder b_{"fused", "bits", GetParam()};
  const OpTable& ops_ = cpu_ops();
  ThreadExecutor executor_{2};
  const Context context_{&executor_};
};

TEST_P(FusedOps, SumAndNorm) {
  const Buffer x = b_.normal_c({kTokens, kWidth}, 3);
  const Buffer branch = b_.normal_c({kTokens, kWidth});
  const Buffer w = b_.normal_c({kWidth});
  for (const NormType type : {NormType::rms, NormType::layer}) {
    std::vector<Buffer> outputs;  // sum, y, rstd, mean
    outputs.push_back(b_.blank_c({kTokens, kWidth}));
    outputs.push_back(b_.blank_c({kTokens, kWidth}));
    outputs.push_back(b_.blank_a({kTokens}));
    outputs.push_back(b_.blank_a({kTokens}));
    expect_same_bits(
        outputs,
        [&](const Views& v) {
          ops_.norm_forward(context_, type, x, branch, w, {}, 1e-5, v[0], v[1], v[2], v[3]);
        },
        [&](const Views& v) {
          ops_.add(context_, x, branch, v[0]);
          ops_.norm_forward(context_, type, v[0], {}, w, {}, 1e-5, {}, v[1], v[2], v[3]);
        });
  }
}

TEST_P(FusedOps, GradientOfNormAndStream) {
  const Buffer dy = b_.normal_c({kTokens, kWidth});
  const Buffer x = b_.normal_c({kTokens, kWidth});
  const Buffer w = b_.normal_c({kWidth});
  const Buffer rstd = b_.normal_a({kTokens});
  const Buffer mean = b_.normal_a({kTokens});
  const Buffer d_stream = b_.normal_c({kTokens, kWidth});
  for (const NormType type : {NormType::rms, NormType::layer}) {
    std::vector<Buffer> outputs;
    outputs.push_back(b_.blank_c({kTokens, kWidth}));
    expect_same_bits(
        outputs,
        [&](const Views& v) {
          ops_.norm_backward_input(context_, type, dy, x, w, rstd, mean, d_stream, v[0]);
        },
        [&](const Views& v) {
          ops_.norm_backward_input(context_, type, dy, x, w, rstd, mean, {}, v[0]);
          ops_.add(context_, v[0], d_stream, v[0]);
        });
  }
}

TEST_P(FusedOps, NormAndRotary) {
  constexpr std::int64_t kHeads = 3;
  constexpr std::int64_t kDim = 40;
  const std::vector<std::int64_t> shape = {kTokens, kHeads, kDim};
  const Buffer x = b_.normal_c(shape, 3);
  const Buffer positions = b_.integers({kTokens}, 0, 2000);
  Buffer frequencies(DType::f64, {12});
  for (std::int64_t i = 0; i < 12; ++i)
    frequencies.set(i, 1.0 / static_cast<double>(1 + i * i));
  const RotaryOptions options{.factor = 1.25};
  for (const std::int64_t norm : {kDim, kHeads * kDim}) {
    const Buffer w = b_.normal_c({norm});
    std::vector<Buffer> forward;  // raw, y, rstd
    forward.push_back(b_.blank_c(shape));
    forward.push_back(b_.blank_c(shape));
    forward.push_back(b_.blank_a({kTokens * kHeads * kDim / norm}));
    expect_same_bits(
        forward,
        [&](const Views& v) {
          ops_.qk_norm_forward(context_, x, w, 1e-5, positions, frequencies, options, v[0], v[1],
                               v[2]);
        },
        [&](const Views& v) {
          qk_norm_forward_steps(ops_, context_, x, w, 1e-5, positions, frequencies, options, v[0],
                                v[1], v[2]);
        });
    const Buffer raw = b_.normal_c(shape);
    const Buffer rstd = b_.normal_a({kTokens * kHeads * kDim / norm});
    std::vector<Buffer> backward;  // d_norm, dx, which begins as dy
    backward.push_back(b_.blank_c(shape));
    backward.push_back(b_.normal_c(shape));
    expect_same_bits(
        backward,
        [&](const Views& v) {
          ops_.qk_norm_backward_input(context_, v[1], raw, w, rstd, positions, frequencies, options,
                                      v[0], v[1]);
        },
        [&](const Views& v) {
          const Buffer room = raw.clone();
          qk_norm_backward_input_steps(ops_, context_, v[1], raw, w, rstd, positions, frequencies,
                                       options, v[0], v[1], room);
        });
  }
}

INSTANTIATE_TEST_SUITE_P(,
                         FusedOps,
                         testing::Values(DType::f32, DType::bf16, DType::f16),
                         [](const auto& type) { return std::string(dtype_name(type.param)); });

TEST(FusedContracts, ASumGoesWithItsBranch) {
  const Buffer x(DType::f32, {2, 4});
  const Buffer w(DType::f32, {4});
  const Buffer rstd(DType::f32, {2});
  const Buffer narrow(DType::f32, {2, 3});
  for (const OpTable* ops : {&ref_ops(), &cpu_ops()}) {
    const auto forward = [&](const View& branch, const View& sum) {
      return message_of([&] {
        ThreadExecutor executor(1);
        ops->norm_forward({&executor}, NormType::rms, x, branch, w, {}, 0, sum, x, rstd, {});
      });
    };
    EXPECT_EQ(forward(x, {}),
              "norm_forward: branch is f32 [2, 4] and sum absent, expected both or none");
    EXPECT_EQ(forward(narrow, x), "norm_forward: branch is f32 [2, 3], expected shape [2, 4]");
    EXPECT_EQ(message_of([&] {
                ThreadExecutor executor(1);
                ops->norm_backward_input({&executor}, NormType::rms, x, x, w, rstd, {}, narrow, x);
              }),
              "norm_backward_input: d_stream is f32 [2, 3], expected shape [2, 4]");
  }
}

TEST(FusedContracts, NormsOfHeadsFitTheHeads) {
  const Buffer heads(DType::f32, {2, 3, 4});
  const Buffer apart(DType::f32, {2, 3, 4}, 2);
  const Buffer positions(DType::i32, {2});
  const Buffer frequencies(DType::f64, {2});
  const Buffer each(DType::f32, {4});
  const Buffer all(DType::f32, {12});
  const Buffer tokens(DType::f32, {2});
  const Buffer norms(DType::f32, {2, 3});
  for (const OpTable* ops : {&ref_ops(), &cpu_ops()}) {
    const auto forward = [&](const View& x, const View& w, const View& turns, const View& rstd) {
      return message_of([&] {
        ThreadExecutor executor(1);
        ops->qk_norm_forward({&executor}, x, w, 0, positions, turns, {}, heads, heads, rstd);
      });
    };
    EXPECT_EQ(forward(apart, each, frequencies, norms), "no error");
    EXPECT_EQ(forward(heads, all, frequencies, tokens), "no error");
    EXPECT_EQ(forward(apart, all, frequencies, tokens),
              "qk_norm_forward: a norm over all heads needs them side by side");
    EXPECT_EQ(forward(heads, each, frequencies, tokens),
              "qk_norm_forward: rstd is f32 [2], expected one for each norm of 4");
    EXPECT_EQ(forward(heads, tokens, frequencies, tokens),
              "qk_norm_forward: w is f32 [2], expected shape [12]");
    EXPECT_EQ(forward(heads, each, norms, norms),
              "qk_norm_forward: frequencies is f32 [2, 3], expected shape [any]");
    EXPECT_EQ(message_of([&] {
                ThreadExecutor executor(1);
                ops->qk_norm_backward_input({&executor}, heads, heads, all, tokens, positions,
                                            frequencies, {}, heads, apart);
              }),
              "qk_norm_backward_input: a norm over all heads needs them side by side");
  }
}

}  // namespace
}  // namespace tera::kernels::test
