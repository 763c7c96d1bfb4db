// Sums, products, copies between dtypes, zeroing and the sum of squares.
#include <cstring>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {
namespace {

// Calls body(offset in x, offset in y) for each vector along the last dim.
template <class Body>
void for_each_row(const View& x, const View& y, Body&& body) {
  const std::int64_t rows = x.num_elements() == 0 ? 0 : x.num_elements() / x.shape[x.rank - 1U];
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int64_t rest = r;
    std::int64_t from = 0;
    std::int64_t to = 0;
    for (int d = x.rank - 2; d >= 0; --d) {
      const auto i = static_cast<std::size_t>(d);
      from += rest % x.shape[i] * x.strides[i];
      to += rest % x.shape[i] * y.strides[i];
      rest /= x.shape[i];
    }
    body(from, to);
  }
}

}  // namespace

void sum_heads(const Context&, View x, View y) {
  const auto dims = contract::check_sum_heads(x, y);
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < dims.rows; ++t) {
      for (std::int64_t d = 0; d < dims.cols; ++d) {
        double sum = 0;
        for (std::int64_t a = 0; a < x.shape[1]; ++a)
          sum += load(row<const C>(x, t, a)[d]);
        store(row<C>(y, t)[d], sum);
      }
    }
  });
}

void add(const Context&, View a, View b, View y) {
  const std::int64_t n = contract::check_add(a, b, y);
  with_compute_type(a.dtype, [&]<class C, class A>() {
    for (std::int64_t i = 0; i < n; ++i)
      store(y.as<C>()[i], load(a.as<const C>()[i]) + load(b.as<const C>()[i]));
  });
}

void scale(const Context&, View x, double factor, View y) {
  const std::int64_t n = contract::check_scale(x, y);
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t i = 0; i < n; ++i)
      store(y.as<C>()[i], factor * load(x.as<const C>()[i]));
  });
}

void multiply(const Context&, View x, View factors, View y, bool accumulate) {
  const std::int64_t n = contract::check_multiply(x, factors, y);
  with_compute_type(x.dtype, [&]<class X, class A>() {
    with_compute_type(y.dtype, [&]<class Y, class YA>() {
      for (std::int64_t i = 0; i < n; ++i) {
        const double product = load(x.as<const X>()[i]) * load(factors.as<const A>()[i]);
        store(y.as<Y>()[i], accumulate ? load(y.as<Y>()[i]) + product : product);
      }
    });
  });
}

void copy(const Context&, View x, View y) {
  contract::check_copy(x, y);
  const std::int64_t width = x.shape[x.rank - 1U];
  const std::int64_t size = dtype_bytes(x.dtype);
  if (x.dtype == y.dtype) {
    for_each_row(x, y, [&](std::int64_t from, std::int64_t to) {
      std::memmove(y.as<std::byte>() + to * size, x.as<std::byte>() + from * size,
                   static_cast<std::size_t>(width * size));
    });
    return;
  }
  with_compute_type(x.dtype, [&]<class From, class FromA>() {
    with_compute_type(y.dtype, [&]<class To, class ToA>() {
      for_each_row(x, y, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t i = 0; i < width; ++i)
          store(y.as<To>()[to + i], load(x.as<const From>()[from + i]));
      });
    });
  });
}

void zero(const Context&, View x) {
  contract::check_zero(x);
  const std::int64_t bytes = x.num_elements() * dtype_bytes(x.dtype);
  if (bytes > 0) std::memset(x.data, 0, static_cast<std::size_t>(bytes));
}

double sum_of_squares(const Context&, View x) {
  const std::int64_t n = contract::check_sum_of_squares(x);
  double sum = 0;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t i = 0; i < n; ++i)
      sum += load(x.as<const C>()[i]) * load(x.as<const C>()[i]);
  });
  return sum;
}

}  // namespace tera::kernels::ref
