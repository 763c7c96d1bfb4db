// What forward and backward attention share: heads as operands, their panels, masks, scratch.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/contract.h"
#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_panels.h"

namespace tera::kernels::cpu {

// Hands out aligned parts of one scratch slot. Run once with no memory to learn the size.
class Carver {
 public:
  explicit Carver(std::byte* memory) : memory_(memory) {}

  template <class T>
  T* take(std::int64_t n) {
    const std::size_t begin = used_;
    used_ += (static_cast<std::size_t>(n) * sizeof(T) + 63) / 64 * 64;
    return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + begin);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

// Head (b, h) of a [B, S, heads, D] view: a matrix [S, D].
struct Head {
  std::byte* data;
  std::int64_t stride;  // elements from position to position
  DType dtype;

  Head(const View& v, std::int64_t b, std::int64_t h)
      : data(v.as<std::byte>() + (b * v.strides[0] + h * v.strides[2]) * dtype_bytes(v.dtype)),
        stride(v.strides[1]),
        dtype(v.dtype) {}

  std::byte* row(std::int64_t i) const { return data + i * stride * dtype_bytes(dtype); }
  // Positions as vectors along D.
  Operand positions(std::int64_t count) const { return {data, dtype, stride, count, true}; }
  // Dims as vectors along the positions.
  Operand dims(std::int64_t head_dim) const { return {data, dtype, stride, head_dim, false}; }
};

// Sizes of the panels of one call.
struct AttentionPlan {
  const GemmKernel& kernel;
  const AttentionTiles& tiles;
  std::int64_t head_dim;
  std::int64_t dim_units;   // D in units
  std::int64_t dim_height;  // rows of a row panel over D
  std::int64_t num_dim_panels;
  std::int64_t key_block;  // keys of a tile, a multiple of mr and of the unit

  AttentionPlan(DType dtype, std::int64_t head_dim_size, std::int64_t panels_per_block)
      : kernel(gemm_kernel_for(dtype, dtype)),
        tiles(attention_tiles()),
        head_dim(head_dim_size),
        dim_units(ceil_div(head_dim, kernel.unit_elements)),
        dim_height(ceil_div(head_dim, ceil_div(head_dim, kernel.mr))),
        num_dim_panels(ceil_div(head_dim, dim_height)),
        key_block(panels_per_block * kernel.mr) {}

  bool pairs() const { return kernel.unit_elements == 2; }
  std::int64_t units(std::int64_t elements) const {
    return ceil_div(elements, kernel.unit_elements);
  }
  // Units from panel to panel of keys as rows over D, and of dims as rows over one key block.
  std::int64_t key_panel_stride() const { return ceil_div(kernel.mr * dim_units + 4, 16) * 16; }
  std::int64_t dim_panel_stride() const {
    return ceil_div(dim_height * units(key_block) + 16, 16) * 16;
  }
  std::int64_t dim_block_stride() const { return num_dim_panels * dim_panel_stride(); }

