#include "core/train/outlier_guard.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace tera::train {

double OutlierGuard::zscore(const std::vector<double>& window, double value) const {
  if (!std::isfinite(value)) return std::numeric_limits<double>::infinity();
  const auto count = static_cast<double>(window.size());
  if (2 * std::ssize(window) < window_ || window.size() < 2) return 0;
  double mean = 0;
  for (const double one : window)
    mean += one / count;
  double variance = 0;
  for (const double one : window)
    variance += (one - mean) * (one - mean) / (count - 1);
  // Equal values have no deviation: the rounding of their mean stands for it.
  const double deviation =
      std::max(std::sqrt(variance), std::abs(mean) * std::numeric_limits<float>::epsilon());
  return deviation > 0 ? (value - mean) / deviation : 0;
}

OutlierGuard::Verdict OutlierGuard::judge(double loss, double grad_norm) {
  if (threshold_ <= 0) return {};
  Verdict verdict{.loss_zscore = zscore(losses_, loss),
                  .grad_norm_zscore = zscore(grad_norms_, grad_norm)};
  verdict.outlier = verdict.loss_zscore > threshold_ || verdict.grad_norm_zscore > threshold_;
  skipped_in_a_row_ = verdict.outlier ? skipped_in_a_row_ + 1 : 0;
  if (verdict.outlier) return verdict;
  const auto push = [this](std::vector<double>& window, double value) {
    if (std::ssize(window) == window_) window.erase(window.begin());
    window.push_back(value);
  };
  push(losses_, loss);
  push(grad_norms_, grad_norm);
  return verdict;
}

void OutlierGuard::restore(State state) {
  losses_ = std::move(state.losses);
  grad_norms_ = std::move(state.grad_norms);
  skipped_in_a_row_ = state.skipped_in_a_row;
}

}  // namespace tera::train
