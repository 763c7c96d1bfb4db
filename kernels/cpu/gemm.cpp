// Blocking. K is cut into blocks of at most 512 units: a row panel of one block (12 x 512 x 4 B)
// then stays in the first-level cache while the column panels of a tile (256 columns, 512 KiB) pass
// it from the second level. Whole products are packed once into shared scratch, in blocks that fit
// the last-level cache, by all workers; then all workers take tiles. Single tiles (experts) pack
// for themselves: their panels are used by no one else. Row panels are of equal height: 64 rows are
// 6 panels of 11, not 5 of 12 and one of 4, which would leave the FMA units waiting.
#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <cstddef>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/dot_kernel.h"

namespace tera::kernels::cpu {
namespace {

constexpr std::int64_t kBlockUnits = 512;  // K of one panel
constexpr std::int64_t kSharedBlocks = 8;  // K blocks packed at a time
constexpr std::int64_t kTileColumns = 256;
constexpr std::int64_t kDotRows = 32;  // rows up to which dot products in place are faster
constexpr std::int64_t kDotColumns = 96;
constexpr std::int64_t kPanelPad = 16;  // a pack writes up to 15 units beyond its panel

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// How K is cut. A function of K and the kernel alone.
struct KBlocks {
  std::int64_t k, unit_elements;
  std::int64_t units_per_block, count;

  KBlocks(std::int64_t k_size, const GemmKernel& kernel)
      : k(k_size), unit_elements(kernel.unit_elements) {
    const std::int64_t units = ceil_div(k, unit_elements);
    const std::int64_t blocks = std::max<std::int64_t>(1, ceil_div(units, kBlockUnits));
    units_per_block = ceil_div(ceil_div(units, blocks), 4) * 4;
    count = std::max<std::int64_t>(1, ceil_div(units, units_per_block));
  }
  std::int64_t begin(std::int64_t block) const { return block * units_per_block * unit_elements; }
  std::int64_t end(std::int64_t block) const { return std::min(k, begin(block + 1)); }
  std::int64_t units(std::int64_t block) const {
    return ceil_div(end(block) - begin(block), unit_elements);
  }
};

// Vectors [first, first + count) of an operand in panels of equal width.
struct Panels {
  std::int64_t first, count;
  std::int64_t width;
  std::int64_t stride;  // units from panel to panel of a K block
  bool padded;          // the last one is as wide as the others

