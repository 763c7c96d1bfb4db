// Optimizer: turns gradients into updated weights, each tensor by the rule and the group the spec
// gives it. Sees only what this rank owns of them.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/spec/run_spec.h"
#include "core/train/trained_tensor.h"

namespace tera::train {

class Optimizer {
 public:
  // Master weights start from the values the store holds now: construct after initialisation.
  Optimizer(nn::ParamStore& params, const spec::RunSpec& spec);

  // One update; gradients are multiplied by grad_scale (clipping) as they are read.
  void step(double learning_rate, double grad_scale);
  // Every tensor that must survive, as f32 in a fixed order; a master that is kept in halves is
  // whole here.
  struct StateName {
    std::string name;  // of the parameter
    std::string_view role;
    std::vector<std::int64_t> shape;
  };
  std::vector<StateName> state_names() const;
  Tensor state(const std::string& name, std::string_view role) const;
  // values f32; those of a master become the weight, too, rounded.
  void set_state(const std::string& name, std::string_view role, const Tensor& values);
  // Calls body while the store holds the running mean of the weights (training.ema_decay > 0) in
  // place of those that this rank owns, also when body throws; needs a second copy of the weights
  // for that time.
  void with_ema(const std::function<void()>& body);
  std::int64_t steps_done() const { return steps_done_; }
  void set_steps_done(std::int64_t steps) { steps_done_ = steps; }

 private:
  struct Place {
    std::size_t tensor, state;
  };
  Place find(const std::string& name, std::string_view role) const;

  spec::RunSpec spec_;
  std::vector<TrainedTensor> tensors_;
  std::int64_t steps_done_ = 0;
};

}  // namespace tera::train
