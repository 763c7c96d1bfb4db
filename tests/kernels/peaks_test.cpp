#include <algorithm>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "kernels/bench.h"
#include "tests/kernels/support/executors.h"

namespace tera::kernels::test {
namespace {

TEST(Peaks, AreMeasuredAndPlausible) {
  ThreadExecutor executor(1);
  const Peaks peaks = measure_peaks(executor, 0.02);
  // Any processor of this century: above 1 GFLOP/s and 0.1 GB/s; none reaches 10 TFLOP/s on one
  // core.
  EXPECT_GT(peaks.f32_flops_per_s, 1e9);
  EXPECT_LT(peaks.f32_flops_per_s, 1e13);
  EXPECT_GE(peaks.bf16_flops_per_s, 0.5 * peaks.f32_flops_per_s);
  EXPECT_GT(peaks.memory_bytes_per_s, 1e8);
  EXPECT_GT(peaks.read_bytes_per_s, 1e8);
  RecordProperty("f32_gflops_per_s", std::to_string(peaks.f32_flops_per_s * 1e-9));
}

// Each worker's share of the array is then smaller than the piece that few workers read at a time.
TEST(Peaks, AreMeasuredByMoreWorkersThanPieces) {
  ThreadExecutor executor(80);
  const Peaks peaks = measure_peaks(executor, 0.02);
  EXPECT_GT(peaks.read_bytes_per_s, 1e8);
  // Workers that wait for a processor add nothing.
  ThreadExecutor one(1);
  const double processors = std::min(80U, std::max(1U, std::thread::hardware_concurrency()));
  EXPECT_LT(peaks.f32_flops_per_s, 1.2 * processors * measure_peaks(one, 0.1).f32_flops_per_s);
}

}  // namespace
}  // namespace tera::kernels::test
