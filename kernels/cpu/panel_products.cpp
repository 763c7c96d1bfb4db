#include "kernels/cpu/panel_products.h"

#include <algorithm>
#include <cstddef>

#include "kernels/cpu/scratch.h"

namespace tera::kernels::cpu {
namespace {

constexpr std::int64_t kCachedBytes = 256 << 10;  // of panels: a quarter of a second-level cache
constexpr std::int64_t kSharedBytes = 4 << 20;    // of packed shared sides at a time, per worker
constexpr std::int64_t kPanelsPerPack = 4;        // of shared panels, in one task
constexpr std::int64_t kTasksPerWorker = 2;       // at least

std::int64_t panels_in_cache(const Panels& panels) {
  return std::max<std::int64_t>(1, kCachedBytes / (4 * panels.stride));
}

}  // namespace

void PanelProducts::add(const Product& product) {
  const KBlocks blocks(product.k, kernel_);
  parts_.push_back({.product = &product,
                    .blocks = blocks,
                    .rows = row_panels(product.a, kernel_, blocks),
                    .columns = column_panels(product.b, kernel_, blocks),
                    .own_columns = product.b.count >= product.a.count,
                    .now = {0, blocks.count}});
}

void PanelProducts::run() {
  for (std::size_t first = 0; first < parts_.size();) {
    const std::span<Part> parts = batch(first);
    first += parts.size();
    Part& part = parts.front();
    const std::int64_t at_once = blocks_at_once(part);
    if (at_once >= part.blocks.count) {
      run_blocks(parts);
      continue;
    }
    if (part.product->c_dtype != DType::f32)
      part.sums = scratch_f32(executor_, -1, 1, part.product->a.count * part.product->b.count);
    for (std::int64_t block = 0; block < part.blocks.count; block += at_once) {
      part.now = {block, std::min(part.blocks.count, block + at_once)};
      run_blocks({&part, 1});
    }
  }
}

std::int64_t PanelProducts::most_shared_units() const {
  return kSharedBytes / 4 * executor_.num_workers();
}

std::int64_t PanelProducts::blocks_at_once(const Part& part) const {
  const Product& product = *part.product;
  const std::int64_t all = part.blocks.count;
  const std::int64_t some =
      std::clamp<std::int64_t>(most_shared_units() / part.block_units(), 1, all);
  const bool has_sums = product.c_dtype != DType::f32;
  const std::int64_t sums = has_sums ? product.a.count * product.b.count : 0;
  return some * part.block_units() + sums < all * part.block_units() ? some : all;
}

std::span<PanelProducts::Part> PanelProducts::batch(std::size_t first) {
  std::int64_t units = parts_[first].shared_units();
  std::size_t end = first + 1;
  while (end < parts_.size() && units + parts_[end].shared_units() <= most_shared_units())
    units += parts_[end++].shared_units();
  return std::span(parts_).subspan(first, end - first);
}

void PanelProducts::run_blocks(std::span<Part> parts) {
  pack_shared(parts);
  std::vector<Task> tasks;
  for (const Part& part : parts)
    add_tasks(part, parts.size(), tasks);
  executor_.parallel_for(std::ssize(tasks), [&](std::int64_t i, int worker) {
    // The task that this worker is likely to take after it.
    const auto next = static_cast<std::size_t>(i + executor_.num_workers());
    run_task(worker, tasks[static_cast<std::size_t>(i)],
             next < tasks.size() ? &tasks[next] : nullptr);
  });
}

void PanelProducts::pack_shared(std::span<Part> parts) {
  struct Pack {  // over all of K: vectors contiguous along it are read from end to end
    const Part* part;
    Range panels;
  };
  std::vector<Pack> packs;
  std::int64_t units = 0;
  for (const Part& part : parts) {
    units += part.shared_units();
    const std::int64_t num = part.shared().num();
    for (std::int64_t p = 0; p < num; p += kPanelsPerPack)
      packs.push_back({&part, {p, std::min(num, p + kPanelsPerPack)}});
  }
  std::uint32_t* scratch = scratch_units(executor_, -1, 0, units);
  for (Part& part : parts) {
    part.packed = scratch;
    scratch += part.shared_units();
  }
  executor_.parallel_for(std::ssize(packs), [&](std::int64_t i, int) {
    const auto& [part, panels] = packs[static_cast<std::size_t>(i)];
    const Panels& shared = part->shared();
    for (std::int64_t block = part->now.begin; block < part->now.end; ++block) {
      pack_panels(kernel_, shared, panels, part->blocks.block(block),
                  part->packed_block(block) + panels.begin * shared.stride);
    }
  });
}

// Equal tasks, for each worker equally many: as few as the cache allows, and at least two, so that
// panels are fetched while others are multiplied. Where the own side is too short for that, tasks
// share it and each packs it again.
void PanelProducts::add_tasks(const Part& part,
                              std::size_t num_parts,
                              std::vector<Task>& tasks) const {
  const std::int64_t workers =
      ceil_div(executor_.num_workers(), static_cast<std::int64_t>(num_parts));
  const Range own{0, part.own().num()};
  const Range shared{0, part.shared().num()};
  const std::int64_t fewest =
      std::max(kTasksPerWorker * workers, ceil_div(own.end, panels_in_cache(part.own())));
  const std::int64_t groups = std::min(own.end, ceil_div(fewest, workers) * workers);
  const std::int64_t splits = std::clamp<std::int64_t>(ceil_div(kTasksPerWorker * workers, groups),
                                                       1, ceil_div(shared.end, kPanelsPerPack));
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::int64_t s = 0; s < splits; ++s)
      tasks.push_back({&part, equal_part(own, groups, g), equal_part(shared, splits, s)});
  }
}

