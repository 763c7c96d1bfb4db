#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/peaks.cpp"
#include "kernels/cpu/peaks.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/bench.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {

// More sums than latency times ports of any processor, and no memory.
double fma_loop(std::int64_t rounds, float* sink) {
  constexpr int kSums = kWidth >= 16 ? 24 : 12;
  const F32 d;
  VF sums[kSums];
#pragma GCC unroll 24
  for (int i = 0; i < kSums; ++i)
    sums[i] = hn::Set(d, static_cast<float>(i));
  const VF x = hn::Set(d, sink[0]);
  const VF y = hn::Set(d, sink[1]);
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 24
    for (int i = 0; i < kSums; ++i)
      sums[i] = hn::MulAdd(x, y, sums[i]);
  }
  VF total = sums[0];
#pragma GCC unroll 24
  for (int i = 1; i < kSums; ++i)
    total = hn::Add(total, sums[i]);
  sink[2] = sum_lanes(total);
  return 2.0 * kSums * static_cast<double>(kWidth) * static_cast<double>(rounds);
}

// Not HWY_DYNAMIC_DISPATCH(fma_loop): as the first of all it would ask the processor what it has
// with each call.
PeakLoop f32_peak_loop() {
  return fma_loop;
}

// In place: where an array is only written, the processor may read it too, uncounted.
void scale_and_add(const float* b, float scale, std::int64_t n, float* a) {
  const VF s = hn::Set(F32(), scale);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(hn::MulAdd(s, load_n(a + i, count), load_n(b + i, count)), a + i, count);
  });
}

float sum(const float* x, std::int64_t n) {
  constexpr std::int64_t kSums = 8;
  VF sums[kSums];
  for (VF& each : sums)
    each = hn::Zero(F32());
  for (std::int64_t i = 0; i + kSums * kWidth <= n; i += kSums * kWidth) {
#pragma GCC unroll 8
    for (std::int64_t s = 0; s < kSums; ++s)
      sums[s] = hn::Add(sums[s], load(x + i + s * kWidth));
  }
  VF total = sums[0];
  for (std::int64_t s = 1; s < kSums; ++s)
    total = hn::Add(total, sums[s]);
  return sum_lanes(total);
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels {
namespace cpu {

HWY_EXPORT(f32_peak_loop);
HWY_EXPORT(scale_and_add);
HWY_EXPORT(sum);

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Highest sum over the workers of what `work` does per second, over five rounds of `seconds` / 5.
// work(worker) does a small piece and returns its size.
template <class Work>
double best_rate(Executor& executor, double seconds, Work&& work) {
  constexpr int kRounds = 5;
  const int workers = executor.num_workers();
  std::vector<double> rates(static_cast<std::size_t>(workers));
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    executor.parallel_for(workers, [&](std::int64_t task, int) {
      const Clock::time_point start = Clock::now();
      double done = 0;
      while (seconds_since(start) < seconds / kRounds)
        done += work(task);
      rates[static_cast<std::size_t>(task)] = done / seconds_since(start);
    });
    double sum = 0;
    for (const double rate : rates)
      sum += rate;
    best = std::max(best, sum);
  }
  return best;
}

// Registers are each worker's own: the sum of the highest rates of a tenth of a millisecond, in
// which nothing else was on the processor, while all workers run.
double flops_rate(Executor& executor, double seconds, PeakLoop loop) {
  constexpr std::int64_t kLoopRounds = 20000;
  std::vector<double> rates(static_cast<std::size_t>(executor.num_workers()));
  executor.parallel_for(executor.num_workers(), [&](std::int64_t task, int) {
    double& best = rates[static_cast<std::size_t>(task)];
    float sink[3] = {1.0F, 0.5F, 0.0F};
    for (const Clock::time_point begin = Clock::now();
         best == 0 || seconds_since(begin) < seconds;) {
      const Clock::time_point start = Clock::now();
      const double flops = loop(kLoopRounds, sink);
      best = std::max(best, flops / seconds_since(start));
    }
  });
  // Workers beyond the processors run one after the other.
  const double processors = std::max(1U, std::thread::hardware_concurrency());
  return std::accumulate(rates.begin(), rates.end(), 0.0) *
         std::min(1.0, processors / executor.num_workers());
}

double memory_rate(Executor& executor, double seconds) {
  constexpr std::int64_t kElements = 16 << 20;  // 64 MiB an array, shared out
  const int workers = executor.num_workers();
  std::vector<float> a(kElements, 2.0F);
  std::vector<float> b(kElements, 1.0F);
  const std::int64_t part = kElements / workers;
  return best_rate(executor, seconds, [&](std::int64_t task) {
    const std::int64_t at = task * part;
    HWY_DYNAMIC_DISPATCH(scale_and_add)(b.data() + at, 0.5F, part, a.data() + at);
    return 12.0 * static_cast<double>(part);
  });
}

double read_rate(Executor& executor, double seconds) {
  constexpr std::int64_t kElements = 64 << 20;  // 256 MiB, shared out
  const int workers = executor.num_workers();
  auto* x = reinterpret_cast<float*>(executor.scratch(-1, 3, kElements * sizeof(float)));
  std::fill(x, x + kElements, 1.0F);
  const std::int64_t part = kElements / workers;
  // Read at a time, so that every worker ends on time.
  const std::int64_t piece = std::min<std::int64_t>(1 << 20, part);
  std::vector<std::int64_t> place(static_cast<std::size_t>(workers));
  volatile float sink = 0;
  return best_rate(executor, seconds, [&](std::int64_t task) {
    std::int64_t& at = place[static_cast<std::size_t>(task)];
    if (at + piece > part) at = 0;
    const float total = HWY_DYNAMIC_DISPATCH(sum)(x + task * part + at, piece);
    if (total < 0) sink = total;  // never: but the sum must be made
    at += piece;
    return static_cast<double>(piece * sizeof(float));
  });
}

}  // namespace
}  // namespace cpu

Peaks measure_peaks(Executor& executor, double seconds) {
  Peaks peaks;
  peaks.f32_flops_per_s =
      cpu::flops_rate(executor, seconds, HWY_DYNAMIC_DISPATCH(cpu::f32_peak_loop)());
  const cpu::PeakLoop bf16 = cpu::bf16_peak_loop();
  peaks.bf16_flops_per_s =
      bf16 == nullptr ? peaks.f32_flops_per_s : cpu::flops_rate(executor, seconds, bf16);
  peaks.memory_bytes_per_s = cpu::memory_rate(executor, seconds);
  peaks.read_bytes_per_s = cpu::read_rate(executor, seconds);
  return peaks;
}

}  // namespace tera::kernels
#endif
