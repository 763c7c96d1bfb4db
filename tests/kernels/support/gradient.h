// Central differences in f64, and the buffers that gradient tests are made of.
#pragma once
#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/ops.h"
#include "tests/kernels/support/buffer.h"
#include "tests/support/distance.h"

namespace tera::kernels::test {

inline const OpTable& ops = ref_ops();
inline const Context kContext;

inline Buffer normal(std::vector<std::int64_t> shape, unsigned seed, double scale = 1.0) {
  std::mt19937 rng(seed);
  Buffer buffer(DType::f64, std::move(shape));
  buffer.fill_normal(rng, scale);
  return buffer;
}

inline Buffer zeros(std::vector<std::int64_t> shape) {
  return {DType::f64, std::move(shape)};
}

inline Buffer integers(std::vector<std::int64_t> shape, const std::vector<double>& values) {
  Buffer buffer(DType::i32, std::move(shape));
  buffer.assign(values);
  return buffer;
}

inline double dot(const Buffer& a, const Buffer& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.size(); ++i)
    sum += a.get(i) * b.get(i);
  return sum;
}

// Central differences with step 1e-5 are off by about h^2 = 1e-10 of the third derivative and
// 1e-16 / h = 1e-11 of the loss; 1e-7 of the largest gradient leaves room for both.
inline void expect_gradient(Buffer& input,
                            const Buffer& gradient,
                            const std::function<double()>& loss) {
  constexpr double kStep = 1e-5;
  const double scale = std::max(tera::test::largest_magnitude(gradient.values()), 1.0);
  for (std::int64_t i = 0; i < input.size(); ++i) {
    const double value = input.get(i);
    input.set(i, value + kStep);
    const double above = loss();
    input.set(i, value - kStep);
    const double below = loss();
    input.set(i, value);
    EXPECT_NEAR(gradient.get(i), (above - below) / (2 * kStep), 1e-7 * scale) << "element " << i;
  }
}

}  // namespace tera::kernels::test
