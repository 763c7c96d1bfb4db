#pragma once
#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/base/check.h"

namespace tera {

// The middle of at least one value; the mean of the two middle ones of an even number.
inline double median(std::vector<double> values) {
  TERA_CHECK(!values.empty(), "the median of no values");
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

}  // namespace tera
