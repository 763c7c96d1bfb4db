#include "core/train/loss_scaler.h"

namespace tera::train {

void LossScaler::update(bool finite) {
  constexpr double kGrowth = 2;
  if (!active_) return;
  if (!finite) {
    state_ = {.scale = state_.scale * backoff_, .good_steps = 0};
  } else if (++state_.good_steps == interval_) {
    state_ = {.scale = state_.scale * kGrowth, .good_steps = 0};
  }
}

}  // namespace tera::train
