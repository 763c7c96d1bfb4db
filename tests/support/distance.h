// How far results are from what is expected. A value that is no number does not hide behind the
// others: the distance is NaN then, and nothing is less or greater than that.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>

namespace tera::test {

// max |values|; NaN when one of them is not finite.
template <class Values>
double largest_magnitude(const Values& values) {
  double largest = 0;
  for (const auto value : values) {
    const double magnitude = std::abs(static_cast<double>(value));
    if (!std::isfinite(magnitude)) return std::numeric_limits<double>::quiet_NaN();
    largest = std::max(largest, magnitude);
  }
  return largest;
}

// max |a - b|; NaN when a value of either is not finite, or one has more values.
template <class A, class B>
double largest_difference(const A& a, const B& b) {
  if (std::size(a) != std::size(b)) return std::numeric_limits<double>::quiet_NaN();
  double largest = 0;
  for (std::size_t i = 0; i < std::size(a); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!std::isfinite(difference)) return std::numeric_limits<double>::quiet_NaN();
    largest = std::max(largest, difference);
  }
  return largest;
}

// The largest difference, over the largest magnitude of what is expected.
template <class A, class B>
double relative_distance(const A& got, const B& expected) {
  return largest_difference(got, expected) / std::max(largest_magnitude(expected), 1e-30);
}

}  // namespace tera::test