  std::int64_t num() const { return ceil_div(count, width); }
  std::int64_t size(std::int64_t panel) const { return std::min(width, count - panel * width); }
};

Panels row_panels(std::int64_t first,
                  std::int64_t count,
                  const GemmKernel& kernel,
                  const KBlocks& blocks) {
  const std::int64_t height = ceil_div(count, ceil_div(count, kernel.mr));
  return {first, count, height, ceil_div(height * blocks.units_per_block + kPanelPad, 16) * 16,
          false};
}

Panels column_panels(std::int64_t first,
                     std::int64_t count,
                     const GemmKernel& kernel,
                     const KBlocks& blocks) {
  return {first, count, kernel.nr, kernel.nr * blocks.units_per_block, true};
}

// Panels [first, end) of a K block; the last row panel is packed at its own height.
void pack_panels(const GemmKernel& kernel,
                 const Operand& operand,
                 const Panels& panels,
                 std::int64_t first,
                 std::int64_t end,
                 const KBlocks& blocks,
                 std::int64_t block,
                 std::uint32_t* to) {
  const auto pack = [&](std::int64_t from, std::int64_t until, std::int64_t width) {
    const std::int64_t begin = from * panels.width;
    kernel.pack(operand,
                {panels.first + begin, std::min(panels.count, until * panels.width) - begin,
                 blocks.begin(block), blocks.end(block)},
                width, panels.stride, to + (from - first) * panels.stride);
  };
  const std::int64_t full = panels.padded ? end : std::min(end, panels.count / panels.width);
  if (first < full) pack(first, full, panels.width);
  if (full < end) pack(std::max(first, full), end, panels.size(end - 1));
}

// Rows of c as f32: c itself, or scratch that is rounded into it at the end.
struct Target {
  float* data;
  std::int64_t stride;
};

// Panels [row_begin, row_end) x [col_begin, col_end) of one K block. a and b point at panel 0 of
// it; target at its row and column 0.
struct PanelGrid {
  const std::uint32_t* a;
  const std::uint32_t* b;
  const Panels* rows;
  const Panels* columns;
  std::int64_t row_begin, row_end, col_begin, col_end;
};

void multiply_grid(
    const GemmKernel& kernel, const PanelGrid& grid, std::int64_t units, Target target, bool add) {
  for (std::int64_t r = grid.row_begin; r < grid.row_end; ++r) {
    for (std::int64_t c = grid.col_begin; c < grid.col_end; ++c) {
      kernel.multiply(grid.rows->size(r), units, grid.a + r * grid.rows->stride,
                      grid.b + c * grid.columns->stride,
                      target.data + r * grid.rows->width * target.stride + c * grid.columns->width,
                      target.stride, grid.columns->size(c), add);
    }
  }
}

void round_tile(const Product& product, const TileRange& tile, Target from) {
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    round_row(from.data + r * from.stride,
              static_cast<Bf16*>(product.c) + (tile.row + r) * product.c_stride + tile.col,
              tile.cols, product.accumulate);
  }
}

std::size_t unit_bytes(std::int64_t units) {
  return static_cast<std::size_t>(units) * sizeof(std::uint32_t);
}

float* scratch_f32(Executor& executor, int worker, int slot, std::int64_t n) {
  return reinterpret_cast<float*>(
      executor.scratch(worker, slot, static_cast<std::size_t>(n) * sizeof(float)));
}

std::uint32_t* scratch_units(Executor& executor, int worker, int slot, std::int64_t n) {
  return reinterpret_cast<std::uint32_t*>(executor.scratch(worker, slot, unit_bytes(n)));
}

// A product whose K is empty: c = 0, or c as it is.
void clear(const Product& product, const TileRange& tile) {
  if (product.accumulate) return;
  const auto size = static_cast<std::size_t>(dtype_bytes(product.c_dtype));
  for (std::int64_t r = tile.row; r < tile.row + tile.rows; ++r) {
    auto* row = static_cast<std::byte*>(product.c) +
                static_cast<std::size_t>(r * product.c_stride + tile.col) * size;
    std::fill_n(row, static_cast<std::size_t>(tile.cols) * size, std::byte{0});
  }
}

// Few rows: dot products from memory.
bool few_rows(const Product& product) {
  return product.a.count <= kDotRows && product.a.contiguous_k && product.b.contiguous_k;
}

void run_dot_tile(Executor& executor, int worker, const Product& product, const TileRange& tile) {
  float* sums = scratch_f32(executor, worker, 0, tile.rows * tile.cols);
  dot_tile_for(product.a.dtype, product.b.dtype)(product.a, tile.row, tile.rows, product.b,
                                                 tile.col, tile.cols, product.k, sums);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const float* from = sums + r * tile.cols;
    const std::int64_t at = (tile.row + r) * product.c_stride + tile.col;
    if (product.c_dtype == DType::bf16) {
      round_row(from, static_cast<Bf16*>(product.c) + at, tile.cols, product.accumulate);
    } else if (product.accumulate) {
      add_row_f32(from, static_cast<float*>(product.c) + at, tile.cols);
    } else {
      std::copy_n(from, tile.cols, static_cast<float*>(product.c) + at);
    }
  }
}

// The shared form: panels of all workers, one block of rows, columns and K after the other.
class SharedProduct {
 public:
  SharedProduct(Executor& executor, const Product& product)
      : executor_(executor),
        product_(product),
        kernel_(gemm_kernel_for(product.a.dtype, product.b.dtype)),
        blocks_(product.k, kernel_) {}

