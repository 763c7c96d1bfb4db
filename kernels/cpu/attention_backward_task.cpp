#include "kernels/cpu/attention_backward_task.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/convert.h"

namespace tera::kernels::cpu::backward {

void Task::run() {
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

void Task::write_keys(const float* sums, std::int64_t width, const Head& to) const {
  for (std::int64_t j = job_.key_begin; j < job_.key_end; ++j)
    write_row(sums + (j - job_.key_begin) * width, to, j, width);
}

void Task::write_row(const float* from,
                     const Head& to,
                     std::int64_t position,
                     std::int64_t width) const {
  if (call_.options.accumulate) {
    plan_.tiles.add_f32(1.0F, from, reinterpret_cast<float*>(to.row(position)), width);
  } else {
    store_row(from, to.dtype, to.row(position), width);
  }
}

void Task::run_tile(std::int64_t head, std::int64_t query, std::int64_t count) {
  const std::int64_t nr = plan_.kernel.nr;
  panels_ = ceil_div(count, nr);
  std::int64_t begin = job_.key_end;
  std::int64_t end = job_.key_begin;
  for (std::int64_t c = 0; c < panels_; ++c) {
    QueryMask& mask = masks_[static_cast<std::size_t>(c)];
    mask.set(call_.first_key, job_.b, query + c * nr, std::min(nr, count - c * nr),
             call_.options.query_offset, call_.dims.keys);
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

void Task::load_queries(std::int64_t head, std::int64_t query, std::int64_t count) {
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

void Task::pack_query_dims(const AttentionPlan& plan,
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

float Task::dot(const std::byte* a, const std::byte* b) const {
  if (call_.q.dtype == DType::f32) {
    return plan_.tiles.dot_f32(reinterpret_cast<const float*>(a), reinterpret_cast<const float*>(b),
                               values_.head_dim);
  }
  return plan_.tiles.dot_bf16(reinterpret_cast<const Bf16*>(a), reinterpret_cast<const Bf16*>(b),
                              values_.head_dim);
}

void Task::run_block(std::int64_t block, std::int64_t begin, std::int64_t end) {
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
  add_to_keys(buffers_.p, {buffers_.grad_dims, values_.head_dim}, buffers_.dv, columns, begin, end);
  add_to_keys(buffers_.ds, {buffers_.query_dims, plan_.head_dim}, buffers_.dk, columns, begin, end);
}

void Task::run_panel(std::int64_t c, std::int64_t block, std::int64_t begin, std::int64_t end) {
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
                       score_scale(call_.options), buffers_.lse + c * nr, buffers_.delta + c * nr);
  for (const PanelTile* tile : {&p, &ds}) {
    std::fill_n(tile->values, at, 0.0F);
    std::fill(tile->values + (high - begin) * nr, tile->values + (end - begin) * nr, 0.0F);
    if (plan_.pairs()) round_row(tile->values, tile->rounded, (end - begin) * nr, false);
  }
  if (!job_.of_queries || low == high) return;
  const std::uint32_t* columns = reinterpret_cast<const std::uint32_t*>(ds.values + at);
  if (plan_.pairs()) {
    plan_.kernel.pack({ds.rounded + at, DType::bf16, nr, nr, false}, {0, nr, 0, high - low}, nr, 0,
                      ds.columns);
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

void Task::add_to_keys(const std::vector<PanelTile>& tiles,
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

void Task::write_queries(std::int64_t head, std::int64_t query, std::int64_t count) {
  const std::int64_t nr = plan_.kernel.nr;
  const Head dq(call_.dq, job_.b, head);
  for (std::int64_t c = 0; c < panels_; ++c) {
    const std::int64_t n = std::min(nr, count - c * nr);
    f32_gemm_kernel().pack(
        {buffers_.dq + c * plan_.head_dim * nr, DType::f32, nr, plan_.head_dim, true},
        {0, plan_.head_dim, 0, n}, plan_.head_dim, 0,
        reinterpret_cast<std::uint32_t*>(buffers_.out_rows));
    for (std::int64_t i = 0; i < n; ++i)
      write_row(buffers_.out_rows + i * plan_.head_dim, dq, query + c * nr + i, plan_.head_dim);
  }
}

}  // namespace tera::kernels::cpu::backward
