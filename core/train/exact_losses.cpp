#include "core/train/exact_losses.h"

#include <cmath>
#include <cstddef>

namespace tera::train {
namespace {

double in_units(double value, double unit) {
  return std::nearbyint(value / unit) * unit;
}
constexpr double kLossUnit = 0x1p-24;       // of sums over tokens: exact below 2^29
constexpr double kAuxiliaryUnit = 0x1p-44;  // of shares of the batch: exact below 2^9

}  // namespace

double exact_loss(double sum) {
  return in_units(sum, kLossUnit);
}

LossesBefore::LossesBefore(StageResult& result)
    : prediction_(std::exchange(result.prediction.loss_sum, 0)) {
  for (nn::RouterStats& stats : result.router)
    router_.emplace_back(std::exchange(stats.balance_loss, 0), std::exchange(stats.z_loss, 0));
}

void LossesBefore::add_to(StageResult& result, double scale) const {
  result.prediction.loss_sum = prediction_ + exact_loss(result.prediction.loss_sum);
  for (std::size_t layer = 0; layer < router_.size(); ++layer) {
    nn::RouterStats& stats = result.router[layer];
    const auto& [balance, z] = router_[layer];
    stats.balance_loss = balance + in_units(stats.balance_loss / scale, kAuxiliaryUnit);
    stats.z_loss = z + in_units(stats.z_loss / scale, kAuxiliaryUnit);
  }
}

}  // namespace tera::train