  void run() {
    const std::int64_t m = product_.a.count;
    const std::int64_t n = product_.b.count;
    const std::int64_t depth = std::min(blocks_.count, kSharedBlocks);
    // Bytes of packed rows, and of packed columns, kept at a time.
    const std::int64_t budget =
        std::clamp<std::int64_t>(executor_.num_workers() * (4LL << 20), 8LL << 20, 256LL << 20);
    const std::int64_t most =
        std::max<std::int64_t>(kTileColumns, budget / (4 * depth * blocks_.units_per_block));
    const std::int64_t row_step = ceil_div(m, ceil_div(m, most));
    const std::int64_t col_step =
        ceil_div(ceil_div(n, ceil_div(n, most)), kTileColumns) * kTileColumns;
    const bool needs_sum = product_.c_dtype != DType::f32 && blocks_.count > depth;
    if (needs_sum) sum_ = {scratch_f32(executor_, -1, 2, m * n), n};
    for (block_begin_ = 0; block_begin_ < blocks_.count; block_begin_ += depth) {
      block_end_ = std::min(blocks_.count, block_begin_ + depth);
      for (std::int64_t row = 0; row < m; row += row_step) {
        rows_ = row_panels(row, std::min(row_step, m - row), kernel_, blocks_);
        a_ = scratch_units(executor_, -1, 0, rows_.num() * rows_.stride * depth);
        for (std::int64_t col = 0; col < n; col += col_step) {
          columns_ = column_panels(col, std::min(col_step, n - col), kernel_, blocks_);
          b_ = scratch_units(executor_, -1, 1, columns_.num() * columns_.stride * depth);
          pack(col == 0);
          multiply();
        }
      }
    }
  }

 private:
  // Row panels too when with_rows; a few panels per task.
  void pack(bool with_rows) {
    const std::int64_t depth = block_end_ - block_begin_;
    const std::int64_t column_groups = ceil_div(columns_.num(), kPanelsPerTask);
    const std::int64_t row_groups = with_rows ? ceil_div(rows_.num(), kPanelsPerTask) : 0;
    executor_.parallel_for((column_groups + row_groups) * depth, [&](std::int64_t task, int) {
      const std::int64_t block = task / (column_groups + row_groups);
      const std::int64_t group = task % (column_groups + row_groups);
      if (group < column_groups) {
        pack_group(product_.b, columns_, group, block, b_);
      } else {
        pack_group(product_.a, rows_, group - column_groups, block, a_);
      }
    });
  }

  // `block` counts from block_begin_.
  void pack_group(const Operand& operand,
                  const Panels& panels,
                  std::int64_t group,
                  std::int64_t block,
                  std::uint32_t* to) const {
    const std::int64_t first = group * kPanelsPerTask;
    pack_panels(kernel_, operand, panels, first, std::min(panels.num(), first + kPanelsPerTask),
                blocks_, block_begin_ + block, to + (block * panels.num() + first) * panels.stride);
  }

  void multiply() {
    const std::int64_t panels_per_task = kTileColumns / kernel_.nr;
    const std::int64_t column_tasks = ceil_div(columns_.num(), panels_per_task);
    const std::int64_t wanted = ceil_div(kTasksPerWorker * executor_.num_workers(), column_tasks);
    const std::int64_t row_tasks =
        std::clamp<std::int64_t>(wanted, 1, ceil_div(rows_.num(), kPanelsPerTask));
    const std::int64_t rows_per_task = ceil_div(rows_.num(), row_tasks);
    executor_.parallel_for(column_tasks * row_tasks, [&](std::int64_t task, int worker) {
      const std::int64_t column = task / row_tasks * panels_per_task;
      const std::int64_t row = task % row_tasks * rows_per_task;
      if (row >= rows_.num()) return;
      multiply_tile(worker, {.a = a_,
                             .b = b_,
                             .rows = &rows_,
                             .columns = &columns_,
                             .row_begin = row,
                             .row_end = std::min(rows_.num(), row + rows_per_task),
                             .col_begin = column,
                             .col_end = std::min(columns_.num(), column + panels_per_task)});
    });
  }

  void multiply_tile(int worker, PanelGrid grid) const {
    const TileRange tile = range_of(grid);
    const bool last = block_end_ == blocks_.count;
    const bool direct = product_.c_dtype == DType::f32;
    Target target{};
    if (direct) {
      target = {static_cast<float*>(product_.c) + rows_.first * product_.c_stride + columns_.first,
                product_.c_stride};
    } else if (sum_.data != nullptr) {
      target = {sum_.data + rows_.first * sum_.stride + columns_.first, sum_.stride};
    } else {
      float* tile_data = scratch_f32(executor_, worker, 2, tile.rows * tile.cols);
      target = {tile_data - (tile.row - rows_.first) * tile.cols - (tile.col - columns_.first),
                tile.cols};
    }
    for (std::int64_t block = block_begin_; block < block_end_; ++block) {
      multiply_grid(kernel_, grid, blocks_.units(block), target,
                    block > 0 || (direct && product_.accumulate));
      grid.a += rows_.num() * rows_.stride;
      grid.b += columns_.num() * columns_.stride;
    }
    if (direct || !last) return;
    const std::int64_t corner =
        (tile.row - rows_.first) * target.stride + tile.col - columns_.first;
    round_tile(product_, tile, {target.data + corner, target.stride});
  }

