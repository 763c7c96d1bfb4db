// Turns the pairs (x[i], x[i + P]) of each head by position * frequency[i], or back, and multiplies
// them with the factor; the dims behind the pairs are copied.
#include <cmath>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

void rotary(
    const Context&, View x, View positions, View frequencies, RotaryOptions options, View y) {
  const auto dims = contract::check_rotary(x, positions, frequencies, y);
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < dims.tokens; ++t) {
      const double position = positions.as<const std::int32_t>()[t];
      for (std::int64_t i = 0; i < dims.pairs; ++i) {
        const double angle = position * frequencies.as<const double>()[i];
        const double cosine = options.factor * std::cos(angle);
        const double sine = options.factor * (options.transpose ? -1 : 1) * std::sin(angle);
        for (std::int64_t a = 0; a < dims.heads; ++a) {
          const double low = load(row<const C>(x, t, a)[i]);
          const double high = load(row<const C>(x, t, a)[i + dims.pairs]);
          store(row<C>(y, t, a)[i], low * cosine - high * sine);
          store(row<C>(y, t, a)[i + dims.pairs], high * cosine + low * sine);
        }
      }
      for (std::int64_t a = 0; a < dims.heads; ++a) {
        for (std::int64_t d = 2 * dims.pairs; d < dims.head_dim; ++d)
          row<C>(y, t, a)[d] = row<const C>(x, t, a)[d];
      }
    }
  });
}

}  // namespace tera::kernels::ref
