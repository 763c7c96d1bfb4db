#include "core/comm/reduction.h"

#include <algorithm>
#include <type_traits>

#include "kernels/bf16.h"
#include "kernels/f16.h"

namespace tera::comm {
namespace {

// Elements at a time: their sum stays in the first cache until it has been written everywhere.
constexpr std::int64_t kBlock = 1024;

template <class Sum, Reduce op>
Sum combine(Sum a, Sum b) {
  if constexpr (op == Reduce::sum && std::is_integral_v<Sum>) {
    using Bits = std::make_unsigned_t<Sum>;  // wraps around
    return static_cast<Sum>(static_cast<Bits>(a) + static_cast<Bits>(b));
  } else if constexpr (op == Reduce::sum) {
    return a + b;
  } else {
    return op == Reduce::max ? std::max(a, b) : std::min(a, b);
  }
}

template <class T, class Sum, Reduce op>
void reduce_as(const std::vector<const std::byte*>& from,
               const std::vector<std::byte*>& to,
               std::int64_t n) {
  Sum sum[kBlock];
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t count = std::min(kBlock, n - begin);
    const T* first = reinterpret_cast<const T*>(from.front()) + begin;
    for (std::int64_t i = 0; i < count; ++i)
      sum[i] = static_cast<Sum>(first[i]);
    for (std::size_t r = 1; r < from.size(); ++r) {
      const T* x = reinterpret_cast<const T*>(from[r]) + begin;
      for (std::int64_t i = 0; i < count; ++i)
        sum[i] = combine<Sum, op>(sum[i], static_cast<Sum>(x[i]));
    }
    for (std::byte* each : to) {
      T* y = reinterpret_cast<T*>(each) + begin;
      for (std::int64_t i = 0; i < count; ++i)
        y[i] = static_cast<T>(sum[i]);
    }
  }
}

template <class T, class Sum>
void reduce_by(Reduce op,
               const std::vector<const std::byte*>& from,
               const std::vector<std::byte*>& to,
               std::int64_t n) {
  switch (op) {
    case Reduce::sum:
      return reduce_as<T, Sum, Reduce::sum>(from, to, n);
    case Reduce::max:
      return reduce_as<T, Sum, Reduce::max>(from, to, n);
    case Reduce::min:
      return reduce_as<T, Sum, Reduce::min>(from, to, n);
  }
}

}  // namespace

void reduce(DType dtype,
            Reduce op,
            const std::vector<const std::byte*>& from,
            const std::vector<std::byte*>& to,
            std::int64_t n) {
  if (dtype == DType::f64) return reduce_by<double, double>(op, from, to, n);
  if (dtype == DType::i64) return reduce_by<std::int64_t, std::int64_t>(op, from, to, n);
  if (dtype == DType::bf16) return reduce_by<kernels::Bf16, float>(op, from, to, n);
  if (dtype == DType::f16) return reduce_by<kernels::F16, float>(op, from, to, n);
  reduce_by<float, float>(op, from, to, n);
}

}  // namespace tera::comm
