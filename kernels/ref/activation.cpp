// Feed-forward nonlinearities with a scale per row (the gate of a routed row), and biases.
// gelu(x) = x Phi(x) with Phi the normal distribution, (1 + erf(x / sqrt(2))) / 2, or nearly
// (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2. Source: Hendrycks and Gimpel 2016.
// relu_squared: So et al. 2021, Primer. geglu: Shazeer 2020, GLU variants.
#include <cmath>
#include <numbers>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {
namespace {

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

// Value and derivative.
struct Slope {
  double value, derivative;
};

Slope silu(double x) {
  const double s = sigmoid(x);
  return {x * s, s * (1.0 + x * (1.0 - s))};
}

Slope gelu(double x) {
  const double c = std::sqrt(2.0 / std::numbers::pi);
  const double t = std::tanh(c * (x + 0.044715 * x * x * x));
  const double inner = c * (1.0 + 3.0 * 0.044715 * x * x);
  return {0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner};
}

Slope relu(double x) {
  return {x > 0 ? x : 0.0, x > 0 ? 1.0 : 0.0};
}

Slope gelu_exact(double x) {
  const double phi = 0.5 * std::erfc(-x / std::numbers::sqrt2);
  const double density = std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
  return {x * phi, phi + x * density};
}

Slope relu_squared(double x) {
  return {x > 0 ? x * x : 0.0, x > 0 ? 2 * x : 0.0};
}

// Of x itself, or of the gate.
Slope slope_of(Activation type, double x) {
  switch (type) {
    case Activation::swiglu:
      return silu(x);
    case Activation::gelu:
    case Activation::geglu:
      return gelu(x);
    case Activation::relu:
      return relu(x);
    case Activation::gelu_exact:
      return gelu_exact(x);
    case Activation::relu_squared:
      return relu_squared(x);
  }
  return {};
}

}  // namespace

void activation_forward(const Context&, Activation type, View x, View row_scale, View y) {
  const auto dims = contract::check_activation("activation_forward", type, x, row_scale, y);
  const std::int64_t rows = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < rows; ++t) {
      const C* from = row<const C>(x, t);
      C* to = row<C>(y, t);
      const double scale = row_scale.present() ? load(row_scale.as<const A>()[t]) : 1.0;
      for (std::int64_t f = 0; f < width; ++f) {
        const double value = slope_of(type, load(from[f])).value;
        store(to[f], scale * (is_gated(type) ? value * load(from[width + f]) : value));
      }
    }
  });
}

void activation_backward(
    const Context&, Activation type, View dy, View x, View row_scale, View dx, View drow_scale) {
  const auto dims = contract::check_activation_backward(type, dy, x, row_scale, dx, drow_scale);
  const std::int64_t rows = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < rows; ++t) {
      const C* grad = row<const C>(dy, t);
      const C* from = row<const C>(x, t);
      C* to = row<C>(dx, t);
      const double scale = row_scale.present() ? load(row_scale.as<const A>()[t]) : 1.0;
      double scale_grad = 0;
      for (std::int64_t f = 0; f < width; ++f) {
        const double g = load(grad[f]);
        const Slope slope = slope_of(type, load(from[f]));
        const double up = is_gated(type) ? load(from[width + f]) : 1.0;
        scale_grad += g * slope.value * up;
        store(to[f], scale * g * up * slope.derivative);
        if (is_gated(type)) store(to[width + f], scale * g * slope.value);
      }
      if (drow_scale.present()) store(drow_scale.as<A>()[t], scale_grad);
    }
  });
}

void add_bias(const Context&, View y, View b) {
  const auto dims = contract::check_add_bias(y, b);
  const std::int64_t rows = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(y.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < rows; ++t) {
      C* to = row<C>(y, t);
      for (std::int64_t n = 0; n < width; ++n)
        store(to[n], load(to[n]) + load(b.as<const C>()[n]));
    }
  });
}

void bias_backward(const Context&, View dy, View db) {
  const auto dims = contract::check_bias_backward(dy, db);
  const std::int64_t rows = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(dy.dtype, [&]<class C, class A>() {
    for (std::int64_t n = 0; n < width; ++n) {
      double sum = load(db.as<A>()[n]);
      for (std::int64_t t = 0; t < rows; ++t)
        sum += load(row<const C>(dy, t)[n]);
      store(db.as<A>()[n], sum);
    }
  });
}

}  // namespace tera::kernels::ref
