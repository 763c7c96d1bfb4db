// Copies and zeros: past the caches where they are larger than those.
#include <cstring>

#include "kernels/contract.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/streaming.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::cpu {
namespace {

constexpr std::int64_t kBlock = 16384;

// Offsets of vector r along the last dim.
struct RowOffsets {
  std::int64_t x, y;
};

RowOffsets offsets_of(const View& x, const View& y, std::int64_t r) {
  RowOffsets at{0, 0};
  for (int dim = x.rank - 2; dim >= 0; --dim) {
    const auto i = static_cast<std::size_t>(dim);
    at.x += r % x.shape[i] * x.strides[i];
    at.y += r % x.shape[i] * y.strides[i];
    r /= x.shape[i];
  }
  return at;
}

// Both views as one long vector when they have no gaps.
View flat(const View& v) {
  View line = v;
  line.rank = 1;
  line.shape = {v.num_elements(), 1, 1, 1};
  line.strides = {1, 0, 0, 0};
  return line;
}

// With `streaming`, conversions go past the caches.
void copy_row(const View& x, const View& y, RowOffsets at, std::int64_t n, bool streaming) {
  const std::byte* from = x.as<const std::byte>() + at.x * dtype_bytes(x.dtype);
  std::byte* to = y.as<std::byte>() + at.y * dtype_bytes(y.dtype);
  if (x.dtype == y.dtype) {
    std::memmove(to, from, static_cast<std::size_t>(n * dtype_bytes(x.dtype)));
  } else if (x.dtype == DType::f32) {
    const auto* values = reinterpret_cast<const float*>(from);
    if (streaming) return stream_rounded(values, reinterpret_cast<Bf16*>(to), n);
    round_row(values, reinterpret_cast<Bf16*>(to), n, false);
  } else {
    const auto* values = reinterpret_cast<const Bf16*>(from);
    if (streaming) return stream_widened(values, reinterpret_cast<float*>(to), n);
    widen_row(values, reinterpret_cast<float*>(to), n);
  }
}

}  // namespace

void copy(const Context& context, View x, View y) {
  contract::check_copy(x, y);
  if (x.num_elements() == 0) return;
  if (x.dtype != y.dtype && (x.dtype == DType::f64 || y.dtype == DType::f64))
    return ref::copy(context, x, y);
  const bool streaming = streams_past_caches(context, y.num_elements() * dtype_bytes(y.dtype));
  if (x.contiguous() && y.contiguous()) {
    const View from = flat(x);
    const View to = flat(y);
    for_ranges(context, from.shape[0], kBlock, [&](std::int64_t begin, std::int64_t end, int) {
      copy_row(from, to, {begin, begin}, end - begin, streaming);
    });
    return;
  }
  const std::int64_t width = x.shape[static_cast<std::size_t>(x.rank - 1)];
  for_rows(context, x.num_elements() / width, width,
           [&](std::int64_t r) { copy_row(x, y, offsets_of(x, y, r), width, false); });
}

void zero(const Context& context, View x) {
  contract::check_zero(x);
  const std::int64_t bytes = x.num_elements() * dtype_bytes(x.dtype);
  const bool streaming = streams_past_caches(context, bytes);
  for_ranges(context, bytes, 1 << 20, [&](std::int64_t begin, std::int64_t end, int) {
    std::byte* to = x.as<std::byte>() + begin;
    if (streaming) return stream_zeros(to, end - begin);
    std::memset(to, 0, static_cast<std::size_t>(end - begin));
  });
}

}  // namespace tera::kernels::cpu
