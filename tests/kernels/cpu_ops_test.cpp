// The fast table against the reference on every row of op_cases.h, and the promises of ops.h that
// hold for both: nothing written beside the outputs, the same bits for every number of workers.
#include <algorithm>
#include <cmath>
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

// |got - expected| <= spacing of the output |expected| + spacing of the math * growth * scale,
// where rounding errors of a sum of n terms grow like sqrt(n) and scale is the largest output or
// term.
std::string compare(const OpCase& one, const Buffer& got, const Buffer& expected) {
  double scale = one.term;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    if (std::isfinite(expected.get(i))) scale = std::max(scale, std::abs(expected.get(i)));
  }
  const DType math = one.rounds_inside ? one.compute : accumulate_dtype(one.compute);
  const double growth = 2.0 * (2.0 + std::sqrt(one.reduction));
  double worst = 0;
  std::int64_t at = -1;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double want = expected.get(i);
    const double have = got.get(i);
    if (have == want) continue;
    const double bound = spacing(expected.dtype()) * std::abs(want) +
                         (spacing(expected.dtype()) == 0 ? 0 : spacing(math) * growth * scale);
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

TEST_P(CpuOps, AgreesWithTheReference) {
  for (const OpCase& one : all_cases(GetParam())) {
    const std::vector<Buffer> expected = run(one, ref_ops(), 1);
    const std::vector<Buffer> got = run(one, cpu_ops(), 2);
    for (const std::size_t output : one.outputs) {
      const std::string difference = compare(one, got[output], expected[output]);
      EXPECT_TRUE(difference.empty())
          << one.op << " " << one.name << ", argument " << output << ": " << difference;
    }
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
        const std::string difference = compare(cases[i], got[output], expected[i][output]);
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
