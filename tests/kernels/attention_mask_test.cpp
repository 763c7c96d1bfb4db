// What a query does not see does not reach it, even where the fast ops compute tiles in which some
// pairs are hidden: one value of an argument becomes NaN or infinite, and every row of the results
// that the reference leaves alone must keep its bits.
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/kernels/op_cases.h"
#include "tests/kernels/support/executors.h"
#include "tests/kernels/support/targets.h"

namespace tera::kernels::test {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// With the middle element of one argument changed: some queries see its position, others do not.
struct Change {
  std::size_t argument;
  double value;
};

std::vector<Buffer> run(const OpCase& one,
                        const OpTable& ops,
                        std::optional<Change> change = {},
                        int workers = 1) {
  std::vector<Buffer> arguments;
  for (const Buffer& given : one.arguments)
    arguments.push_back(given.clone());
  if (change) {
    Buffer& changed = arguments[change->argument];
    changed.set(changed.size() / 2, change->value);
  }
  ThreadExecutor executor(workers);
  one.run(ops, Context{&executor}, Views(arguments.begin(), arguments.end()));
  return arguments;
}

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

// Rows of an output: one per (sequence, position, head), so that those of out and lse correspond.
std::int64_t row_length(const Buffer& output) {
  return output.view().rank == 4 ? output.view().shape[3] : 1;
}

bool row_equals(const Buffer& a, const Buffer& b, std::int64_t row) {
  for (std::int64_t i = row * row_length(a); i < (row + 1) * row_length(a); ++i) {
    if (!same(a.get(i), b.get(i))) return false;
  }
  return true;
}

bool row_is_finite(const Buffer& a, std::int64_t row) {
  for (std::int64_t i = row * row_length(a); i < (row + 1) * row_length(a); ++i) {
    if (!std::isfinite(a.get(i))) return false;
  }
  return true;
}

// What NaN in the reference's argument reaches: it goes wherever it is seen, while an infinite
// score may be weighed with 0.
struct Reach {
  std::vector<Buffer> clean, dirty;

  Reach(const OpCase& one, std::size_t argument)
      : clean(run(one, ref_ops())), dirty(run(one, ref_ops(), Change{argument, kNaN})) {}
};

class AttentionMask : public testing::TestWithParam<DType> {
 protected:
  void check(const OpCase& one,
             const Reach& reach,
             const std::vector<Buffer>& clean,
             const Change& change) {
    const std::vector<Buffer> dirty = run(one, cpu_ops(), change);
    for (const std::size_t output : one.outputs) {
      // out comes before lse: a query whose out is spoilt may lose its lse too.
      const std::size_t judge = one.op == "attention_forward" ? one.outputs.front() : output;
      for (std::int64_t row = 0; row < clean[output].size() / row_length(clean[output]); ++row) {
        if (row_equals(reach.clean[judge], reach.dirty[judge], row)) {
          ++untouched_;
          ASSERT_TRUE(row_equals(clean[output], dirty[output], row))
              << "output " << output << ", row " << row;
        } else if (std::isnan(change.value) && !row_is_finite(reach.dirty[output], row)) {
          ++spoilt_;
          ASSERT_FALSE(row_is_finite(dirty[output], row)) << "output " << output << ", row " << row;
        }
      }
    }
  }

  std::int64_t untouched_ = 0;
  std::int64_t spoilt_ = 0;
};

TEST_P(AttentionMask, KeepsOutWhatIsNotFinite) {
  for (const OpCase& one : sequence_cases(GetParam())) {
    const bool forward = one.op == "attention_forward";
    if (!forward && one.op != "attention_backward") continue;
    std::vector<Reach> reaches;
    for (std::size_t argument = 0; argument < (forward ? 3U : 4U); ++argument)
      reaches.emplace_back(one, argument);
    for_each_target([&](const char* target) {
      const std::vector<Buffer> clean = run(one, cpu_ops());
      for (std::size_t argument = 0; argument < reaches.size(); ++argument) {
        for (const double value : {kNaN, kInfinity}) {
          SCOPED_TRACE(fmt::format("{}, {} {}, {} in argument {}", target, one.op, one.name, value,
                                   argument));
          check(one, reaches[argument], clean, {argument, value});
        }
      }
    });
  }
  EXPECT_GT(untouched_, 0);
  EXPECT_GT(spoilt_, 0);
}

// However the work is cut, into whole heads or into runs of keys and runs of queries.
TEST_P(AttentionMask, SpoilsTheSameBitsForEveryNumberOfWorkers) {
  for (const OpCase& one : sequence_cases(GetParam())) {
    const bool forward = one.op == "attention_forward";
    if (!forward && one.op != "attention_backward") continue;
    for (std::size_t argument = 0; argument < (forward ? 3U : 4U); ++argument) {
      for (const double value : {kNaN, kInfinity, -kInfinity}) {
        const Change change{argument, value};
        const std::vector<Buffer> expected = run(one, cpu_ops(), change);
        for (const int workers : {2, 3}) {
          const std::vector<Buffer> got = run(one, cpu_ops(), change, workers);
          for (const std::size_t output : one.outputs) {
            ASSERT_TRUE(got[output].same_bits(expected[output]))
                << one.op << " " << one.name << ", " << value << " in argument " << argument
                << ", output " << output << ", " << workers << " workers";
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(,
                         AttentionMask,
                         testing::Values(DType::f32, DType::bf16),
                         [](const auto& row) { return std::string(dtype_name(row.param)); });

}  // namespace
}  // namespace tera::kernels::test
