// Sums, products and the sum of squares: bound by memory, so the work is to keep loads and
// stores wide.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class T>
void add_vectors(const T* a, const T* b, std::int64_t n, T* y) {
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(hn::Add(load_n(a + i, count), load_n(b + i, count)), y + i, count);
  });
}

// y [n] = sum of `count` rows of x, `stride` apart.
template <class T>
void sum_rows(const T* x, std::int64_t stride, std::int64_t count, std::int64_t n, T* y) {
  for_vectors(n, [&](std::int64_t i, std::int64_t lanes) {
    VF sum = hn::Zero(F32());
    for (std::int64_t a = 0; a < count; ++a)
      sum = hn::Add(sum, load_n(x + a * stride + i, lanes));
    store_n(sum, y + i, lanes);
  });
}

template <class T>
void scale_vectors(const T* x, float factor, std::int64_t n, T* y) {
  const VF vfactor = hn::Set(F32(), factor);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(hn::Mul(load_n(x + i, count), vfactor), y + i, count);
  });
}

// y (+)= x * factors.
template <class X, class Y>
void multiply_vectors(const X* x, const float* factors, std::int64_t n, Y* y, bool accumulate) {
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF product = hn::Mul(load_n(x + i, count), load_n(factors + i, count));
    store_n(accumulate ? hn::Add(load_n(y + i, count), product) : product, y + i, count);
  });
}

// In f64: squares of f32 leave the range of f32.
template <class T>
double squares(const T* x, std::int64_t n) {
  const hn::ScalableTag<double> d;
  constexpr auto kHalf = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<double>()));
  const hn::Rebind<float, hn::ScalableTag<double>> df;
  auto low = hn::Zero(d);
  auto high = hn::Zero(d);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF v = load_n(x + i, count);
    const auto v0 = hn::PromoteTo(d, hn::LowerHalf(df, v));
    const auto v1 = hn::PromoteTo(d, hn::UpperHalf(df, v));
    low = hn::MulAdd(v0, v0, low);
    high = hn::MulAdd(v1, v1, high);
  });
  static_assert(2 * kHalf == kWidth);
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(low, high)));
}

}  // namespace

void add_f32(const float* a, const float* b, std::int64_t n, float* y) {
  add_vectors(a, b, n, y);
}
void add_bf16(const Bf16* a, const Bf16* b, std::int64_t n, Bf16* y) {
  add_vectors(a, b, n, y);
}
void sum_rows_f32(
    const float* x, std::int64_t stride, std::int64_t count, std::int64_t n, float* y) {
  sum_rows(x, stride, count, n, y);
}
void sum_rows_bf16(
    const Bf16* x, std::int64_t stride, std::int64_t count, std::int64_t n, Bf16* y) {
  sum_rows(x, stride, count, n, y);
}
void scale_f32(const float* x, float factor, std::int64_t n, float* y) {
  scale_vectors(x, factor, n, y);
}
void scale_bf16(const Bf16* x, float factor, std::int64_t n, Bf16* y) {
  scale_vectors(x, factor, n, y);
}
// x and y are bf16 or f32.
void multiply_range(const void* x,
                    bool bf16_x,
                    const float* factors,
                    std::int64_t n,
                    void* y,
                    bool bf16_y,
                    bool accumulate) {
  const auto into = [&]<class X>(const X* from) {
    if (bf16_y) return multiply_vectors(from, factors, n, static_cast<Bf16*>(y), accumulate);
    multiply_vectors(from, factors, n, static_cast<float*>(y), accumulate);
  };
  if (bf16_x) return into(static_cast<const Bf16*>(x));
  into(static_cast<const float*>(x));
}
double squares_f32(const float* x, std::int64_t n) {
  return squares(x, n);
}
double squares_bf16(const Bf16* x, std::int64_t n) {
  return squares(x, n);
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {
namespace {

HWY_EXPORT(add_f32);
HWY_EXPORT(add_bf16);
HWY_EXPORT(sum_rows_f32);
HWY_EXPORT(sum_rows_bf16);
HWY_EXPORT(scale_f32);
HWY_EXPORT(scale_bf16);
HWY_EXPORT(multiply_range);
HWY_EXPORT(squares_f32);
HWY_EXPORT(squares_bf16);

constexpr std::int64_t kBlock = 16384;

}  // namespace

void add(const Context& context, View a, View b, View y) {
  const std::int64_t n = contract::check_add(a, b, y);
  if (a.dtype == DType::f64) return ref::add(context, a, b, y);
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    if (a.dtype == DType::f32) {
      HWY_DYNAMIC_DISPATCH(add_f32)
      (a.as<const float>() + begin, b.as<const float>() + begin, end - begin,
       y.as<float>() + begin);
    } else {
      HWY_DYNAMIC_DISPATCH(add_bf16)
      (a.as<const Bf16>() + begin, b.as<const Bf16>() + begin, end - begin, y.as<Bf16>() + begin);
    }
  });
}

