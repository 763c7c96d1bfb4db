// One AdamW update: m and v are running means of the gradient and its square, the step is
// m^ / (sqrt(v^) + eps) with bias-corrected m^ and v^, the decay acts on the weight directly.
#include <cmath>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

void adamw(const Context&, View weight, View grad, View m, View v, AdamWOptions options) {
  const std::int64_t n = contract::check_adamw(weight, grad, m, v, options);
  const auto step = static_cast<double>(options.step);
  const double first_correction = 1.0 - std::pow(options.beta1, step);
  const double second_correction = 1.0 - std::pow(options.beta2, step);
  with_accumulate_type(weight.dtype, [&]<class A>() {
    for (std::int64_t i = 0; i < n; ++i) {
      const double g = load(grad.as<const A>()[i]) * options.grad_scale;
      const double mean = options.beta1 * load(m.as<A>()[i]) + (1.0 - options.beta1) * g;
      const double square = options.beta2 * load(v.as<A>()[i]) + (1.0 - options.beta2) * g * g;
      const double old = load(weight.as<A>()[i]);
      const double update =
          mean / first_correction / (std::sqrt(square / second_correction) + options.eps);
      store(m.as<A>()[i], mean);
      store(v.as<A>()[i], square);
      store(weight.as<A>()[i], old - options.learning_rate * (update + options.weight_decay * old));
    }
  });
}

}  // namespace tera::kernels::ref
