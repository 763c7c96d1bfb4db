// Backward attention in the tiles of the forward: S^T and dP^T = V dO^T are recomputed per tile of
// keys x queries, P and dS made from them lane by lane, and three products added up:
//   dQ^T += K^T dS^T (dS^T as it lies), dV += P^T dO and dK += dS^T Q (P^T, dS^T repacked as rows).
// Four column panels of queries (128) share a tile, so that the sums over queries are long enough
// to keep the FMA units busy. A task is one (sequence, key-value head): dK and dV of its keys are
// summed in order of heads and queries. When there are too few of those for the workers, tasks are
// runs of keys (dK, dV) and runs of queries (dQ), which costs two of five products again but adds
// in the same order: same bits.
#include <cmath>

#include "kernels/cpu/attention_panels.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::cpu {
namespace {

constexpr std::int64_t kPanelsPerBlock = 8;  // 96 keys a tile with 12 rows a panel
constexpr std::int64_t kColumnPanels = 4;    // of queries in a tile

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

  void run() {
    const Head k(call_.k, job_.b, job_.g);
    const Head v(call_.v, job_.b, job_.g);
    plan_.pack_keys(k, job_.key_begin, job_.key_end, buffers_.keys);
    values_.pack_keys(v, job_.key_begin, job_.key_end, buffers_.values);
    if (job_.of_queries) plan_.pack_dims(k, job_.key_begin, job_.key_end, buffers_.key_dims);
    for (std::int64_t key = job_.key_begin; key < job_.key_end; ++key) {
      if (plan_.finite(k, key)) continue;
      plan_.poison_key(buffers_.keys, key - job_.key_begin);  // a soft cap would make it finite
      if (job_.of_queries) plan_.clear_dims(buffers_.key_dims, key - job_.key_begin);
    }
    const std::int64_t keys = job_.key_end - job_.key_begin;
    std::fill_n(buffers_.dk, keys * plan_.head_dim, 0.0F);
    std::fill_n(buffers_.dv, keys * values_.head_dim, 0.0F);
    const std::int64_t width = kColumnPanels * plan_.kernel.nr;
    for (std::int64_t a = job_.g * call_.group(); a < (job_.g + 1) * call_.group(); ++a) {
      for (std::int64_t query = job_.query_begin; query < job_.query_end; query += width)
        run_tile(a, query, std::min(width, job_.query_end - query));
    }
    if (!job_.of_keys) return;
    write_keys(buffers_.dk, plan_.head_dim, Head(call_.dk, job_.b, job_.g));
    write_keys(buffers_.dv, values_.head_dim, Head(call_.dv, job_.b, job_.g));
  }

 private:
  void write_keys(const float* sums, std::int64_t width, const Head& to) const {
    for (std::int64_t j = job_.key_begin; j < job_.key_end; ++j)
      store_row(sums + (j - job_.key_begin) * width, to.dtype, to.row(j), width);
  }

  // All keys of the job with queries [query, query + count) of one head.
  void run_tile(std::int64_t head, std::int64_t query, std::int64_t count) {
    const std::int64_t nr = plan_.kernel.nr;
    panels_ = ceil_div(count, nr);
    std::int64_t begin = job_.key_end;
    std::int64_t end = job_.key_begin;
    for (std::int64_t c = 0; c < panels_; ++c) {
      QueryMask& mask = masks_[static_cast<std::size_t>(c)];
      mask.set(call_.first_key, job_.b, query + c * nr, std::min(nr, count - c * nr), 0);
      if (mask.begin == mask.end) continue;
      begin = std::min(begin, mask.begin);
      end = std::max(end, mask.end);
    }
    begin = std::max(begin, job_.key_begin);
    end = std::min(end, job_.key_end);
    if (begin < end) load_queries(head, query, count);
    if (job_.of_queries) std::fill_n(buffers_.dq, panels_ * plan_.head_dim * nr, 0.0F);
    for (std::int64_t block = begin / plan_.key_block * plan_.key_block; block < end;
         block += plan_.key_block)
      run_block(block, std::max(block, begin / plan_.kernel.mr * plan_.kernel.mr),
                std::min(end, block + plan_.key_block));
    if (job_.of_queries) write_queries(head, query, count);
  }

