// One task of backward attention (attention_backward.cpp): what it computes, its scratch, and its
// tiles.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/cpu/attention_panels.h"

namespace tera::kernels::cpu::backward {

inline constexpr std::int64_t kColumnPanels = 4;  // of queries in a tile

struct Call {
  View dout, q, k, v, first_key, out, lse;
  AttentionOptions options;
  View dq, dk, dv;
  contract::AttentionDims dims;

  std::int64_t group() const { return dims.heads / dims.key_heads; }
};

// What a task computes: gradients of the keys and values of [key_begin, key_end) from all queries,
// or of the queries [query_begin, query_end) from all keys, or both over everything.
struct Job {
  std::int64_t b, g;
  std::int64_t key_begin, key_end;
  std::int64_t query_begin, query_end;
  bool of_queries, of_keys;
};

// A tile of one column panel, as computed and as the next products take it.
struct PanelTile {
  float* values;           // [key_block, nr]
  Bf16* rounded;           // the same when products take pairs
  std::uint32_t* columns;  // the same as a column panel of pairs

  PanelTile(Carver& carver, const AttentionPlan& plan) {
    const std::int64_t n = plan.key_block * plan.kernel.nr;
    values = carver.take<float>(n);
    rounded = carver.take<Bf16>(plan.pairs() ? n : 0);
    columns = carver.take<std::uint32_t>(plan.pairs() ? n : 0);
  }
  // The tile with rows of keys, contiguous along the queries.
  Operand key_rows(const AttentionPlan& plan, std::int64_t keys) const {
    if (plan.pairs()) return {rounded, DType::bf16, plan.kernel.nr, keys, true};
    return {values, DType::f32, plan.kernel.nr, keys, true};
  }
};

struct Buffers {
  std::uint32_t* keys;       // row panels over D
  std::uint32_t* values;     // row panels over Dv
  std::uint32_t* key_dims;   // row panels over the keys of a block
  float* dk;                 // [keys, D]
  float* dv;                 // [keys, Dv]
  std::vector<PanelTile> p;  // one per column panel
  std::vector<PanelTile> ds;
  std::uint32_t* queries;     // column panels over D
  std::uint32_t* grads;       // of dout, over Dv
  std::uint32_t* query_dims;  // column panels of dims over the queries
  std::uint32_t* grad_dims;
  std::uint32_t* rows;  // one row panel of keys over the queries
  float* dq;            // [column panels, D, nr]
  float* out_rows;      // [nr, D]
  float* lse;           // [queries of a tile]
  float* delta;

  Buffers(Carver& carver, const AttentionPlans& plans, std::int64_t num_keys) {
    const AttentionPlan& plan = plans.keys;
    const std::int64_t nr = plan.kernel.nr;
    const std::int64_t width = kColumnPanels * nr;
    const std::int64_t key_panels = ceil_div(num_keys, plan.kernel.mr);
    keys = carver.take<std::uint32_t>(key_panels * plan.key_panel_stride());
    values = carver.take<std::uint32_t>(key_panels * plans.values.key_panel_stride());
    key_dims =
        carver.take<std::uint32_t>(ceil_div(num_keys, plan.key_block) * plan.dim_block_stride());
    dk = carver.take<float>(num_keys * plan.head_dim);
    dv = carver.take<float>(num_keys * plans.values.head_dim);
    for (std::int64_t c = 0; c < kColumnPanels; ++c) {
      p.emplace_back(carver, plan);
      ds.emplace_back(carver, plan);
    }
    queries = carver.take<std::uint32_t>(plan.dim_units * width);
    grads = carver.take<std::uint32_t>(plans.values.dim_units * width);
    query_dims = carver.take<std::uint32_t>(dim_columns(plan) * plan.units(width) * nr);
    grad_dims = carver.take<std::uint32_t>(dim_columns(plans.values) * plan.units(width) * nr);
    rows = carver.take<std::uint32_t>(plan.kernel.mr * plan.units(width) + 16);
    dq = carver.take<float>(plan.head_dim * width);
    out_rows = carver.take<float>(plan.head_dim * nr + 16);
    lse = carver.take<float>(width);
    delta = carver.take<float>(width);
  }
  static std::int64_t dim_columns(const AttentionPlan& plan) {
    return ceil_div(plan.head_dim, plan.kernel.nr);
  }
};

class Task {
 public:
  Task(const Call& call, const AttentionPlans& plans, const Job& job, Buffers buffers)
      : call_(call),
        plan_(plans.keys),
        values_(plans.values),
        job_(job),
        buffers_(std::move(buffers)),
        masks_(kColumnPanels, QueryMask(plans.keys.kernel.nr)) {}

  void run();

 private:
  struct ColumnRange {
    std::int64_t first, last;
  };
  // Column panels of `width` dims over the queries.
  struct DimPanels {
    const std::uint32_t* panels;
    std::int64_t width;
  };
  void write_keys(const float* sums, std::int64_t width, const Head& to) const;
  // Stores or adds one row of a gradient.
  void write_row(const float* from,
                 const Head& to,
                 std::int64_t position,
                 std::int64_t width) const;
  // All keys of the job with queries [query, query + count) of one head.
  void run_tile(std::int64_t head, std::int64_t query, std::int64_t count);
  void load_queries(std::int64_t head, std::int64_t query, std::int64_t count);
  // Column panels of dims over the queries of a tile; zero where there is no query, or one whose
  // scores are NaN: what is not finite in it must not meet the 0 of a key that it does not see.
  void pack_query_dims(const AttentionPlan& plan,
                       const Head& head,
                       std::int64_t query,
                       std::int64_t count,
                       std::uint32_t* to) const;
  // Of a row of dout and one of out.
  float dot(const std::byte* a, const std::byte* b) const;
  // Keys [begin, end) of the block at `block`.
  void run_block(std::int64_t block, std::int64_t begin, std::int64_t end);
  // P and dS of one column panel, and what they add to its dQ.
  void run_panel(std::int64_t c, std::int64_t block, std::int64_t begin, std::int64_t end);
  // sums [keys, width] += tile^T (queries of the column panels) times their dims.
  void add_to_keys(const std::vector<PanelTile>& tiles,
                   const DimPanels& dims,
                   float* sums,
                   ColumnRange columns,
                   std::int64_t begin,
                   std::int64_t end);
  void write_queries(std::int64_t head, std::int64_t query, std::int64_t count);

  const Call& call_;
  const AttentionPlan& plan_;
  const AttentionPlan& values_;
  const Job& job_;
  const Buffers buffers_;
  std::vector<QueryMask> masks_;  // one per column panel
  std::int64_t panels_ = 0;       // column panels of the current tile
};

}  // namespace tera::kernels::cpu::backward
