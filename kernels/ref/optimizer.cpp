// Lion, descent with momentum, and what every optimizer may end with: a running mean of the weights
// and rounding by chance.
#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

void lion(const Context&, View weight, View grad, View m, LionOptions options) {
  const std::int64_t n = contract::check_lion(weight, grad, m);
  with_accumulate_type(weight.dtype, [&]<class A>() {
    for (std::int64_t i = 0; i < n; ++i) {
      const double g = load(grad.as<const A>()[i]) * options.grad_scale;
      const double mean = load(m.as<A>()[i]);
      const double direction = options.beta1 * mean + (1.0 - options.beta1) * g;
      const double sign = direction > 0 ? 1.0 : direction < 0 ? -1.0 : 0.0;
      const double old = load(weight.as<A>()[i]);
      store(m.as<A>()[i], options.beta2 * mean + (1.0 - options.beta2) * g);
      store(weight.as<A>()[i], old - options.learning_rate * (sign + options.weight_decay * old));
    }
  });
}

void sgd(const Context&, View weight, View grad, View m, SgdOptions options) {
  const std::int64_t n = contract::check_sgd(weight, grad, m, options);
  with_accumulate_type(weight.dtype, [&]<class A>() {
    for (std::int64_t i = 0; i < n; ++i) {
      const double g = load(grad.as<const A>()[i]) * options.grad_scale;
      double update = g;
      if (m.present()) {
        const double velocity = options.momentum * load(m.as<A>()[i]) + g;
        store(m.as<A>()[i], velocity);
        update = options.nesterov ? g + options.momentum * velocity : velocity;
      }
      const double old = load(weight.as<A>()[i]);
      store(weight.as<A>()[i], old - options.learning_rate * (update + options.weight_decay * old));
    }
  });
}

void lerp(const Context&, View x, double t, View y) {
  const std::int64_t n = contract::check_lerp(x, y);
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t i = 0; i < n; ++i) {
      const double old = load(y.as<A>()[i]);
      store(y.as<A>()[i], old + t * (load(x.as<const C>()[i]) - old));
    }
  });
}

// bf16 is the upper half of f32: noise added to the lower half carries into the upper one with the
// probability of the part that is cut off.
void stochastic_round(const Context&, View x, View noise, View y) {
  const std::int64_t n = contract::check_stochastic_round(x, noise, y);
  const auto* from = x.as<const std::uint32_t>();
  for (std::int64_t i = 0; i < n; ++i) {
    const bool nan = (from[i] & 0x7fffffffU) > 0x7f800000U;
    const std::uint32_t bits =
        nan ? from[i] | 0x400000U : from[i] + noise.as<const std::uint16_t>()[i];
    y.as<Bf16>()[i].bits = static_cast<std::uint16_t>(bits >> 16U);
  }
}

void split_halves(const Context&, View x, View high, View low) {
  const std::int64_t n = contract::check_halves("split_halves", x, high, low);
  for (std::int64_t i = 0; i < n; ++i) {
    const HalvesF32 halves = split_f32(x.as<const std::uint32_t>()[i]);
    high.as<Bf16>()[i].bits = halves.high;
    low.as<std::uint16_t>()[i] = halves.low;
  }
}

void join_halves(const Context&, View high, View low, View x) {
  const std::int64_t n = contract::check_halves("join_halves", x, high, low);
  for (std::int64_t i = 0; i < n; ++i) {
    x.as<std::uint32_t>()[i] =
        join_f32({high.as<const Bf16>()[i].bits, low.as<const std::uint16_t>()[i]});
  }
}

}  // namespace tera::kernels::ref
