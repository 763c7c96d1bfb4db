// Gradient check: what backward says against differences of forward, in f64.
//
// The derivative along a direction is taken from four points, (8 (f(h) - f(-h)) - (f(2h) - f(-2h)))
// / 12h: truncation h^4 f'''''/30 (5e-17 at h = 2e-4 and f''''' = 1), rounding about 10 eps |f| / h
// (1e-11 |f|). With losses of order 1 and gradients compared down to a hundredth of the largest of
// their tensor (1e-4 and more in these tests), 1e-6 is ten times the noise and far below any wrong
// factor. Where a loss has kinks (top-k choices, relu) a step across one shows as an error of
// order 1 at a single element: take another seed.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "tests/support/distance.h"

namespace tera::test {

inline constexpr double kGradientTolerance = 1e-6;

// d f / d e at e = 0.
inline double derivative(const std::function<double(double)>& f) {
  constexpr double h = 2e-4;
  return (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h);
}

// Compares `gradient` with differences of `loss` when `values` move: along one random direction
// through all elements, and along up to `num_single` elements spread over the tensor.
inline void expect_gradient(const std::string& name,
                            std::span<double> values,
                            std::span<const double> gradient,
                            const std::function<double()>& loss,
                            std::size_t num_single = 6) {
  ASSERT_EQ(values.size(), gradient.size()) << name;
  const std::vector<double> start(values.begin(), values.end());
  const Philox random(name_hash(name), RngPurpose::test);
  const double largest = largest_magnitude(gradient);
  const auto compare = [&](const std::string& what, double analytic, double floor,
                           const std::function<double(std::size_t)>& direction) {
    const double numeric = derivative([&](double e) {
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = start[i] + e * direction(i);
      const double value = loss();
      std::copy(start.begin(), start.end(), values.begin());
      return value;
    });
    const double scale = std::max({std::abs(analytic), std::abs(numeric), floor, 1e-9});
    EXPECT_LT(std::abs(numeric - analytic) / scale, kGradientTolerance)
        << name << " " << what << ": backward " << analytic << ", differences " << numeric;
  };

  std::vector<double> direction(values.size());  // of length 1
  double squares = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    direction[i] = static_cast<double>(random.uniform(0, i)) - 0.5;
    squares += direction[i] * direction[i];
  }
  double along = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    direction[i] /= std::sqrt(squares);
    along += direction[i] * gradient[i];
  }
  compare("along a random direction", along, 1e-2 * largest,
          [&](std::size_t i) { return direction[i]; });
  const std::size_t stride = std::max<std::size_t>(1, values.size() / num_single);
  for (std::size_t at = stride / 2; at < values.size(); at += stride) {
    compare("[" + std::to_string(at) + "]", gradient[at], 1e-2 * largest,
            [at](std::size_t i) { return i == at ? 1.0 : 0.0; });
  }
}

}  // namespace tera::test