  void load_queries(std::int64_t head, std::int64_t query, std::int64_t count) {
    const std::int64_t nr = plan_.kernel.nr;
    const Head q(call_.q, job_.b, head);
    const Head dout(call_.dout, job_.b, head);
    const Head out(call_.out, job_.b, head);
    for (std::int64_t c = 0; c < panels_; ++c) {
      const std::int64_t first = query + c * nr;
      const std::int64_t last = query + std::min(count, (c + 1) * nr);
      plan_.pack_queries(q, first, last, buffers_.queries + c * plan_.dim_units * nr);
      values_.pack_queries(dout, first, last, buffers_.grads + c * values_.dim_units * nr);
    }
    for (std::int64_t i = 0; i < panels_ * nr; ++i) {
      buffers_.lse[i] = i < count ? call_.lse.as<float>()[job_.b * call_.lse.strides[0] +
                                                          (query + i) * call_.lse.strides[1] + head]
                                  : 0.0F;
      buffers_.delta[i] = i < count ? dot(dout.row(query + i), out.row(query + i)) : 0.0F;
    }
    // Such a query has scores of NaN, whatever share of the work this job is.
    for (std::int64_t i = 0; i < count; ++i) {
      if (!plan_.finite(q, query + i) || !values_.finite(dout, query + i))
        buffers_.lse[i] = std::numeric_limits<float>::quiet_NaN();
    }
    if (!job_.of_keys) return;
    pack_query_dims(plan_, q, query, count, buffers_.query_dims);
    pack_query_dims(values_, dout, query, count, buffers_.grad_dims);
  }

  // Column panels of dims over the queries of a tile; zero where there is no query, or one whose
  // scores are NaN: what is not finite in it must not meet the 0 of a key that it does not see.
  void pack_query_dims(const AttentionPlan& plan,
                       const Head& head,
                       std::int64_t query,
                       std::int64_t count,
                       std::uint32_t* to) const {
    const std::int64_t nr = plan.kernel.nr;
    const std::int64_t stride = plan.units(kColumnPanels * nr) * nr;
    for (std::int64_t d = 0; d < plan.head_dim; d += nr) {
      std::uint32_t* panel = to + d / nr * stride;
      plan.kernel.pack(head.dims(plan.head_dim),
                       {d, std::min(nr, plan.head_dim - d), query, query + count}, nr, 0, panel);
      std::fill(panel + plan.units(count) * nr, panel + stride, 0U);
    }
    for (std::int64_t i = 0; i < count; ++i) {
      if (!std::isnan(buffers_.lse[i])) continue;
      for (std::int64_t d = 0; d < plan.head_dim; d += nr)
        plan.clear(to + d / nr * stride, nr, i);
    }
  }

  // Of a row of dout and one of out.
  float dot(const std::byte* a, const std::byte* b) const {
    if (call_.q.dtype == DType::f32) {
      return plan_.tiles.dot_f32(reinterpret_cast<const float*>(a),
                                 reinterpret_cast<const float*>(b), values_.head_dim);
    }
    return plan_.tiles.dot_bf16(reinterpret_cast<const Bf16*>(a), reinterpret_cast<const Bf16*>(b),
                                values_.head_dim);
  }

  // Keys [begin, end) of the block at `block`.
  void run_block(std::int64_t block, std::int64_t begin, std::int64_t end) {
    std::int64_t first = panels_;  // column panels that see a key here
    std::int64_t last = -1;
    for (std::int64_t c = 0; c < panels_; ++c) {
      const QueryMask& mask = masks_[static_cast<std::size_t>(c)];
      if (mask.begin >= end || mask.end <= begin) continue;
      first = std::min(first, c);
      last = c;
    }
    for (std::int64_t c = first; c <= last; ++c)
      run_panel(c, block, begin, end);
    if (!job_.of_keys) return;
    const ColumnRange columns{first, last};
    add_to_keys(buffers_.p, {buffers_.grad_dims, values_.head_dim}, buffers_.dv, columns, begin,
                end);
    add_to_keys(buffers_.ds, {buffers_.query_dims, plan_.head_dim}, buffers_.dk, columns, begin,
                end);
  }

