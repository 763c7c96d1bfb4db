// Register-only loops for the arithmetic peak: enough independent accumulators to fill every
// multiply-add pipe (latency 4 x 2 pipes = 8, twice that for margin). Streaming triad for memory.
#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <vector>

#include <time.h>

#include "kernels/bench.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tera::kernels {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kAccumulators = 16;
constexpr std::int64_t kIterations = 400000;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Each loop runs kIterations x kAccumulators multiply-adds and returns how many flops one of them
// is; the sum is written out so that the compiler keeps the work.
using PeakLoop = double (*)(float* sink);

double scalar_loop(float* sink) {
  float acc[kAccumulators] = {};
  for (std::int64_t i = 0; i < kIterations; ++i) {
    for (float& a : acc)
      a = a * 0.999F + 0.001F;
  }
  for (const float a : acc)
    *sink += a;
  return 2;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) double avx2_loop(float* sink) {
  __m256 acc[kAccumulators];
  for (__m256& a : acc)
    a = _mm256_setzero_ps();
  const __m256 x = _mm256_set1_ps(0.999F);
  const __m256 y = _mm256_set1_ps(0.001F);
  for (std::int64_t i = 0; i < kIterations; ++i) {
    for (__m256& a : acc)
      a = _mm256_fmadd_ps(a, x, y);
  }
  for (const __m256 a : acc)
    *sink += _mm256_cvtss_f32(a);
  return 2 * 8;
}

__attribute__((target("avx512f"))) double avx512_loop(float* sink) {
  __m512 acc[kAccumulators];
  for (__m512& a : acc)
    a = _mm512_setzero_ps();
  const __m512 x = _mm512_set1_ps(0.999F);
  const __m512 y = _mm512_set1_ps(0.001F);
  for (std::int64_t i = 0; i < kIterations; ++i) {
    for (__m512& a : acc)
      a = _mm512_fmadd_ps(a, x, y);
  }
  for (const __m512 a : acc)
    *sink += _mm512_cvtss_f32(a);
  return 2 * 16;
}

__attribute__((target("avx512f,avx512bf16"))) double avx512_bf16_loop(float* sink) {
  __m512 acc[kAccumulators];
  for (__m512& a : acc)
    a = _mm512_setzero_ps();
  const __m512bh x = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.01F), _mm512_set1_ps(0.02F));
  for (std::int64_t i = 0; i < kIterations; ++i) {
    for (__m512& a : acc)
      a = _mm512_dpbf16_ps(a, x, x);
  }
  for (const __m512 a : acc)
    *sink += _mm512_cvtss_f32(a);
  return 2 * 32;
}
#endif

PeakLoop f32_loop() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return avx512_loop;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2_loop;
#endif
  return scalar_loop;
}

PeakLoop bf16_loop() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) return avx512_bf16_loop;
#endif
  return f32_loop();
}

// Seconds this thread has spent on a processor.
double thread_cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Per worker by processor time, so that a busy machine shows the same peak as an idle one.
double peak_flops_per_s(const Context& context, PeakLoop loop) {
  constexpr int kRounds = 5;
  const int workers = context.executor->num_workers();
  std::vector<double> best(static_cast<std::size_t>(workers), 0);
  for (int round = 0; round < kRounds; ++round) {
    context.executor->parallel_for(workers, [&](std::int64_t task, int) {
      const double start = thread_cpu_s();
      float sink = 0;
      const double flops = loop(&sink) * kAccumulators * static_cast<double>(kIterations);
      const double rate = sink > -1e30F ? flops / (thread_cpu_s() - start) : 0;
      double& mine = best[static_cast<std::size_t>(task)];
      mine = std::max(mine, rate);
    });
  }
  return std::accumulate(best.begin(), best.end(), 0.0);
}

double triad_bytes_per_s(const Context& context) {
  constexpr std::int64_t kElements = 16 << 20;  // 64 MiB per array
  constexpr std::int64_t kChunk = 1 << 18;
  constexpr int kRounds = 4;
  const std::unique_ptr<float[]> a(new float[kElements]);
  const std::unique_ptr<float[]> b(new float[kElements]);
  const std::unique_ptr<float[]> y(new float[kElements]);
  const auto each_chunk = [&](const auto& body) {
    context.executor->parallel_for(kElements / kChunk, [&](std::int64_t task, int) {
      for (std::int64_t i = task * kChunk; i < (task + 1) * kChunk; ++i)
        body(i);
    });
  };
  each_chunk([&](std::int64_t i) {
    a[static_cast<std::size_t>(i)] = 1.0F;
    b[static_cast<std::size_t>(i)] = 2.0F;
    y[static_cast<std::size_t>(i)] = 0.0F;
  });
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const Clock::time_point start = Clock::now();
    each_chunk([&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      y[at] = a[at] + 0.5F * b[at];
    });
    best =
        std::max(best, 3.0 * sizeof(float) * static_cast<double>(kElements) / seconds_since(start));
  }
  return best;
}

}  // namespace

Peaks measure_peaks(const Context& context) {
  return {.f32_flops_per_s = peak_flops_per_s(context, f32_loop()),
          .bf16_flops_per_s = peak_flops_per_s(context, bf16_loop()),
          .memory_bytes_per_s = triad_bytes_per_s(context)};
}

}  // namespace tera::kernels
