// Products per expert, all at once.
#include <vector>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::cpu {
namespace {

const std::byte* at(const View& v, std::int64_t element) {
  return v.as<const std::byte>() + element * dtype_bytes(v.dtype);
}

}  // namespace

void grouped_matmul(
    const Context& context, View x, View w, View offsets, View y, bool transpose_w) {
  const auto dims = contract::check_grouped_matmul(x, w, offsets, y, transpose_w);
  if (y.dtype == DType::f64) return ref::grouped_matmul(context, x, w, offsets, y, transpose_w);
  const auto* o = offsets.as<const std::int64_t>();
  std::vector<Product> products;
  for (std::int64_t e = 0; e < dims.experts; ++e) {
    products.push_back({.a = {at(x, o[e] * dims.k), x.dtype, dims.k, o[e + 1] - o[e], true},
                        .b = {at(w, e * dims.n * dims.k), w.dtype, transpose_w ? dims.k : dims.n,
                              dims.n, transpose_w},
                        .c = y.as<std::byte>() + o[e] * dims.n * dtype_bytes(y.dtype),
                        .c_dtype = y.dtype,
                        .c_stride = dims.n,
                        .k = dims.k});
  }
  run_products(*context.executor, products);
}

void grouped_matmul_weight(
    const Context& context, View dy, View x, View offsets, View dw, bool accumulate) {
  const auto dims = contract::check_grouped_matmul_weight(dy, x, offsets, dw);
  if (dw.dtype == DType::f64)
    return ref::grouped_matmul_weight(context, dy, x, offsets, dw, accumulate);
  const auto* o = offsets.as<const std::int64_t>();
  std::vector<Product> products;  // of an expert without rows too: it may have to be zero
  for (std::int64_t e = 0; e < dims.experts; ++e) {
    products.push_back({.a = {at(dy, o[e] * dims.n), dy.dtype, dims.n, dims.n, false},
                        .b = {at(x, o[e] * dims.k), x.dtype, dims.k, dims.k, false},
                        .c = dw.as<float>() + e * dims.n * dims.k,
                        .c_stride = dims.k,
                        .k = o[e + 1] - o[e],
                        .accumulate = accumulate});
  }
  run_products(*context.executor, products);
}

}  // namespace tera::kernels::cpu
