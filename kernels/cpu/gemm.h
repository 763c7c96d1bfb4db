// Products cut into tasks and panels. Each element of c is summed in one of two orders: by panels,
// K cut into fixed blocks and never between workers, or, where a has at most kFewRows rows and both
// operands are contiguous along K, as one dot product in place. Both depend on K alone, so the bits
// do not depend on the number of workers or on how rows and columns are shared out, but a row of
// few and the same row of many may differ in the last bits.
#pragma once
#include <cstdint>
#include <span>

#include "kernels/cpu/gemm_kernel.h"
#include "kernels/ops.h"

namespace tera::kernels::cpu {

// c [a.count, b.count] (+)= a b over k.
struct Product {
  Operand a;
  Operand b;
  void* c = nullptr;
  DType c_dtype = DType::f32;  // f32 or bf16
  std::int64_t c_stride = 0;
  std::int64_t k = 0;
  bool accumulate = false;
};

// The kernel for these operands on this processor.
const GemmKernel& gemm_kernel_for(DType a, DType b);

// All of them, shared out over the workers: a product with few rows costs little, one with many is
// shared, and nobody waits between products. Operands are of the same dtypes in all products.
void run_products(Executor& executor, std::span<const Product> products);

}  // namespace tera::kernels::cpu
