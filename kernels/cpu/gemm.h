// Products cut into tiles and panels. Each element of c is summed in an order that depends on K
// alone: K is cut into fixed blocks, never between workers, so the bits do not depend on the number
// of workers or on how rows and columns are shared out.
#pragma once
#include <cstdint>

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

struct TileRange {
  std::int64_t row, rows;
  std::int64_t col, cols;
};

// The kernel for these operands on this processor.
const GemmKernel& gemm_kernel_for(DType a, DType b);

// The whole product, shared out over the workers.
void run_product(Executor& executor, const Product& product);

// One tile of c on the calling worker alone, packing into its scratch slots 0 and 1 (2 for bf16 c).
void run_tile(Executor& executor,
              int worker,
              const GemmKernel& kernel,
              const Product& product,
              const TileRange& tile);

}  // namespace tera::kernels::cpu
