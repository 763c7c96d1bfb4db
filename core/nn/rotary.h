// Rotary: turns queries and keys by their positions. The frequencies follow from the ModelConfig:
// theta^(-2i / R) for R rotated dims, stretched for longer contexts by its rope_scaling.
#pragma once
#include <vector>

#include "core/spec/model_config.h"
#include "core/tensor/tensor.h"

namespace tera::nn {

// Radians per position of each pair of rotated dims, [rotary_dims / 2]; none with learned
// positions. Sources: Su et al. 2021 (none); Chen et al. 2023 (linear); Llama Team 2024 (llama3);
// Peng et al. 2023, YaRN, section 3.2 (yarn).
std::vector<double> rope_frequencies(const spec::ModelConfig& config);

// Factor on the rotated dims: 1 but for yarn (Peng et al. 2023, section 3.4).
double rope_factor(const spec::ModelConfig& config);

class Rotary {
 public:
  Rotary(Backend& backend, const spec::ModelConfig& config);

  // y = x turned by positions [T] i32: x, y [T, n, D] rows strided, may be the same memory. Dims
  // behind the rotated ones are copied.
  void forward(const kernels::View& x, const Tensor& positions, const kernels::View& y) const;
  // dx from dy, as forward.
  void backward(const kernels::View& dy, const Tensor& positions, const kernels::View& dx) const;

  const Tensor& frequencies() const { return frequencies_; }
  kernels::RotaryOptions options() const { return {.factor = factor_}; }

 private:
  Backend* backend_;
  Tensor frequencies_;  // [rotary_dims / 2] f64
  double factor_;
};

}  // namespace tera::nn
