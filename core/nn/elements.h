// Element loops over small f32 and f64 tensors on the host: scores, counts, biases. Not for the
// bulk of the work, which goes through ops.
#pragma once
#include "core/tensor/tensor.h"

namespace tera::nn {

// Calls body with a pointer to the elements, of float or double; write to them through T.
template <class Body>
void with_elements(const Tensor& tensor, Body&& body) {
  if (tensor.dtype() == DType::f64) return body(tensor.data<double>());
  body(tensor.data<float>());
}

}  // namespace tera::nn
