// Ceilings of this processor: the figures that op and training speeds are held against.
#pragma once
#include "kernels/ops.h"

namespace tera::kernels {

struct Peaks {                 // of all workers of the executor together
  double f32_flops_per_s = 0;  // fused multiply-adds on registers, counted as two
  double bf16_flops_per_s =
      0;  // bf16 dot products where the processor has them, else the f32 figure
  double memory_bytes_per_s = 0;  // triad y = a + s b over arrays far larger than the caches
};

// Takes about half a second; best of several rounds, since other programs only slow it down.
Peaks measure_peaks(const Context& context);

}  // namespace tera::kernels
