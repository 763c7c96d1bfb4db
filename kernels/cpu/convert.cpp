#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cpp"
#include "kernels/cpu/convert.h"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {

void round_row_simd(const float* from, Bf16* to, std::int64_t n, bool add) {
  if (add) {
    for_vectors(
        n, [&](std::int64_t i) { store(hn::Add(load(from + i), load(to + i)), to + i); },
        [&](std::int64_t i) { to[i] = Bf16(from[i] + static_cast<float>(to[i])); });
    return;
  }
  for_vectors(
      n, [&](std::int64_t i) { store(load(from + i), to + i); },
      [&](std::int64_t i) { to[i] = Bf16(from[i]); });
}

void widen_row_simd(const Bf16* from, float* to, std::int64_t n) {
  for_vectors(
      n, [&](std::int64_t i) { store(load(from + i), to + i); },
      [&](std::int64_t i) { to[i] = static_cast<float>(from[i]); });
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(round_row_simd);
HWY_EXPORT(widen_row_simd);

void round_row(const float* from, Bf16* to, std::int64_t n, bool add) {
  HWY_DYNAMIC_DISPATCH(round_row_simd)(from, to, n, add);
}

void widen_row(const Bf16* from, float* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(widen_row_simd)(from, to, n);
}

}  // namespace tera::kernels::cpu
#endif
