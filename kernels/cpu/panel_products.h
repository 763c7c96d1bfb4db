// Products by panels. A product is cut along its longer side, rows or columns, into tasks. The
// panels of the other side are packed first, by all workers, into shared scratch that stays in the
// last-level cache: of many small products for some at a time, of a long K for some blocks at a
// time. The panels of its own side a task packs for itself, one block of K at a time: they pass
// from the second-level cache to the registers, and while they are multiplied the next ones are
// fetched from memory.
#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_panels.h"

namespace tera::kernels::cpu {

class PanelProducts {
 public:
  // The products must outlive it.
  PanelProducts(Executor& executor, const GemmKernel& kernel)
      : executor_(executor), kernel_(kernel) {}

  // Rows, columns and K of the product are not empty.
  void add(const Product& product);
  // All that were added.
  void run();

 private:
  struct Part {
    const Product* product;
    KBlocks blocks;
    Panels rows, columns;
    bool own_columns;  // each task packs its columns, rows are shared; else the reverse
    Range now = {};    // blocks of K that are worked on
    std::uint32_t* packed = nullptr;  // [blocks now, shared panels, panel]
    float* sums = nullptr;  // of a rounded result whose blocks are not all worked on at once

    const Panels& own() const { return own_columns ? columns : rows; }
    const Panels& shared() const { return own_columns ? rows : columns; }
    std::int64_t block_units() const { return shared().num() * shared().stride; }
    std::int64_t shared_units() const { return block_units() * now.size(); }
    std::uint32_t* packed_block(std::int64_t block) const {
      return packed + (block - now.begin) * block_units();
    }
  };
  // Panels of a part.
  struct Task {
    const Part* part;
    Range own, shared;
    const Range& rows() const { return part->own_columns ? shared : own; }
    const Range& columns() const { return part->own_columns ? own : shared; }
  };
  // A row panel and the column panels it meets.
  struct Strip {
    std::int64_t row;
    const std::uint32_t* a;
    Range columns;
    const std::uint32_t* b;
  };

  std::int64_t most_shared_units() const;
  // Blocks of K whose shared panels are packed at a time. All of them where the sums of a rounded
  // result would take more memory than that saves.
  std::int64_t blocks_at_once(const Part& part) const;
  // As many of the parts from `first` on as share what scratch there may be; one at least.
  std::span<Part> batch(std::size_t first);
  // Some blocks of K of each of them, or all.
  void run_blocks(std::span<Part> parts);
  void pack_shared(std::span<Part> parts);
  void add_tasks(const Part& part, std::size_t num_parts, std::vector<Task>& tasks) const;
  void run_task(int worker, const Task& task, const Task* next) const;
  void multiply(int worker,
                const Task& task,
                std::int64_t block,
                const std::uint32_t* own,
                PanelsAhead& ahead) const;
  void multiply_strip(const Part& part,
                      const Strip& strip,
                      std::int64_t block,
                      ProductTile tile,
                      PanelsAhead& ahead) const;
  ProductTile tile_of(int worker,
                      const Task& task,
                      std::int64_t block,
                      std::int64_t row,
                      std::int64_t column) const;

  Executor& executor_;
  const GemmKernel& kernel_;
  std::vector<Part> parts_;
};

}  // namespace tera::kernels::cpu
