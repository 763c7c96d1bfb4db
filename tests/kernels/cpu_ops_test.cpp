// The fast table against the reference on every row of op_cases.h, and the promises of ops.h that
// hold for both: nothing written beside the outputs, the same bits for every number of workers.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/kernels/op_cases.h"
#include "tests/kernels/support/executors.h"
#include "tests/kernels/support/targets.h"

namespace tera::kernels::test {
namespace {

// Distance of neighbouring values relative to them: two correct roundings differ by at most this.
double spacing(DType dtype) {
  if (dtype == DType::f64) return 0x1p-52;
  if (dtype == DType::bf16) return 0x1p-7;
  if (dtype == DType::f16) return 0x1p-10;
  return dtype == DType::f32 ? 0x1p-23 : 0.0;
}

std::vector<Buffer> clone(const std::vector<Buffer>& arguments) {
  std::vector<Buffer> copies;
  for (const Buffer& argument : arguments)
    copies.push_back(argument.clone());
  return copies;
}

std::vector<Buffer> run(const OpCase& one, const OpTable& ops, int workers) {
  std::vector<Buffer> arguments = clone(one.arguments);
  ThreadExecutor executor(workers);
  Views views(arguments.begin(), arguments.end());
  one.run(ops, Context{&executor}, views);
  return arguments;
}

std::int64_t row_width(const Buffer& buffer) {
  return buffer.view().shape[static_cast<std::size_t>(buffer.view().rank - 1)];
}

// Root mean square of row `row`.
double row_rms(const Buffer& buffer, std::int64_t row) {
  const std::int64_t width = row_width(buffer);
  double squares = 0;
  for (std::int64_t i = row * width; i < (row + 1) * width; ++i)
    squares += buffer.get(i) * buffer.get(i);
  return std::sqrt(squares / static_cast<double>(width));
}

// How far the elements of an output may be from the expected ones, the sum of
// - its own rounding on both sides: spacing of its dtype |expected|;
// - the rounding of values on the way to it: spacing of the compute dtype * OpCase::rounded_terms;
// - the rounding of the math: spacing of the accumulation dtype * growth * scale, where errors of a
//   sum of n terms grow like sqrt(n) and scale is the largest output or term;
// - where factors of a product are rounded to bf16 on the way (OpCase::rounds_inside): each term of
//   the sum moves by up to u = 2^-8 of itself, evenly spread, so that the sum of independent terms
//   moves by u / sqrt(3) of the root of the sum of their squares, for terms of both signs the root
//   mean square of the elements of its row. 3 u is five of these deviations.
std::vector<double> bounds(const OpCase& one,
                           const std::vector<Buffer>& arguments,
                           std::size_t output) {
  const Buffer& expected = arguments[output];
  std::vector<double> all(static_cast<std::size_t>(expected.size()));
  const double rounding = spacing(expected.dtype());
  if (rounding == 0) return all;  // integers
  double scale = one.term;
  for (const double value : expected.values()) {
    if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
  }
  const double growth = 2.0 * (2.0 + std::sqrt(one.reduction));
  const bool rounds_inside = one.rounds_inside && one.compute == DType::bf16 &&
                             (expected.dtype() == DType::bf16 || expected.view().rank == 4);
  double moved = 0;  // by roundings inside
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    if (rounds_inside && i % row_width(expected) == 0)
      moved = 3 * 0x1p-8 * row_rms(expected, i / row_width(expected));
    all[static_cast<std::size_t>(i)] = rounding * std::abs(expected.get(i)) +
                                       spacing(accumulate_dtype(one.compute)) * growth * scale +
                                       moved;
    if (one.rounded_terms) {
      all[static_cast<std::size_t>(i)] +=
          spacing(one.compute) * one.rounded_terms(arguments, output, i);
    }
  }
  return all;
}

std::string compare(const OpCase& one,
                    const Buffer& got,
                    const std::vector<Buffer>& arguments,
                    std::size_t output) {
  const Buffer& expected = arguments[output];
  const std::vector<double> bound_of = bounds(one, arguments, output);
  double worst = 0;
  std::int64_t at = -1;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double want = expected.get(i);
    const double have = got.get(i);
    if (have == want) continue;
    const double bound = bound_of[static_cast<std::size_t>(i)];
    const double error = std::abs(have - want);
    if (!(error <= bound) && !(error / bound <= worst)) {
      worst = bound > 0 ? error / bound : HUGE_VAL;
      at = i;
    }
  }
  if (at < 0) return {};
  return fmt::format("element {} is {}, expected {}, {:.3g} times the tolerance", at, got.get(at),
                     expected.get(at), worst);
}

class CpuOps : public testing::TestWithParam<DType> {};
class CpuTargets : public testing::TestWithParam<DType> {};  // f64 has no forms of its own

