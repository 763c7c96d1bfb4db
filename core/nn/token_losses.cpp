#include "core/nn/token_losses.h"

#include <cmath>

#include "core/nn/elements.h"

namespace tera::nn {

TokenLosses::TokenLosses(const Tensor& logits, const Tensor& targets)
    : logits_(logits), targets_(targets) {
  Backend& backend = logits.backend();
  for (Tensor* each : {&highest_, &total_, &at_target_})
    *each = Tensor::empty(backend, {logits.dim(0)}, logits.dtype(), MemoryKind::workspace);
  backend.ops().cross_entropy_forward(backend.context(), logits_, targets_, 0, rows(), at_target_);
}

double TokenLosses::loss(std::int64_t t) const {
  if (targets_.data<const std::int32_t>()[t] < 0) return 0;
  double loss = 0;
  with_elements(total_, [&]<class A>(const A* total) {
    const double distance = double{highest_.data<A>()[t]} - double{at_target_.data<A>()[t]};
    loss = std::log(double{total[t]}) + distance;
  });
  return loss;
}

double TokenLosses::sum() const {
  double sum = 0;
  for (std::int64_t t = 0; t < targets_.num_elements(); ++t)
    sum += loss(t);
  return sum;
}

void TokenLosses::backward(double scale) const {
  Backend& backend = logits_.backend();
  backend.ops().cross_entropy_backward(backend.context(), logits_, targets_, 0, rows(), scale);
}

}  // namespace tera::nn
