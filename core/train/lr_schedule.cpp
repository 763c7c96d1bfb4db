#include "core/train/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tera::train {

namespace {

double left_of_decay(spec::WsdDecay shape, double done) {
  switch (shape) {
    case spec::WsdDecay::minus_sqrt:
      return 1.0 - std::sqrt(done);
    case spec::WsdDecay::linear:
      return 1.0 - done;
    case spec::WsdDecay::cosine:
      return 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  }
  return 0;
}

}  // namespace

double learning_rate_at(const spec::TrainingConfig& config, std::int64_t step) {
  const double peak = config.learning_rate;
  const double floor = config.min_learning_rate;
  if (step < config.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps);
  }
  const auto share = [](std::int64_t done, std::int64_t length) {
    return length <= 0
               ? 1.0
               : std::clamp(static_cast<double>(done) / static_cast<double>(length), 0.0, 1.0);
  };
  switch (config.lr_schedule) {
    case spec::LrScheduleKind::constant:
      return peak;
    case spec::LrScheduleKind::cosine: {
      const double done = share(step - config.warmup_steps, config.num_steps - config.warmup_steps);
      return floor + 0.5 * (peak - floor) * (1.0 + std::cos(std::numbers::pi * done));
    }
    case spec::LrScheduleKind::wsd: {
      const std::int64_t decay_begin =
          std::max(config.warmup_steps, config.num_steps - config.decay_steps);
      if (step < decay_begin) return peak;
      const double done = share(step - decay_begin, config.num_steps - decay_begin);
      return floor + (peak - floor) * left_of_decay(config.wsd_decay, done);
    }
    case spec::LrScheduleKind::linear: {
      const double done = share(step - config.warmup_steps, config.num_steps - config.warmup_steps);
      return floor + (peak - floor) * (1.0 - done);
    }
    case spec::LrScheduleKind::inverse_sqrt: {
      const auto warmup = static_cast<double>(std::max<std::int64_t>(1, config.warmup_steps));
      return std::max(floor,
                      peak * std::sqrt(warmup / std::max(warmup, static_cast<double>(step + 1))));
    }
  }
  return peak;
}

}  // namespace tera::train
