// Rotates the pairs (x[i], x[i + D/2]) of each head by position * theta^(-2i/D), or back.
#include <cmath>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

void rotary(const Context&, View x, View positions, double theta, bool inverse, View y) {
  const auto dims = contract::check_rotary(x, positions, y);
  const std::int64_t tokens = dims.tokens;
  const std::int64_t heads = dims.heads;
  const std::int64_t head_dim = dims.head_dim;
  const std::int64_t half = head_dim / 2;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const double position = positions.as<const std::int32_t>()[t];
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = position * std::pow(theta, -2.0 * static_cast<double>(i) /
                                                            static_cast<double>(head_dim));
        const double cosine = std::cos(angle);
        const double sine = inverse ? -std::sin(angle) : std::sin(angle);
        for (std::int64_t a = 0; a < heads; ++a) {
          const double low = load(row<const C>(x, t, a)[i]);
          const double high = load(row<const C>(x, t, a)[i + half]);
          store(row<C>(y, t, a)[i], low * cosine - high * sine);
          store(row<C>(y, t, a)[i + half], high * cosine + low * sine);
        }
      }
    }
  });
}

}  // namespace tera::kernels::ref
