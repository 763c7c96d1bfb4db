#include "core/plan/least_squares.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/check.h"

namespace tera::plan {

void NormalEquations::add(const std::vector<double>& slopes, double value, double weight) {
  for (std::size_t i = 0; i < right_.size(); ++i) {
    for (std::size_t j = 0; j < right_.size(); ++j)
      matrix_[i][j] += weight * slopes[i] * slopes[j];
    right_[i] += weight * slopes[i] * value;
  }
}

std::vector<double> NormalEquations::solve() const {
  std::vector<std::size_t> all(right_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return solve_free(std::vector<double>(right_.size(), 0), all);
}

std::vector<double> NormalEquations::solve_free(const std::vector<double>& x,
                                                const std::vector<std::size_t>& free) const {
  const std::size_t count = free.size();
  std::vector<std::vector<double>> lower(count, std::vector<double>(count, 0));
  std::vector<double> y(count);
  std::vector<bool> is_free(right_.size(), false);
  for (const std::size_t i : free)
    is_free[i] = true;
  for (std::size_t i = 0; i < count; ++i) {
    y[i] = right_[free[i]];
    for (std::size_t j = 0; j < right_.size(); ++j)
      if (!is_free[j]) y[i] -= matrix_[free[i]][j] * x[j];
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = matrix_[free[i]][free[j]];
      for (std::size_t k = 0; k < j; ++k)
        sum -= lower[i][k] * lower[j][k];
      if (i == j) {
        TERA_CHECK(sum > 0, "unknown {} is not determined", free[i]);
        lower[i][i] = std::sqrt(sum);
      } else {
        lower[i][j] = sum / lower[j][j];
      }
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t k = 0; k < i; ++k)
      y[i] -= lower[i][k] * y[k];
    y[i] /= lower[i][i];
  }
  for (std::size_t i = count; i-- > 0;) {
    for (std::size_t k = i + 1; k < count; ++k)
      y[i] -= lower[k][i] * y[k];
    y[i] /= lower[i][i];
  }
  std::vector<double> solution = x;
  for (std::size_t i = 0; i < count; ++i)
    solution[free[i]] = y[i];
  return solution;
}

std::vector<double> NormalEquations::solve_within(const std::vector<double>& low,
                                                  const std::vector<double>& high) const {
  std::vector<double> x(right_.size());
  std::vector<std::size_t> free;
  for (std::size_t i = 0; i < right_.size(); ++i) {
    TERA_CHECK(low[i] <= high[i], "bounds of unknown {}: {} > {}", i, low[i], high[i]);
    x[i] = std::clamp(0.0, low[i], high[i]);
    if (low[i] < high[i]) free.push_back(i);
  }
  while (true) {
    // As far towards the best of the free ones as the bounds let, which fix what meets them.
    while (!free.empty()) {
      const std::vector<double> best = solve_free(x, free);
      double share = 1;
      std::size_t meets = right_.size();
      for (const std::size_t i : free) {
        const double bound = std::clamp(best[i], low[i], high[i]);
        if (bound == best[i]) continue;
        const double part = (bound - x[i]) / (best[i] - x[i]);
        if (part >= share) continue;
        share = part;
        meets = i;
      }
      for (const std::size_t i : free)
        x[i] += share * (best[i] - x[i]);
      if (meets == right_.size()) break;
      x[meets] = best[meets] < low[meets] ? low[meets] : high[meets];
      std::erase(free, meets);
    }
    // Of those at a bound, the one that would gain most by leaving it.
    double most = 0;
    std::size_t leaves = right_.size();
    for (std::size_t i = 0; i < right_.size(); ++i) {
      if (low[i] == high[i] || std::find(free.begin(), free.end(), i) != free.end()) continue;
      double down = right_[i];  // half of the way down
      double size = std::abs(right_[i]);
      for (std::size_t j = 0; j < right_.size(); ++j) {
        down -= matrix_[i][j] * x[j];
        size += std::abs(matrix_[i][j] * x[j]);
      }
      constexpr double kRounding = 1e-12;
      const double gain = (x[i] == low[i] ? down : -down) - kRounding * size;
      if (gain <= most) continue;
      most = gain;
      leaves = i;
    }
    if (leaves == right_.size()) return x;
    free.push_back(leaves);
  }
}

}  // namespace tera::plan
