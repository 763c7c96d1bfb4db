// Products of bf16 pairs with AVX512-BF16: vdpbf16ps adds two products per lane and instruction,
// twice the rate of f32. Compiled for that instruction set alone and called only where the
// processor has it; elsewhere bf16 is widened to f32 when it is packed.
#include <algorithm>

#include <hwy/detect_compiler_arch.h>

#include "kernels/cpu/dot_kernel.h"
#include "kernels/cpu/gemm_kernel.h"
#include "kernels/cpu/peaks.h"

#if HWY_ARCH_X86_64
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")

namespace tera::kernels::cpu {
namespace {

constexpr int kRows = 12;
constexpr int kColumns = 32;

__m512bh as_pairs(__m512i units) {
  return reinterpret_cast<__m512bh>(units);
}

using U32x16 = std::uint32_t __attribute__((vector_size(64)));
using U16x16 = std::uint16_t __attribute__((vector_size(32)));

// As Bf16(float), lane by lane; not the processor's own conversion, which has no denormals.
void store_rounded(__m512 v, __mmask16 mask, bool add, Bf16* to) {
  if (add) {
    const auto held = reinterpret_cast<U16x16>(_mm256_maskz_loadu_epi16(mask, to));
    v = _mm512_add_ps(v, reinterpret_cast<__m512>(__builtin_convertvector(held, U32x16) << 16));
  }
  const auto bits = reinterpret_cast<U32x16>(v);
  const U32x16 nearest = bits + 0x7fffU + ((bits >> 16) & 1U);
  const U32x16 rounded = (bits & 0x7fffffffU) > 0x7f800000U ? bits | 0x400000U : nearest;
  _mm256_mask_storeu_epi16(
      to, mask, reinterpret_cast<__m256i>(__builtin_convertvector(rounded >> 16, U16x16)));
}

template <int kTileRows>
void multiply_rows(std::int64_t units,
                   const std::uint32_t* __restrict a,
                   const std::uint32_t* __restrict b,
                   const ProductTile& c,
                   std::int64_t cols,
                   const LinesAhead& ahead) {
  __m512 left[kTileRows];
  __m512 right[kTileRows];
#pragma GCC unroll 12
  for (int r = 0; r < kTileRows; ++r) {
    left[r] = _mm512_setzero_ps();
    right[r] = _mm512_setzero_ps();
  }
  if (c.add) {
#pragma GCC unroll 12
    for (int r = 0; r < kTileRows; ++r) {
      __builtin_prefetch(c.sums + r * c.stride, 1, 3);
      __builtin_prefetch(c.sums + r * c.stride + 16, 1, 3);
    }
  }
  for (std::int64_t u = 0; u < units; ++u) {
    const __m512bh b0 = as_pairs(_mm512_loadu_si512(b));
    const __m512bh b1 = as_pairs(_mm512_loadu_si512(b + 16));
#pragma GCC unroll 12
    for (int r = 0; r < kTileRows; ++r) {
      const __m512bh broadcast = as_pairs(_mm512_set1_epi32(static_cast<int>(a[r])));
      left[r] = _mm512_dpbf16_ps(left[r], broadcast, b0);
      right[r] = _mm512_dpbf16_ps(right[r], broadcast, b1);
    }
    a += kTileRows;
    b += kColumns;
    if (u < ahead.count) __builtin_prefetch(ahead.first + u * ahead.stride, 0, 2);
  }
  const auto mask_of = [&](std::int64_t first) {
    const std::int64_t n = cols - first;
    return static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
  };
  const __mmask16 left_mask = mask_of(0);
  const __mmask16 right_mask = mask_of(16);
  if (c.add) {
#pragma GCC unroll 12
    for (int r = 0; r < kTileRows; ++r) {
      const float* sums = c.sums + r * c.stride;
      left[r] = _mm512_add_ps(left[r], _mm512_maskz_loadu_ps(left_mask, sums));
      right[r] = _mm512_add_ps(right[r], _mm512_maskz_loadu_ps(right_mask, sums + 16));
    }
  }
  if (c.rounded != nullptr) {
#pragma GCC unroll 12
    for (int r = 0; r < kTileRows; ++r) {
      Bf16* to = c.rounded + r * c.rounded_stride;
      store_rounded(left[r], left_mask, c.add_rounded, to);
      store_rounded(right[r], right_mask, c.add_rounded, to + 16);
    }
    return;
  }
#pragma GCC unroll 12
  for (int r = 0; r < kTileRows; ++r) {
    float* to = c.sums + r * c.stride;
    _mm512_mask_storeu_ps(to, left_mask, left[r]);
    _mm512_mask_storeu_ps(to + 16, right_mask, right[r]);
  }
}

void multiply(std::int64_t rows,
              std::int64_t units,
              const std::uint32_t* a,
              const std::uint32_t* b,
              const ProductTile& c,
              std::int64_t cols,
              const LinesAhead& ahead) {
  using Rows = void (*)(std::int64_t, const std::uint32_t*, const std::uint32_t*,
                        const ProductTile&, std::int64_t, const LinesAhead&);
  static constexpr Rows kByRows[kRows] = {multiply_rows<1>,  multiply_rows<2>,  multiply_rows<3>,
                                          multiply_rows<4>,  multiply_rows<5>,  multiply_rows<6>,
                                          multiply_rows<7>,  multiply_rows<8>,  multiply_rows<9>,
                                          multiply_rows<10>, multiply_rows<11>, multiply_rows<12>};
  kByRows[rows - 1](units, a, b, c, cols, ahead);
}

// ---- dot products from memory (dot_kernel.h)

float sum_lanes(__m512 v) {
  alignas(64) float lanes[16];
  _mm512_store_ps(lanes, v);
  __m128 sum = _mm_add_ps(_mm_add_ps(_mm_load_ps(lanes), _mm_load_ps(lanes + 4)),
                          _mm_add_ps(_mm_load_ps(lanes + 8), _mm_load_ps(lanes + 12)));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

struct PairDots {
  using Sum = __m512;
  using Left = std::uint16_t;
  using Right = std::uint16_t;
  static constexpr std::int64_t kWidth = 32;
  static constexpr int kRows = 4;
  static constexpr int kCols = 6;

  static Sum zero() { return _mm512_setzero_ps(); }
  static __m512bh load(const std::uint16_t* p, std::int64_t count) {
    if (count >= kWidth) return as_pairs(_mm512_loadu_si512(p));
    return as_pairs(_mm512_maskz_loadu_epi16((1U << count) - 1U, p));
  }
  static Sum add_product(Sum sum, __m512bh left, __m512bh right) {
    return _mm512_dpbf16_ps(sum, left, right);
  }
  static float total(Sum sum) { return sum_lanes(sum); }
};

#include "kernels/cpu/dot_tile-inl.h"

// ---- the most this unit does (peaks.h)

double peak_loop(std::int64_t rounds, float* sink) {
  constexpr int kSums = 24;
  __m512 sums[kSums];
#pragma GCC unroll 24
  for (int i = 0; i < kSums; ++i)
    sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512bh ones = as_pairs(_mm512_set1_epi32(0x3f803f80));
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 24
    for (int i = 0; i < kSums; ++i)
      sums[i] = _mm512_dpbf16_ps(sums[i], ones, ones);
  }
  __m512 total = sums[0];
#pragma GCC unroll 24
  for (int i = 1; i < kSums; ++i)
    total = _mm512_add_ps(total, sums[i]);
  sink[2] = sum_lanes(total);
  return 2.0 * kSums * 32 * static_cast<double>(rounds);
}

}  // namespace
}  // namespace tera::kernels::cpu

#pragma GCC pop_options
#endif

namespace tera::kernels::cpu {

#if HWY_ARCH_X86_64
namespace {

// The width of the f32 kernel tells what Highway runs on, so that a test that forbids AVX-512
// forbids this too. Not hwy::SupportedTargets(): it asks the processor, which takes microseconds,
// far more where a hypervisor answers.
bool has_bf16_dot() {
  return f32_gemm_kernel().nr == kColumns && __builtin_cpu_supports("avx512bf16") != 0;
}

}  // namespace

const GemmKernel* bf16_gemm_kernel() {
  static const GemmKernel kKernel = {kRows, kColumns, 2, pair_panel_packer(), multiply};
  return has_bf16_dot() ? &kKernel : nullptr;
}

DotTile bf16_dot_tile() {
  return has_bf16_dot() ? dot_tile<PairDots> : nullptr;
}

PeakLoop bf16_peak_loop() {
  return has_bf16_dot() ? peak_loop : nullptr;
}
#else
const GemmKernel* bf16_gemm_kernel() {
  return nullptr;
}

DotTile bf16_dot_tile() {
  return nullptr;
}

PeakLoop bf16_peak_loop() {
  return nullptr;
}
#endif

}  // namespace tera::kernels::cpu
