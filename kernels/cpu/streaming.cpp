#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/streaming.cpp"
#include "kernels/cpu/streaming.h"

#include <algorithm>

#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/last_level_cache.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kLineBytes = 64;  // of the caches
static_assert(4 * kWidth <= kLineBytes);

// line(i) for the whole lines of to [n], i its first element, and part(begin, end) for what is
// before and behind them.
template <class T, class Part, class Line>
void for_lines(const T* to, std::int64_t n, Part&& part, Line&& line) {
  constexpr auto kElements = kLineBytes / static_cast<std::int64_t>(sizeof(T));
  const auto past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % kLineBytes);
  const std::int64_t first =
      std::min(n, (kLineBytes - past) % kLineBytes / static_cast<std::int64_t>(sizeof(T)));
  const std::int64_t last = first + (n - first) / kElements * kElements;
  part(std::int64_t{0}, first);
  for (std::int64_t i = first; i < last; i += kElements)
    line(i);
  part(last, n);
  hwy::FlushStream();
}

void convert_part(const auto* from, auto* to, std::int64_t begin, std::int64_t end) {
  for_vectors(end - begin, [&](std::int64_t i, std::int64_t count) {
    store_n(load_n(from + begin + i, count), to + begin + i, count);
  });
}

}  // namespace

void zeros(std::byte* to, std::int64_t n) {
  for_lines(
      to, n,
      [&](std::int64_t begin, std::int64_t end) { std::fill(to + begin, to + end, std::byte{0}); },
      [&](std::int64_t i) {
        auto* words = reinterpret_cast<float*>(to + i);
        for (std::int64_t j = 0; j < kLineBytes / 4; j += kWidth)
          hn::Stream(hn::Zero(F32()), F32(), words + j);
      });
}

void widened(const Bf16* from, float* to, std::int64_t n) {
  for_lines(
      to, n, [&](std::int64_t begin, std::int64_t end) { convert_part(from, to, begin, end); },
      [&](std::int64_t i) {
        for (std::int64_t j = 0; j < kLineBytes / 4; j += kWidth)
          hn::Stream(load(from + i + j), F32(), to + i + j);
      });
}

void rounded(const float* from, Bf16* to, std::int64_t n) {
  const hn::ScalableTag<std::uint16_t> d;
  const auto halves = [&](std::int64_t i) {
    return upper_halves(round_upper_half(load(from + i)));
  };
  for_lines(
      to, n, [&](std::int64_t begin, std::int64_t end) { convert_part(from, to, begin, end); },
      [&](std::int64_t i) {
        for (std::int64_t j = i; j < i + kLineBytes / 2; j += 2 * kWidth) {
          hn::Stream(hn::Combine(d, halves(j + kWidth), halves(j)), d,
                     reinterpret_cast<std::uint16_t*>(to + j));
        }
      });
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(zeros);
HWY_EXPORT(widened);
HWY_EXPORT(rounded);

bool streams_past_caches(const Context& context, std::int64_t bytes) {
  static const std::int64_t share = last_level_cache_share("/sys/devices/system/cpu/cpu0/cache");
  return share > 0 && bytes > share * context.executor->num_workers();
}

void stream_zeros(std::byte* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(zeros)(to, n);
}

void stream_rounded(const float* from, Bf16* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(rounded)(from, to, n);
}

void stream_widened(const Bf16* from, float* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(widened)(from, to, n);
}

}  // namespace tera::kernels::cpu
#endif
