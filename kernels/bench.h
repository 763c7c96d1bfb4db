// What this processor can do at most, measured: the yardstick of op benchmarks and the numbers of a
// device profile.
#pragma once
#include "kernels/ops.h"

namespace tera::kernels {

struct Peaks {
  double f32_flops_per_s = 0;     // fused multiply-adds in registers, all workers together
  double bf16_flops_per_s = 0;    // as products of bf16 run here: f32 where there is no bf16 unit
  double memory_bytes_per_s = 0;  // a = b + s a over arrays beyond any cache, 12 B an element
  double read_bytes_per_s = 0;    // the sum of such an array

  // Of products of that dtype; those of f16 are widened to f32.
  double flops_per_s(DType dtype) const {
    return dtype == DType::bf16 ? bf16_flops_per_s : f32_flops_per_s;
  }
};

// Takes about `seconds` per number, on all workers of the executor. Best of several rounds, so that
// a busy machine costs time and not accuracy.
Peaks measure_peaks(Executor& executor, double seconds = 0.3);

}  // namespace tera::kernels
