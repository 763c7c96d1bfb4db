// The factor on the loss of fp16 runs that keeps small gradients from vanishing: doubled after many
// steps that fit, cut after one that does not. Source: Micikevicius et al. 2018, section 3.2, with
// the defaults of torch.amp.GradScaler.
#pragma once
#include <cstdint>

#include "core/spec/training_config.h"

namespace tera::train {

class LossScaler {
 public:
  explicit LossScaler(const spec::TrainingConfig& config)
      : interval_(config.loss_scale_growth_interval),
        backoff_(config.loss_scale_backoff),
        active_(config.precision == spec::Precision::fp16) {
    if (active_) state_.scale = config.initial_loss_scale;
  }

  bool active() const { return active_; }
  double scale() const { return state_.scale; }  // 1 in every other precision
  // After each step: whether its gradients were finite. Nothing happens while not active.
  void update(bool finite);
  // So small that what overflows is not the scaling: the run diverged.
  bool exhausted() const { return state_.scale < 0x1p-24; }

  struct State {  // to be saved
    double scale = 1;
    std::int64_t good_steps = 0;  // since the scale changed
  };
  const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  std::int64_t interval_;
  double backoff_;
  bool active_;
  State state_;
};

}  // namespace tera::train
