// Scratch of an executor as units of panels or as f32.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace tera::kernels::cpu {

inline std::uint32_t* scratch_units(Executor& executor, int worker, int slot, std::int64_t n) {
  const auto bytes = static_cast<std::size_t>(n) * sizeof(std::uint32_t);
  return reinterpret_cast<std::uint32_t*>(executor.scratch(worker, slot, bytes));
}

inline float* scratch_f32(Executor& executor, int worker, int slot, std::int64_t n) {
  return reinterpret_cast<float*>(scratch_units(executor, worker, slot, n));
}

}  // namespace tera::kernels::cpu
