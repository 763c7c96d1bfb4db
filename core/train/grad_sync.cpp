#include "core/train/grad_sync.h"

#include <cmath>

namespace tera::train {

void sum_gradients(nn::ParamStore& params, comm::Communicator& data_parallel) {
  if (data_parallel.size() == 1) return;
  for (nn::Param& param : params.params()) {
    if (param.grad.present()) data_parallel.all_reduce(param.grad, comm::Reduce::sum);
  }
}

double gradient_norm(const nn::ParamStore& params) {
  Backend& backend = params.backend();
  double squares = 0;
  for (const nn::Param& param : params.params()) {
    if (param.grad.present())
      squares += backend.ops().sum_of_squares(backend.context(), param.grad);
  }
  return std::sqrt(squares);
}

double clip_factor(double norm, double max_norm) {
  return max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
}

}  // namespace tera::train
