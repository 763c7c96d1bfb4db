// What the cases of `teragpt bench ops` are made with, and their families.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "app/teragpt/op_cases.h"
#include "app/teragpt/random_tensor.h"
#include "core/tensor/tensor.h"

namespace tera::app {

using Shape = std::vector<std::int64_t>;
using Call = std::function<void()>;
using Cases = std::vector<OpCase>;

inline constexpr DType kComputeDtypes[] = {DType::f32, DType::bf16};

inline Tensor zeros(Backend& backend, DType dtype, const Shape& shape) {
  return Tensor::zeros(backend, shape, dtype, MemoryKind::workspace);
}

inline Tensor ones(Backend& backend, std::int64_t n) {
  const Tensor values = zeros(backend, DType::f32, {n});
  std::fill_n(values.data<float>(), n, 1.0F);
  return values;
}

inline double bytes_of(DType dtype, const Shape& shape) {
  double bytes = static_cast<double>(dtype_bytes(dtype));
  for (const std::int64_t extent : shape)
    bytes *= static_cast<double>(extent);
  return bytes;
}

Cases product_cases();  // matrix products and attention: operations count
Cases stream_cases();   // what runs over [tokens, width]: bytes count
Cases norm_cases();
Cases head_cases();     // queries and keys
Cases routing_cases();  // router and dispatch
Cases update_cases();   // optimizers and weights

}  // namespace tera::app