  // P and dS of one column panel, and what they add to its dQ.
  void run_panel(std::int64_t c, std::int64_t block, std::int64_t begin, std::int64_t end) {
    const std::int64_t nr = plan_.kernel.nr;
    const std::int64_t mr = plan_.kernel.mr;
    const QueryMask& mask = masks_[static_cast<std::size_t>(c)];
    const PanelTile& p = buffers_.p[static_cast<std::size_t>(c)];
    const PanelTile& ds = buffers_.ds[static_cast<std::size_t>(c)];
    const std::int64_t low = std::clamp(mask.begin / mr * mr, begin, end);
    const std::int64_t high = std::clamp(mask.end, low, end);
    for (std::int64_t key = low; key < high; key += mr) {
      const std::int64_t panel = (key - job_.key_begin) / mr;
      const std::int64_t at = (key - begin) * nr;
      plan_.kernel.multiply(mr, plan_.dim_units, buffers_.keys + panel * plan_.key_panel_stride(),
                            buffers_.queries + c * plan_.dim_units * nr,
                            {.sums = p.values + at, .stride = nr}, nr, {});
      plan_.kernel.multiply(mr, values_.dim_units,
                            buffers_.values + panel * values_.key_panel_stride(),
                            buffers_.grads + c * values_.dim_units * nr,
                            {.sums = ds.values + at, .stride = nr}, nr, {});
    }
    const std::int64_t at = (low - begin) * nr;
    plan_.tiles.backward(p.values + at, ds.values + at, high - low, mask.tile(low, high - low),
                         score_scale(call_.options), buffers_.lse + c * nr,
                         buffers_.delta + c * nr);
    for (const PanelTile* tile : {&p, &ds}) {
      std::fill_n(tile->values, at, 0.0F);
      std::fill(tile->values + (high - begin) * nr, tile->values + (end - begin) * nr, 0.0F);
      if (plan_.pairs()) round_row(tile->values, tile->rounded, (end - begin) * nr, false);
    }
    if (!job_.of_queries || low == high) return;
    const std::uint32_t* columns = reinterpret_cast<const std::uint32_t*>(ds.values + at);
    if (plan_.pairs()) {
      plan_.kernel.pack({ds.rounded + at, DType::bf16, nr, nr, false}, {0, nr, 0, high - low}, nr,
                        0, ds.columns);
      columns = ds.columns;
    }
    const std::uint32_t* dims =
        buffers_.key_dims + (block - job_.key_begin) / plan_.key_block * plan_.dim_block_stride();
    for (std::int64_t i = 0; i < plan_.num_dim_panels; ++i) {
      const std::int64_t d = i * plan_.dim_height;
      const std::int64_t rows = std::min(plan_.dim_height, plan_.head_dim - d);
      plan_.kernel.multiply(
          rows, plan_.units(high - low),
          dims + i * plan_.dim_panel_stride() + (low - block) / plan_.kernel.unit_elements * rows,
          columns, {.sums = buffers_.dq + (c * plan_.head_dim + d) * nr, .stride = nr, .add = true},
          nr, {});
    }
  }

  struct ColumnRange {
    std::int64_t first, last;
  };

  // Column panels of `width` dims over the queries.
  struct DimPanels {
    const std::uint32_t* panels;
    std::int64_t width;
  };

  // sums [keys, width] += tile^T (queries of the column panels) times their dims.
  void add_to_keys(const std::vector<PanelTile>& tiles,
                   const DimPanels& dims,
                   float* sums,
                   ColumnRange columns,
                   std::int64_t begin,
                   std::int64_t end) {
    const std::int64_t nr = plan_.kernel.nr;
    const std::int64_t panel_units = plan_.units(nr);
    const std::int64_t units = (columns.last - columns.first + 1) * panel_units;
    if (units <= 0) return;
    for (std::int64_t key = begin; key < end; key += plan_.kernel.mr) {
      const std::int64_t rows = std::min<std::int64_t>(plan_.kernel.mr, end - key);
      for (std::int64_t c = columns.first; c <= columns.last; ++c) {
        plan_.kernel.pack(tiles[static_cast<std::size_t>(c)].key_rows(plan_, end - begin),
                          {key - begin, rows, 0, nr}, rows, 0,
                          buffers_.rows + (c - columns.first) * panel_units * rows);
      }
      for (std::int64_t d = 0; d < dims.width; d += nr) {
        plan_.kernel.multiply(
            rows, units, buffers_.rows,
            dims.panels +
                (d / nr * plan_.units(kColumnPanels * nr) + columns.first * panel_units) * nr,
            {.sums = sums + (key - job_.key_begin) * dims.width + d,
             .stride = dims.width,
             .add = true},
            std::min(nr, dims.width - d), {});
      }
    }
  }