  // Keys [begin, end) as row panels over D; begin is a multiple of mr.
  void pack_keys(const Head& head, std::int64_t begin, std::int64_t end, std::uint32_t* to) const {
    for (std::int64_t key = begin; key < end; key += kernel.mr, to += key_panel_stride()) {
      const std::int64_t count = std::min<std::int64_t>(kernel.mr, end - key);
      kernel.pack(head.positions(end), {key, count, 0, head_dim}, kernel.mr, 0, to);
    }
  }
  // Dims as row panels over the keys of each block in [begin, end); begin is a multiple of
  // key_block.
  void pack_dims(const Head& head, std::int64_t begin, std::int64_t end, std::uint32_t* to) const {
    for (std::int64_t key = begin; key < end; key += key_block) {
      for (std::int64_t d = 0; d < head_dim; d += dim_height, to += dim_panel_stride()) {
        const std::int64_t count = std::min(dim_height, head_dim - d);
        kernel.pack(head.dims(head_dim), {d, count, key, std::min(end, key + key_block)}, count, 0,
                    to);
      }
    }
  }
  // A sum over positions multiplies the 0 of every pair that does not see each other with what
  // stands in the panel. NaN and infinity must not get there: where a position has one, it is
  // cleared in the panels of such sums, and the pairs that do see it are NaN by their scores.
  bool finite(const Head& head, std::int64_t position) const {
    const std::byte* row = head.row(position);
    if (head.dtype == DType::f32)
      return tiles.finite_f32(reinterpret_cast<const float*>(row), head_dim);
    return tiles.finite_bf16(reinterpret_cast<const Bf16*>(row), head_dim);
  }
  // Zeroes a position in a panel of `width` dims over positions.
  void clear(std::uint32_t* panel, std::int64_t width, std::int64_t position) const {
    // The first of a pair lies in the lower half of its unit.
    const std::uint32_t kept = !pairs() ? 0U : position % 2 == 0 ? 0xffff0000U : 0x0000ffffU;
    std::uint32_t* unit = panel + position / kernel.unit_elements * width;
    for (std::int64_t d = 0; d < width; ++d)
      unit[d] &= kept;
  }
  // Zeroes a key in what pack_dims wrote.
  void clear_dims(std::uint32_t* panels, std::int64_t key) const {
    panels += key / key_block * dim_block_stride();
    for (std::int64_t d = 0; d < head_dim; d += dim_height, panels += dim_panel_stride())
      clear(panels, std::min(dim_height, head_dim - d), key % key_block);
  }
  // Makes a key NaN in what pack_keys wrote, and so its scores.
  void poison_key(std::uint32_t* panels, std::int64_t key) const {
    panels += key / kernel.mr * key_panel_stride() + key % kernel.mr;
    for (std::int64_t unit = 0; unit < dim_units; ++unit)
      panels[unit * kernel.mr] = 0x7fc07fc0U;  // NaN as f32 and as two bf16
  }
  // Queries [begin, end), at most nr, as a column panel over D.
  void pack_queries(const Head& head,
                    std::int64_t begin,
                    std::int64_t end,
                    std::uint32_t* to) const {
    kernel.pack(head.positions(end), {begin, end - begin, 0, head_dim}, kernel.nr, 0, to);
  }
  // Tile [rows, nr] of f32 as a column panel over its rows: the tile itself, or pairs of bf16 made
  // by way of `rounded` in `panel`.
  const std::uint32_t* column_panel(const float* tile,
                                    std::int64_t rows,
                                    Bf16* rounded,
                                    std::uint32_t* panel) const;
};

// Panels of queries and keys, which are compared in D dims, and of values and outputs, which have
// Dv.
struct AttentionPlans {
  AttentionPlan keys;
  AttentionPlan values;

  AttentionPlans(DType dtype, const contract::AttentionDims& dims, std::int64_t panels_per_block)
      : keys(dtype, dims.head_dim, panels_per_block),
        values(dtype, dims.value_dim, panels_per_block) {}
};

inline ScoreScale score_scale(const AttentionOptions& options) {
  return {static_cast<float>(options.scale), static_cast<float>(options.softcap)};
}

// What a run of queries sees.
struct QueryMask {
  std::vector<std::int32_t> first;  // per column, lowest visible key
  std::vector<std::int32_t> last;   // highest, -1 where there is no query
  std::int64_t begin = 0;           // keys [begin, end) hold all that any of them sees
  std::int64_t end = 0;
  std::int64_t full_begin = 0;  // keys [full_begin, full_end) are seen by all columns
  std::int64_t full_end = 0;

  explicit QueryMask(std::int64_t columns)
      : first(static_cast<std::size_t>(columns)), last(first.size()) {}

  // Queries [query, query + count) of sequence b, query 0 being at `offset` of `keys` keys.
  void set(const View& first_key,
           std::int64_t b,
           std::int64_t query,
           std::int64_t count,
           std::int64_t offset,
           std::int64_t keys) {
    begin = std::numeric_limits<std::int64_t>::max();
    end = 0;
    full_begin = 0;
    full_end = std::numeric_limits<std::int64_t>::max();
    const std::int32_t* lowest =
        first_key.as<const std::int32_t>() + b * first_key.strides[0] + query;
    for (std::int64_t c = 0; c < std::ssize(first); ++c) {
      const auto i = static_cast<std::size_t>(c);
      const bool exists = c < count;
      first[i] = exists ? std::max(0, lowest[c]) : 0;
      last[i] = exists ? static_cast<std::int32_t>(std::min(offset + query + c, keys - 1)) : -1;
      full_begin = std::max<std::int64_t>(full_begin, first[i]);
      full_end = std::min<std::int64_t>(full_end, last[i] + 1);
      if (first[i] > last[i]) continue;
      begin = std::min<std::int64_t>(begin, first[i]);
      end = std::max<std::int64_t>(end, last[i] + 1);
    }
    begin = std::min(begin, end);
  }
  TileMask tile(std::int64_t key, std::int64_t keys) const {
    return {first.data(), last.data(), key, key >= full_begin && key + keys <= full_end};
  }
};

}  // namespace tera::kernels::cpu
