// matmul by packed panels (gemm.cpp).
#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::cpu {

void matmul(const Context& context, View a, View b, View c, MatmulOptions options) {
  const auto [m, n, k] = contract::check_matmul(a, b, c, options);
  if (c.dtype == DType::f64) return ref::matmul(context, a, b, c, options);
  const Product product{.a = {a.data, a.dtype, a.strides[0], m, !options.transpose_a},
                        .b = {b.data, b.dtype, b.strides[0], n, options.transpose_b},
                        .c = c.data,
                        .c_dtype = c.dtype,
                        .c_stride = c.strides[0],
                        .k = k,
                        .accumulate = options.accumulate};
  run_products(*context.executor, {&product, 1});
}

}  // namespace tera::kernels::cpu
