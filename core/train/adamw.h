// AdamW (Loshchilov and Hutter 2019) with f32 moments, and an f32 master copy of every weight that
// is stored in bf16.
#pragma once
#include <vector>

#include "core/spec/training_config.h"
#include "core/train/optimizer.h"

namespace tera::train {

class AdamW : public Optimizer {
 public:
  // Master weights start from the values the store holds now: construct after initialisation.
  AdamW(nn::ParamStore& params, const spec::TrainingConfig& config);

  void step(double learning_rate, double grad_scale) override;
  void visit_state(
      const std::function<void(const std::string&, std::string_view, Tensor&)>& visit) override;
  std::int64_t steps_done() const override { return steps_done_; }
  void set_steps_done(std::int64_t steps) override { steps_done_ = steps; }

 private:
  struct Slot {
    nn::Param* param;
    Tensor master;   // f32, absent when the weight itself is f32
    Tensor exp_avg;  // shape of the parameter, accumulation dtype
    Tensor exp_avg_sq;
  };

  nn::ParamStore* params_;
  spec::TrainingConfig config_;
  std::vector<Slot> slots_;
  std::int64_t steps_done_ = 0;
};

}  // namespace tera::train
