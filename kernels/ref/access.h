// How the reference ops read and write: every element becomes a double and is rounded once, when it
// is stored. Ops are templates over the element type; with_compute_type picks the instance.
#pragma once
#include <cstdint>
#include <utility>

#include "kernels/bf16.h"
#include "kernels/f16.h"
#include "kernels/view.h"

namespace tera::kernels::ref {

inline double load(double v) {
  return v;
}
inline double load(float v) {
  return static_cast<double>(v);
}
inline double load(Bf16 v) {
  return static_cast<double>(static_cast<float>(v));
}

inline double load(F16 v) {
  return static_cast<double>(static_cast<float>(v));
}

inline void store(double& to, double v) {
  to = v;
}
inline void store(float& to, double v) {
  to = static_cast<float>(v);
}
inline void store(Bf16& to, double v) {
  to = Bf16(static_cast<float>(v));
}
inline void store(F16& to, double v) {
  to = F16(static_cast<float>(v));
}

// Row i of a view whose first dim has any stride.
template <class T>
T* row(const View& view, std::int64_t i) {
  return view.as<T>() + i * view.strides[0];
}

// Vector at (i, j) of a view of three dims, (i, j, k) of four.
template <class T>
T* row(const View& view, std::int64_t i, std::int64_t j) {
  return row<T>(view, i) + j * view.strides[1];
}
template <class T>
T* row(const View& view, std::int64_t i, std::int64_t j, std::int64_t k) {
  return row<T>(view, i, j) + k * view.strides[2];
}

// Calls body.operator()<C, A>() with the compute type C of `dtype` and its accumulation type A.
template <class Body>
void with_compute_type(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::f64:
      return body.template operator()<double, double>();
    case DType::bf16:
      return body.template operator()<Bf16, float>();
    case DType::f16:
      return body.template operator()<F16, float>();
    default:
      return body.template operator()<float, float>();
  }
}

// The same over accumulation types alone: f32 or f64.
template <class Body>
void with_accumulate_type(DType dtype, Body&& body) {
  if (dtype == DType::f64) return body.template operator()<double>();
  return body.template operator()<float>();
}

// n elements from `data` on as doubles.
inline void load_row(const View& view, std::int64_t offset, std::int64_t n, double* to) {
  with_compute_type(view.dtype, [&]<class C, class A>() {
    const C* from = view.as<const C>() + offset;
    for (std::int64_t i = 0; i < n; ++i)
      to[i] = load(from[i]);
  });
}

inline void store_row(const View& view, std::int64_t offset, std::int64_t n, const double* from) {
  with_compute_type(view.dtype, [&]<class C, class A>() {
    C* to = view.as<C>() + offset;
    for (std::int64_t i = 0; i < n; ++i)
      store(to[i], from[i]);
  });
}

}  // namespace tera::kernels::ref