void PanelProducts::run_task(int worker, const Task& task, const Task* next) const {
  const Part& part = *task.part;
  std::uint32_t* own = scratch_units(executor_, worker, 0, task.own.size() * part.own().stride);
  const std::int64_t calls = task.own.size() * task.shared.size();
  for (std::int64_t block = part.now.begin; block < part.now.end; ++block) {
    pack_panels(kernel_, part.own(), task.own, part.blocks.block(block), own);
    const std::int64_t units = part.blocks.units(block);
    PanelsAhead ahead;
    if (block + 1 < part.now.end) {
      ahead = PanelsAhead(part.own(), task.own, part.blocks.block(block + 1), calls, units);
    } else if (next != nullptr) {
      const Part& other = *next->part;
      ahead =
          PanelsAhead(other.own(), next->own, other.blocks.block(other.now.begin), calls, units);
    }
    multiply(worker, task, block, own, ahead);
  }
}

// One block of K. Columns are taken a few at a time, which the second-level cache holds while all
// rows pass them.
void PanelProducts::multiply(int worker,
                             const Task& task,
                             std::int64_t block,
                             const std::uint32_t* own,
                             PanelsAhead& ahead) const {
  const Part& part = *task.part;
  const std::uint32_t* shared = part.packed_block(block) + task.shared.begin * part.shared().stride;
  const std::uint32_t* a = part.own_columns ? shared : own;
  const std::uint32_t* b = part.own_columns ? own : shared;
  const auto [row_begin, row_end] = task.rows();
  const auto [column_begin, column_end] = task.columns();
  const std::int64_t most = panels_in_cache(part.columns);
  for (std::int64_t column = column_begin; column < column_end; column += most) {
    const Range columns{column, std::min(column_end, column + most)};
    for (std::int64_t row = row_begin; row < row_end; ++row) {
      multiply_strip(part,
                     {.row = row,
                      .a = a + (row - row_begin) * part.rows.stride,
                      .columns = columns,
                      .b = b + (column - column_begin) * part.columns.stride},
                     block, tile_of(worker, task, block, row, column), ahead);
    }
  }
}

void PanelProducts::multiply_strip(const Part& part,
                                   const Strip& strip,
                                   std::int64_t block,
                                   ProductTile tile,
                                   PanelsAhead& ahead) const {
  const std::int64_t width = part.columns.width;
  for (std::int64_t i = 0; i < strip.columns.size(); ++i) {
    kernel_.multiply(part.rows.size(strip.row), part.blocks.units(block), strip.a,
                     strip.b + i * part.columns.stride, tile,
                     part.columns.size(strip.columns.begin + i), ahead.next());
    if (tile.sums != nullptr) tile.sums += width;
    if (tile.rounded != nullptr) tile.rounded += width;
  }
}

// Where the product of a row panel with the column panels from `column` on goes. The sums of a bf16
// result stay in scratch until the last block of K: of the part where its blocks come in several
// runs of tasks, else of the worker.
ProductTile PanelProducts::tile_of(
    int worker, const Task& task, std::int64_t block, std::int64_t row, std::int64_t column) const {
  const Part& part = *task.part;
  const Product& product = *part.product;
  const std::int64_t height = part.rows.width;
  const std::int64_t width = part.columns.width;
  const std::int64_t at = row * height * product.c_stride + column * width;
  if (product.c_dtype == DType::f32) {
    return {.sums = static_cast<float*>(product.c) + at,
            .stride = product.c_stride,
            .add = block > 0 || product.accumulate};
  }
  ProductTile tile;
  if (part.sums != nullptr) {
    tile.stride = product.b.count;
    tile.sums = part.sums + row * height * tile.stride + column * width;
    tile.add = block > 0;
  } else if (part.blocks.count > 1) {
    tile.stride = task.columns().size() * width;
    tile.sums = scratch_f32(executor_, worker, 1, task.rows().size() * height * tile.stride) +
                (row - task.rows().begin) * height * tile.stride +
                (column - task.columns().begin) * width;
    tile.add = block > 0;
  }
  if (block + 1 == part.blocks.count) {
    tile.rounded = static_cast<Bf16*>(product.c) + at;
    tile.rounded_stride = product.c_stride;
    tile.add_rounded = product.accumulate;
  }
  return tile;
}

}  // namespace tera::kernels::cpu