  TileRange range_of(const PanelGrid& grid) const {
    const std::int64_t row = grid.row_begin * rows_.width;
    const std::int64_t col = grid.col_begin * columns_.width;
    return {rows_.first + row, std::min(rows_.count, grid.row_end * rows_.width) - row,
            columns_.first + col, std::min(columns_.count, grid.col_end * columns_.width) - col};
  }

  static constexpr std::int64_t kPanelsPerTask = 4;
  static constexpr std::int64_t kTasksPerWorker = 8;

  Executor& executor_;
  const Product& product_;
  const GemmKernel& kernel_;
  KBlocks blocks_;
  Panels rows_{};
  Panels columns_{};
  std::int64_t block_begin_ = 0;
  std::int64_t block_end_ = 0;
  std::uint32_t* a_ = nullptr;  // [blocks, row panels, panel]
  std::uint32_t* b_ = nullptr;  // [blocks, column panels, panel]
  Target sum_{};                // bf16 c whose K takes several rounds
};

}  // namespace

const GemmKernel& gemm_kernel_for(DType a, DType b) {
  const GemmKernel* pairs = a == DType::bf16 && b == DType::bf16 ? bf16_gemm_kernel() : nullptr;
  return pairs != nullptr ? *pairs : f32_gemm_kernel();
}

void run_product(Executor& executor, const Product& product) {
  const TileRange all{0, product.a.count, 0, product.b.count};
  if (all.rows == 0 || all.cols == 0) return;
  if (product.k == 0) return clear(product, all);
  if (few_rows(product)) {
    executor.parallel_for(ceil_div(all.cols, kDotColumns), [&](std::int64_t task, int worker) {
      const std::int64_t col = task * kDotColumns;
      run_dot_tile(executor, worker, product,
                   {0, all.rows, col, std::min(kDotColumns, all.cols - col)});
    });
    return;
  }
  SharedProduct(executor, product).run();
}

void run_tile(Executor& executor,
              int worker,
              const GemmKernel& kernel,
              const Product& product,
              const TileRange& tile) {
  if (tile.rows == 0 || tile.cols == 0) return;
  if (product.k == 0) return clear(product, tile);
  if (few_rows(product)) return run_dot_tile(executor, worker, product, tile);
  const KBlocks blocks(product.k, kernel);
  const Panels rows = row_panels(tile.row, tile.rows, kernel, blocks);
  const Panels columns = column_panels(tile.col, tile.cols, kernel, blocks);
  std::uint32_t* a = scratch_units(executor, worker, 0, rows.num() * rows.stride);
  const std::int64_t group = kTileColumns / kernel.nr;
  std::uint32_t* b = scratch_units(executor, worker, 1, group * columns.stride);
  const bool direct = product.c_dtype == DType::f32;
  Target target{};
  if (direct) {
    target = {static_cast<float*>(product.c) + tile.row * product.c_stride + tile.col,
              product.c_stride};
  } else {
    target = {scratch_f32(executor, worker, 2, tile.rows * tile.cols), tile.cols};
  }
  for (std::int64_t block = 0; block < blocks.count; ++block) {
    pack_panels(kernel, product.a, rows, 0, rows.num(), blocks, block, a);
    // A few column panels at a time, multiplied while the second-level cache holds them.
    for (std::int64_t first = 0; first < columns.num(); first += group) {
      const std::int64_t end = std::min(columns.num(), first + group);
      pack_panels(kernel, product.b, columns, first, end, blocks, block, b);
      const Panels part{columns.first + first * columns.width,
                        std::min(columns.count - first * columns.width, group * columns.width),
                        columns.width, columns.stride, true};
      multiply_grid(kernel, {a, b, &rows, &part, 0, rows.num(), 0, end - first},
                    blocks.units(block), {target.data + first * columns.width, target.stride},
                    block > 0 || (direct && product.accumulate));
    }
  }
  if (!direct) round_tile(product, tile, target);
}

}  // namespace tera::kernels::cpu
