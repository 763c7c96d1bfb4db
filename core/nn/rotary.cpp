#include "core/nn/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tera::nn {
namespace {

// Waves longer than original / low are stretched whole, shorter than original / high not at all,
// linearly in 1 / wavelength between.
double llama3_frequency(const spec::ModelConfig& c, double frequency) {
  const double turns = c.rope_original_max_position * frequency / (2 * std::numbers::pi);
  const double kept = std::clamp(
      (turns - c.rope_low_freq_factor) / (c.rope_high_freq_factor - c.rope_low_freq_factor), 0.0,
      1.0);
  return frequency * (kept + (1 - kept) / c.rope_factor);
}

// The pair that turns `turns` times in the original context.
double yarn_pair(const spec::ModelConfig& c, double turns) {
  return c.rotary_dims() * std::log(c.rope_original_max_position / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(c.rope_theta));
}

// Share of pair i that is stretched: a ramp over whole pairs, as published checkpoints have it.
double yarn_ramp(const spec::ModelConfig& c, double i) {
  const double low = std::max(0.0, std::floor(yarn_pair(c, c.rope_beta_fast)));
  double high = std::min(c.rotary_dims() - 1.0, std::ceil(yarn_pair(c, c.rope_beta_slow)));
  if (high == low) high += 0.001;
  return std::clamp((i - low) / (high - low), 0.0, 1.0);
}

}  // namespace

std::vector<double> rope_frequencies(const spec::ModelConfig& config) {
  const int dims = config.position == spec::PositionKind::rotary ? config.rotary_dims() : 0;
  std::vector<double> frequencies;
  for (int i = 0; i < dims / 2; ++i) {
    const double frequency = std::pow(config.rope_theta, -2.0 * i / dims);
    const double stretched = frequency / config.rope_factor;
    switch (config.rope_scaling) {
      case spec::RopeScaling::none:
        frequencies.push_back(frequency);
        break;
      case spec::RopeScaling::linear:
        frequencies.push_back(stretched);
        break;
      case spec::RopeScaling::llama3:
        frequencies.push_back(llama3_frequency(config, frequency));
        break;
      case spec::RopeScaling::yarn: {
        const double ramp = yarn_ramp(config, i);
        frequencies.push_back(stretched * ramp + frequency * (1 - ramp));
        break;
      }
    }
  }
  return frequencies;
}

double rope_factor(const spec::ModelConfig& config) {
  if (config.rope_scaling != spec::RopeScaling::yarn) return 1;
  if (config.rope_attention_factor > 0) return config.rope_attention_factor;
  return 0.1 * std::log(config.rope_factor) + 1;
}

Rotary::Rotary(Backend& backend, const spec::ModelConfig& config)
    : backend_(&backend), factor_(rope_factor(config)) {
  const std::vector<double> frequencies = rope_frequencies(config);
  frequencies_ = Tensor::empty(backend, {static_cast<std::int64_t>(frequencies.size())}, DType::f64,
                               MemoryKind::workspace);
  std::copy(frequencies.begin(), frequencies.end(), frequencies_.data<double>());
}

void Rotary::forward(const kernels::View& x,
                     const Tensor& positions,
                     const kernels::View& y) const {
  backend_->ops().rotary(backend_->context(), x, positions, frequencies_, options(), y);
}

void Rotary::backward(const kernels::View& dy,
                      const Tensor& positions,
                      const kernels::View& dx) const {
  backend_->ops().rotary(backend_->context(), dy, positions, frequencies_,
                         {.factor = factor_, .transpose = true}, dx);
}

}  // namespace tera::nn
