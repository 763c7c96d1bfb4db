// The norms of norm.cpp on one row of n elements, one set per instruction set.
#pragma once
#include <cstdint>

#include "kernels/bf16.h"

namespace tera::kernels::cpu {

// T is the compute type. `centered` is true for layer norms; b, mean and db may be null.
template <class T>
struct NormRowsOf {
  // Of sum = x + branch when there is a branch.
  void (*forward)(const T* x,
                  const T* branch,
                  T* sum,
                  const T* w,
                  const T* b,
                  bool centered,
                  float eps,
                  std::int64_t n,
                  T* y,
                  float* rstd,
                  float* mean);
  void (*input)(const T* dy,
                const T* x,
                const T* w,
                bool centered,
                float rstd,
                float mean,
                const T* d_stream,  // may be null
                std::int64_t n,
                T* dx);
  // dw, db += the row's part.
  void (*weight)(
      const T* dy, const T* x, float rstd, float mean, std::int64_t n, float* dw, float* db);
};

struct NormRows {
  NormRowsOf<float> f32;
  NormRowsOf<Bf16> bf16;
};

// Those of this processor.
const NormRows& norm_rows_here();

}  // namespace tera::kernels::cpu