// How many elements of an output could be 0 and pass.
struct Zeros {
  std::int64_t elements = 0;  // that are not 0
  std::int64_t passing = 0;

  void count(const OpCase& one, const std::vector<Buffer>& arguments, std::size_t output) {
    const Buffer& expected = arguments[output];
    const std::vector<double> bound_of = bounds(one, arguments, output);
    for (std::int64_t i = 0; i < expected.size(); ++i) {
      const double size = std::abs(expected.get(i));
      elements += size != 0;
      passing += size != 0 && size <= bound_of[static_cast<std::size_t>(i)];
    }
  }
};

// Within bounds that an op would not keep by leaving its outputs at 0: 5 % are the tails of
// activations, which f32 has beside much larger values.
TEST_P(CpuOps, AgreesWithTheReference) {
  std::map<std::string, Zeros> zeros;
  for (const OpCase& one : all_cases(GetParam())) {
    const std::vector<Buffer> expected = run(one, ref_ops(), 1);
    const std::vector<Buffer> got = run(one, cpu_ops(), 2);
    for (const std::size_t output : one.outputs) {
      const std::string difference = compare(one, got[output], expected, output);
      EXPECT_TRUE(difference.empty())
          << one.op << " " << one.name << ", argument " << output << ": " << difference;
      zeros[fmt::format("{}, argument {}", one.op, output)].count(one, expected, output);
    }
  }
  for (const auto& [output, count] : zeros) {
    EXPECT_LE(count.passing, count.elements / 20)
        << output << ": so many of " << count.elements << " elements could be 0";
  }
}

TEST_P(CpuTargets, AgreeWithTheReference) {
  const std::vector<OpCase> cases = all_cases(GetParam());
  std::vector<std::vector<Buffer>> expected;
  for (const OpCase& one : cases)
    expected.push_back(run(one, ref_ops(), 1));
  for_each_target([&](const char* target) {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const std::vector<Buffer> got = run(cases[i], cpu_ops(), 1);
      for (const std::size_t output : cases[i].outputs) {
        const std::string difference = compare(cases[i], got[output], expected[i], output);
        EXPECT_TRUE(difference.empty()) << target << ", " << cases[i].op << " " << cases[i].name
                                        << ", argument " << output << ": " << difference;
      }
    }
  });
}

TEST_P(CpuOps, GivesTheSameBitsForEveryNumberOfWorkers) {
  for (const OpCase& one : all_cases(GetParam())) {
    const std::vector<Buffer> expected = run(one, cpu_ops(), 1);
    for (const int workers : {2, 3}) {
      const std::vector<Buffer> got = run(one, cpu_ops(), workers);
      for (std::size_t i = 0; i < got.size(); ++i) {
        EXPECT_TRUE(got[i].same_bits(expected[i]))
            << one.op << " " << one.name << ", argument " << i << ", " << workers << " workers";
      }
    }
  }
}

TEST_P(CpuOps, WriteTheirOutputsAndNothingElse) {
  for (const OpTable* ops : {&ref_ops(), &cpu_ops()}) {
    for (const OpCase& one : all_cases(GetParam())) {
      const std::vector<Buffer> got = run(one, *ops, 1);
      for (std::size_t i = 0; i < got.size(); ++i) {
        EXPECT_TRUE(got[i].padding_intact()) << ops->name << " " << one.op << " " << one.name
                                             << " wrote between the rows of argument " << i;
        if (std::find(one.outputs.begin(), one.outputs.end(), i) != one.outputs.end()) continue;
        EXPECT_TRUE(got[i].same_bits(one.arguments[i]))
            << ops->name << " " << one.op << " " << one.name << " changed argument " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(,
                         CpuOps,
                         testing::Values(DType::f32, DType::bf16, DType::f16, DType::f64),
                         [](const auto& row) { return std::string(dtype_name(row.param)); });

INSTANTIATE_TEST_SUITE_P(,
                         CpuTargets,
                         testing::Values(DType::f32, DType::bf16, DType::f16),
                         [](const auto& row) { return std::string(dtype_name(row.param)); });

// OpTable is a name and function pointers, nothing else.
TEST(OpTable, IsFullAndEveryOpHasCases) {
  constexpr std::size_t kNumOps = sizeof(OpTable) / sizeof(void*) - 1;
  std::set<std::string> ops;
  for (const OpCase& one : all_cases(DType::f32))
    ops.insert(one.op);
  EXPECT_EQ(ops.size(), kNumOps);
  for (const OpTable* table : {&ref_ops(), &cpu_ops()}) {
    const auto* entries = reinterpret_cast<void* const*>(table);
    for (std::size_t i = 0; i <= kNumOps; ++i)
      EXPECT_NE(entries[i], nullptr) << table->name << ", entry " << i;
  }
}

}  // namespace
}  // namespace tera::kernels::test
