#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cpp"
#include "kernels/cpu/convert.h"

#include <algorithm>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {

void round_row_simd(const float* from, Bf16* to, std::int64_t n, bool add) {
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF v = load_n(from + i, count);
    store_n(add ? hn::Add(v, load_n(to + i, count)) : v, to + i, count);
  });
}

void widen_row_simd(const Bf16* from, float* to, std::int64_t n) {
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(load_n(from + i, count), to + i, count);
  });
}

void add_f32_simd(const float* from, float* to, std::int64_t n) {
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(hn::Add(load_n(to + i, count), load_n(from + i, count)), to + i, count);
  });
}

void add_bf16_simd(const Bf16* from, float* to, std::int64_t n) {
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(hn::Add(load_n(to + i, count), load_n(from + i, count)), to + i, count);
  });
}

namespace {

// As many rows at a time as streams are fetched ahead; the sum stays in its register meanwhile.
template <class T>
void add_rows(const T* from, std::int64_t stride, std::int64_t rows, float* to, std::int64_t n) {
  constexpr std::int64_t kRows = 8;
  for (std::int64_t first = 0; first < rows; first += kRows) {
    const std::int64_t end = std::min(rows, first + kRows);
    for_vectors(n, [&](std::int64_t i, std::int64_t count) {
      VF sum = load_n(to + i, count);
      for (std::int64_t r = first; r < end; ++r)
        sum = hn::Add(sum, load_n(from + r * stride + i, count));
      store_n(sum, to + i, count);
    });
  }
}

}  // namespace

void add_rows_f32_simd(
    const float* from, std::int64_t stride, std::int64_t rows, float* to, std::int64_t n) {
  add_rows(from, stride, rows, to, n);
}

void add_rows_bf16_simd(
    const Bf16* from, std::int64_t stride, std::int64_t rows, float* to, std::int64_t n) {
  add_rows(from, stride, rows, to, n);
}

void add_to_bf16_simd(const Bf16* from, Bf16* to, std::int64_t n) {
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(hn::Add(load_n(to + i, count), load_n(from + i, count)), to + i, count);
  });
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(round_row_simd);
HWY_EXPORT(widen_row_simd);
HWY_EXPORT(add_f32_simd);
HWY_EXPORT(add_bf16_simd);
HWY_EXPORT(add_to_bf16_simd);
HWY_EXPORT(add_rows_f32_simd);
HWY_EXPORT(add_rows_bf16_simd);

void round_row(const float* from, Bf16* to, std::int64_t n, bool add) {
  HWY_DYNAMIC_DISPATCH(round_row_simd)(from, to, n, add);
}

void widen_row(const Bf16* from, float* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(widen_row_simd)(from, to, n);
}

void add_row_f32(const float* from, float* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(add_f32_simd)(from, to, n);
}

void add_row_bf16(const Bf16* from, float* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(add_bf16_simd)(from, to, n);
}

void add_row_to_bf16(const Bf16* from, Bf16* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(add_to_bf16_simd)(from, to, n);
}

void add_rows_f32(
    const float* from, std::int64_t stride, std::int64_t rows, float* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(add_rows_f32_simd)(from, stride, rows, to, n);
}

void add_rows_bf16(
    const Bf16* from, std::int64_t stride, std::int64_t rows, float* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(add_rows_bf16_simd)(from, stride, rows, to, n);
}

void store_row(const float* from, DType dtype, void* to, std::int64_t n) {
  if (dtype == DType::bf16) return round_row(from, static_cast<Bf16*>(to), n, false);
  std::copy_n(from, n, static_cast<float*>(to));
}

}  // namespace tera::kernels::cpu
#endif
