// Products per expert. All tiles of all experts are the tasks of one loop: an expert with few rows
// costs little, one with many is shared, and nobody waits between experts.
#include <algorithm>
#include <vector>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::cpu {
namespace {

// Tiles are large enough that packing for oneself costs a few percent.
constexpr std::int64_t kTileRows = 384;
constexpr std::int64_t kTileColumns = 512;

struct ExpertTile {
  std::int64_t expert;
  TileRange range;
};

// Tiles of equal size over an m x n result of each expert, m given by `rows_of`.
template <class RowsOf>
std::vector<ExpertTile> tiles_of(std::int64_t experts, std::int64_t n, RowsOf&& rows_of) {
  std::vector<ExpertTile> tiles;
  for (std::int64_t e = 0; e < experts; ++e) {
    const std::int64_t m = rows_of(e);
    if (m == 0 || n == 0) continue;
    const std::int64_t row_tiles = (m + kTileRows - 1) / kTileRows;
    const std::int64_t column_tiles = (n + kTileColumns - 1) / kTileColumns;
    const std::int64_t rows = (m + row_tiles - 1) / row_tiles;
    const std::int64_t columns = ((n + column_tiles - 1) / column_tiles + 31) / 32 * 32;
    for (std::int64_t col = 0; col < n; col += columns) {
      for (std::int64_t row = 0; row < m; row += rows)
        tiles.push_back({e, {row, std::min(rows, m - row), col, std::min(columns, n - col)}});
    }
  }
  return tiles;
}

const std::byte* at(const View& v, std::int64_t element) {
  return v.as<const std::byte>() + element * dtype_bytes(v.dtype);
}

}  // namespace

void grouped_matmul(
    const Context& context, View x, View w, View offsets, View y, bool transpose_w) {
  const auto dims = contract::check_grouped_matmul(x, w, offsets, y, transpose_w);
  if (y.dtype == DType::f64) return ref::grouped_matmul(context, x, w, offsets, y, transpose_w);
  const auto* o = offsets.as<const std::int64_t>();
  const std::vector<ExpertTile> tiles =
      tiles_of(dims.experts, dims.n, [&](std::int64_t e) { return o[e + 1] - o[e]; });
  const GemmKernel& kernel = gemm_kernel_for(x.dtype, w.dtype);
  context.executor->parallel_for(std::ssize(tiles), [&](std::int64_t task, int worker) {
    const ExpertTile& tile = tiles[static_cast<std::size_t>(task)];
    const std::int64_t first = o[tile.expert];
    const Product product{
        .a = {at(x, first * dims.k), x.dtype, dims.k, o[tile.expert + 1] - first, true},
        .b = {at(w, tile.expert * dims.n * dims.k), w.dtype, transpose_w ? dims.k : dims.n, dims.n,
              transpose_w},
        .c = y.as<std::byte>() + first * dims.n * dtype_bytes(y.dtype),
        .c_dtype = y.dtype,
        .c_stride = dims.n,
        .k = dims.k};
    run_tile(*context.executor, worker, kernel, product, tile.range);
  });
}

void grouped_matmul_weight(
    const Context& context, View dy, View x, View offsets, View dw, bool accumulate) {
  const auto dims = contract::check_grouped_matmul_weight(dy, x, offsets, dw);
  if (dw.dtype == DType::f64)
    return ref::grouped_matmul_weight(context, dy, x, offsets, dw, accumulate);
  const auto* o = offsets.as<const std::int64_t>();
  // An expert without rows adds nothing, but it may have to be zero.
  const std::vector<ExpertTile> tiles = tiles_of(dims.experts, dims.k, [&](std::int64_t e) {
    return accumulate && o[e] == o[e + 1] ? 0 : dims.n;
  });
  const GemmKernel& kernel = gemm_kernel_for(dy.dtype, x.dtype);
  context.executor->parallel_for(std::ssize(tiles), [&](std::int64_t task, int worker) {
    const ExpertTile& tile = tiles[static_cast<std::size_t>(task)];
    const std::int64_t first = o[tile.expert];
    const Product product{.a = {at(dy, first * dims.n), dy.dtype, dims.n, dims.n, false},
                          .b = {at(x, first * dims.k), x.dtype, dims.k, dims.k, false},
                          .c = dw.as<float>() + tile.expert * dims.n * dims.k,
                          .c_stride = dims.k,
                          .k = o[tile.expert + 1] - first,
                          .accumulate = accumulate};
    run_tile(*context.executor, worker, kernel, product, tile.range);
  });
}

}  // namespace tera::kernels::cpu
