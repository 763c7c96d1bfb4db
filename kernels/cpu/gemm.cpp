#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/dot_kernel.h"
#include "kernels/cpu/panel_products.h"
#include "kernels/cpu/scratch.h"

namespace tera::kernels::cpu {
namespace {

constexpr std::int64_t kDotColumns = 96;

// A product whose K is empty: c = 0, or c as it is.
void clear(const Product& product, Range columns) {
  if (product.accumulate) return;
  const auto size = static_cast<std::size_t>(dtype_bytes(product.c_dtype));
  for (std::int64_t r = 0; r < product.a.count; ++r) {
    auto* row = static_cast<std::byte*>(product.c) +
                static_cast<std::size_t>(r * product.c_stride + columns.begin) * size;
    std::fill_n(row, static_cast<std::size_t>(columns.size()) * size, std::byte{0});
  }
}

// Dot products from memory, which are faster up to about this many rows.
bool few_rows(const Product& product) {
  return product.a.count <= kFewRows && product.a.contiguous_k && product.b.contiguous_k;
}

void run_dots(Executor& executor, int worker, const Product& product, Range columns) {
  const std::int64_t rows = product.a.count;
  float* sums = scratch_f32(executor, worker, 0, rows * columns.size());
  dot_tile_for(product.a.dtype, product.b.dtype)(product.a, 0, rows, product.b, columns.begin,
                                                 columns.size(), product.k, sums);
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* from = sums + r * columns.size();
    const std::int64_t at = r * product.c_stride + columns.begin;
    if (product.c_dtype == DType::bf16) {
      round_row(from, static_cast<Bf16*>(product.c) + at, columns.size(), product.accumulate);
    } else if (product.accumulate) {
      add_row_f32(from, static_cast<float*>(product.c) + at, columns.size());
    } else {
      std::copy_n(from, columns.size(), static_cast<float*>(product.c) + at);
    }
  }
}

}  // namespace

const GemmKernel& gemm_kernel_for(DType a, DType b) {
  const GemmKernel* pairs = a == DType::bf16 && b == DType::bf16 ? bf16_gemm_kernel() : nullptr;
  return pairs != nullptr ? *pairs : f32_gemm_kernel();
}

void run_products(Executor& executor, std::span<const Product> products) {
  if (products.empty()) return;
  PanelProducts by_panels(executor,
                          gemm_kernel_for(products.front().a.dtype, products.front().b.dtype));
  struct Strip {
    const Product* product;
    Range columns;
  };
  std::vector<Strip> strips;  // of products without panels
  for (const Product& product : products) {
    if (product.a.count == 0 || product.b.count == 0) continue;
    if (product.k > 0 && !few_rows(product)) {
      by_panels.add(product);
      continue;
    }
    for (std::int64_t c = 0; c < product.b.count; c += kDotColumns)
      strips.push_back({&product, {c, std::min(product.b.count, c + kDotColumns)}});
  }
  executor.parallel_for(std::ssize(strips), [&](std::int64_t i, int worker) {
    const auto& [product, columns] = strips[static_cast<std::size_t>(i)];
    if (product->k == 0) return clear(*product, columns);
    run_dots(executor, worker, *product, columns);
  });
  by_panels.run();
}

}  // namespace tera::kernels::cpu