  void write_queries(std::int64_t head, std::int64_t query, std::int64_t count) {
    const std::int64_t nr = plan_.kernel.nr;
    const Head dq(call_.dq, job_.b, head);
    for (std::int64_t c = 0; c < panels_; ++c) {
      const std::int64_t n = std::min(nr, count - c * nr);
      f32_gemm_kernel().pack(
          {buffers_.dq + c * plan_.head_dim * nr, DType::f32, nr, plan_.head_dim, true},
          {0, plan_.head_dim, 0, n}, plan_.head_dim, 0,
          reinterpret_cast<std::uint32_t*>(buffers_.out_rows));
      for (std::int64_t i = 0; i < n; ++i)
        store_row(buffers_.out_rows + i * plan_.head_dim, dq.dtype, dq.row(query + c * nr + i),
                  plan_.head_dim);
    }
  }

  const Call& call_;
  const AttentionPlan& plan_;
  const AttentionPlan& values_;
  const Job& job_;
  const Buffers buffers_;
  std::vector<QueryMask> masks_;  // one per column panel
  std::int64_t panels_ = 0;       // column panels of the current tile
};

std::vector<Job> jobs_of(const Call& call, const AttentionPlan& plan, int workers) {
  const contract::AttentionDims& d = call.dims;
  const std::int64_t heads = d.batch * d.key_heads;
  std::vector<Job> jobs;
  const std::int64_t tile = kColumnPanels * plan.kernel.nr;
  const bool whole =
      heads >= std::int64_t{4} * workers || heads % workers == 0 || d.queries <= tile;
  // Runs of whole tiles, so that the sums inside a tile are the same however long the runs are.
  const std::int64_t runs = std::max<std::int64_t>(
      1, ceil_div(std::int64_t{4} * workers, std::max<std::int64_t>(1, heads)));
  const std::int64_t query_run = ceil_div(ceil_div(d.queries, runs), tile) * tile;
  const std::int64_t key_run = ceil_div(ceil_div(d.keys, runs), plan.key_block) * plan.key_block;
  for (std::int64_t i = 0; i < heads; ++i) {
    const std::int64_t b = i / d.key_heads;
    const std::int64_t g = i % d.key_heads;
    if (whole) {
      jobs.push_back({b, g, 0, d.keys, 0, d.queries, true, true});
      continue;
    }
    for (std::int64_t key = 0; key < d.keys; key += key_run)
      jobs.push_back({b, g, key, std::min(d.keys, key + key_run), 0, d.queries, false, true});
    for (std::int64_t query = 0; query < d.queries; query += query_run)
      jobs.push_back({b, g, 0, d.keys, query, std::min(d.queries, query + query_run), true, false});
  }
  return jobs;
}

}  // namespace

void attention_backward(const Context& context,
                        View dout,
                        View q,
                        View k,
                        View v,
                        View first_key,
                        View out,
                        View lse,
                        AttentionOptions options,
                        View dq,
                        View dk,
                        View dv) {
  const auto dims =
      contract::check_attention_backward(dout, q, k, v, first_key, out, lse, options, dq, dk, dv);
  if (q.dtype == DType::f64) {
    return ref::attention_backward(context, dout, q, k, v, first_key, out, lse, options, dq, dk,
                                   dv);
  }
  const Call call{dout, q, k, v, first_key, out, lse, options, dq, dk, dv, dims};
  Executor& executor = *context.executor;
  const AttentionPlans plans(q.dtype, dims, kPanelsPerBlock);
  const std::vector<Job> jobs = jobs_of(call, plans.keys, executor.num_workers());
  executor.parallel_for(std::ssize(jobs), [&](std::int64_t task, int worker) {
    const Job& job = jobs[static_cast<std::size_t>(task)];
    Carver measure(nullptr);
    const Buffers measured(measure, plans, job.key_end - job.key_begin);
    Carver carver(executor.scratch(worker, 0, measure.used()));
    Task(call, plans, job, Buffers(carver, plans, job.key_end - job.key_begin)).run();
  });
}

}  // namespace tera::kernels::cpu
