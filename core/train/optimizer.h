// Optimizer: turns gradients into updated weights. Sees only the tensors this rank owns.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "core/nn/param_store.h"
#include "core/tensor/tensor.h"

namespace tera::train {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One update; gradients are multiplied by grad_scale (clipping) as they are read.
  virtual void step(double learning_rate, double grad_scale) = 0;
  // Every tensor that must survive: visit(parameter name, role, tensor), in a fixed order.
  virtual void visit_state(
      const std::function<void(const std::string& name, std::string_view role, Tensor& tensor)>&
          visit) = 0;
  virtual std::int64_t steps_done() const = 0;
  virtual void set_steps_done(std::int64_t steps) = 0;
};

}  // namespace tera::train
