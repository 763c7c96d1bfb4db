// One AdamW update: m and v are running means of the gradient and its square, the step is
// m^ / (sqrt(v^) + eps) with bias-corrected m^ and v^, the decay acts on the weight directly.
#include <bit>
#include <cmath>

#include "kernels/bf16.h"
#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

namespace {

// Updates m and v; what is to be taken from a weight, over the learning rate and without the decay.
class Moments {
 public:
  explicit Moments(const AdamWOptions& options)
      : options_(options),
        first_correction_(1.0 - std::pow(options.beta1, static_cast<double>(options.step))),
        second_correction_(1.0 - std::pow(options.beta2, static_cast<double>(options.step))) {}

  template <class A>
  double update(const A& grad, A& m, A& v) const {
    const double g = load(grad) * options_.grad_scale;
    const double mean = options_.beta1 * load(m) + (1.0 - options_.beta1) * g;
    const double square = options_.beta2 * load(v) + (1.0 - options_.beta2) * g * g;
    store(m, mean);
    store(v, square);
    return mean / first_correction_ / (std::sqrt(square / second_correction_) + options_.eps);
  }
  double updated(double weight, double update) const {
    return weight - options_.learning_rate * (update + options_.weight_decay * weight);
  }

 private:
  AdamWOptions options_;
  double first_correction_, second_correction_;
};

}  // namespace

void adamw(const Context&, View weight, View grad, View m, View v, AdamWOptions options) {
  const std::int64_t n = contract::check_adamw(weight, grad, m, v, options);
  const Moments moments(options);
  with_accumulate_type(weight.dtype, [&]<class A>() {
    for (std::int64_t i = 0; i < n; ++i) {
      const double update = moments.update(grad.as<const A>()[i], m.as<A>()[i], v.as<A>()[i]);
      store(weight.as<A>()[i], moments.updated(load(weight.as<A>()[i]), update));
    }
  });
}

void adamw_halves(
    const Context&, View high, View low, View grad, View m, View v, AdamWOptions options) {
  const std::int64_t n = contract::check_adamw_halves(high, low, grad, m, v, options);
  const Moments moments(options);
  for (std::int64_t i = 0; i < n; ++i) {
    const double update =
        moments.update(grad.as<const float>()[i], m.as<float>()[i], v.as<float>()[i]);
    auto& upper = high.as<std::uint16_t>()[i];
    auto& lower = low.as<std::uint16_t>()[i];
    const auto old = std::bit_cast<float>(join_f32({upper, lower}));
    const HalvesF32 halves =
        split_f32(std::bit_cast<std::uint32_t>(static_cast<float>(moments.updated(old, update))));
    upper = halves.high;
    lower = halves.low;
  }
}

}  // namespace tera::kernels::ref