void sum_heads(const Context& context, View x, View y) {
  const contract::RowDims dims = contract::check_sum_heads(x, y);
  if (x.dtype == DType::f64) return ref::sum_heads(context, x, y);
  const std::int64_t heads = x.shape[1];
  for_rows(context, dims.rows, heads * dims.cols, [&](std::int64_t t) {
    if (x.dtype == DType::f32) {
      HWY_DYNAMIC_DISPATCH(sum_rows_f32)
      (x.as<const float>() + t * x.strides[0], x.strides[1], heads, dims.cols,
       y.as<float>() + t * y.strides[0]);
    } else {
      HWY_DYNAMIC_DISPATCH(sum_rows_bf16)
      (x.as<const Bf16>() + t * x.strides[0], x.strides[1], heads, dims.cols,
       y.as<Bf16>() + t * y.strides[0]);
    }
  });
}

void scale(const Context& context, View x, double factor, View y) {
  const std::int64_t n = contract::check_scale(x, y);
  if (x.dtype == DType::f64) return ref::scale(context, x, factor, y);
  const auto by = static_cast<float>(factor);
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    if (x.dtype == DType::f32) {
      HWY_DYNAMIC_DISPATCH(scale_f32)
      (x.as<const float>() + begin, by, end - begin, y.as<float>() + begin);
    } else {
      HWY_DYNAMIC_DISPATCH(scale_bf16)
      (x.as<const Bf16>() + begin, by, end - begin, y.as<Bf16>() + begin);
    }
  });
}

void multiply(const Context& context, View x, View factors, View y, bool accumulate) {
  const std::int64_t n = contract::check_multiply(x, factors, y);
  if (factors.dtype == DType::f64) return ref::multiply(context, x, factors, y, accumulate);
  const auto at = [](const View& v, std::int64_t i) {
    return v.as<std::byte>() + i * dtype_bytes(v.dtype);
  };
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(multiply_range)
    (at(x, begin), x.dtype == DType::bf16, factors.as<const float>() + begin, end - begin,
     at(y, begin), y.dtype == DType::bf16, accumulate);
  });
}

double sum_of_squares(const Context& context, View x) {
  const std::int64_t n = contract::check_sum_of_squares(x);
  if (x.dtype == DType::f64) return ref::sum_of_squares(context, x);
  const std::int64_t blocks = (n + kBlock - 1) / kBlock;
  auto* partial = reinterpret_cast<double*>(
      context.executor->scratch(-1, 0, static_cast<std::size_t>(blocks + 1) * sizeof(double)));
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    partial[begin / kBlock] =
        x.dtype == DType::f32
            ? HWY_DYNAMIC_DISPATCH(squares_f32)(x.as<const float>() + begin, end - begin)
            : HWY_DYNAMIC_DISPATCH(squares_bf16)(x.as<const Bf16>() + begin, end - begin);
  });
  double sum = 0;
  for (std::int64_t i = 0; i < blocks; ++i)
    sum += partial[i];
  return sum;
}

}  // namespace tera::kernels::cpu
#endif
