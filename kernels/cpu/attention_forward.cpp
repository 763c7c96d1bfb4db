// Attention in tiles that stay in cache (Dao et al. 2022), with scores transposed: a tile is keys x
// queries, one query per vector lane. S^T = K Q^T comes out of the GEMM kernel with rows of keys;
// maxima and sums over keys are then lane by lane, and P^T is already the column panel that
// O^T += V^T P^T needs, so nothing is repacked between the two products.
// A task is a run of queries of one (sequence, key-value head): it packs the keys and values it
// needs once and uses them for all query heads of the group. Key blocks lie at fixed places, so the
// sums of a query do not depend on how queries are shared out. A handful of queries (decoding) goes
// row by row instead: packing would cost more than the products.
#include <cmath>

#include "kernels/cpu/attention_panels.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::cpu {
namespace {

// 192 keys a tile with 12 rows a panel: 24 KiB of scores.
constexpr std::int64_t kPanelsPerBlock = 16;
constexpr std::int64_t kRowByRow = 4;  // queries up to which packing does not pay

struct Call {
  View q, k, v, first_key;
  AttentionOptions options;
  View out, lse;
  contract::AttentionDims dims;

  std::int64_t group() const { return dims.heads / dims.key_heads; }
};

constexpr float kNothing = -std::numeric_limits<float>::infinity();  // lse over no keys

// A result and one of before, over other keys: the lse of both, and what each has in their sum.
struct Merged {
  float lse;
  float own;
  float before;

  Merged(float own_lse, float lse_before) {
    const float highest = std::max(own_lse, lse_before);
    own = own_lse == kNothing ? 0.0F : std::exp(own_lse - highest);
    before = lse_before == kNothing ? 0.0F : std::exp(lse_before - highest);
    const float total = own + before;
    lse = total == 0 ? kNothing : highest + std::log(total);
    if (total == 0) return;
    own /= total;
    before /= total;
  }
};

// Scratch of one task.
struct Buffers {
  std::uint32_t* keys;     // row panels over D
  std::uint32_t* values;   // row panels over keys, per block
  std::uint32_t* queries;  // column panel over D
  float* scores;           // [key_block, nr]
  Bf16* rounded;           // the same
  std::uint32_t* panel;    // the same in pairs
  float* sum;              // O^T [Dv, nr]
  float* rows;             // O [nr, Dv]
  float* highest;          // [nr] each
  float* total;
  float* factor;

  Buffers(Carver& carver, const AttentionPlans& plans, std::int64_t keys_packed) {
    const AttentionPlan& plan = plans.keys;
    const std::int64_t nr = plan.kernel.nr;
    keys =
        carver.take<std::uint32_t>(ceil_div(keys_packed, plan.kernel.mr) * plan.key_panel_stride());
    values = carver.take<std::uint32_t>(ceil_div(keys_packed, plan.key_block) *
                                        plans.values.dim_block_stride());
    queries = carver.take<std::uint32_t>(plan.dim_units * nr);
    scores = carver.take<float>(plan.key_block * nr);
    rounded = carver.take<Bf16>(plan.key_block * nr);
    panel = carver.take<std::uint32_t>(plan.key_block * nr);
    sum = carver.take<float>(plans.values.head_dim * nr);
    rows = carver.take<float>(plans.values.head_dim * nr + 16);
    highest = carver.take<float>(nr);
    total = carver.take<float>(nr);
    factor = carver.take<float>(nr);
  }
};

// Scores of keys [begin, end) of the block at `block_key`, both multiples of mr but the last end.
void multiply_scores(const AttentionPlan& plan,
                     const std::uint32_t* keys,
                     std::int64_t begin,
                     std::int64_t end,
                     const std::uint32_t* queries,
                     float* scores) {
  const std::int64_t mr = plan.kernel.mr;
  const std::int64_t nr = plan.kernel.nr;
  for (std::int64_t key = begin; key < end; key += mr) {
    plan.kernel.multiply(mr, plan.dim_units, keys + key / mr * plan.key_panel_stride(), queries,
                         {.sums = scores + (key - begin) * nr, .stride = nr}, nr, {});
  }
}

// One tile of queries of one head against all keys it sees.
class QueryTile {
 public:
  QueryTile(const Call& call,
            const AttentionPlans& plans,
            const Buffers& buffers,
            const QueryMask& mask,
            std::int64_t packed_begin)
      : call_(call),
        plan_(plans.keys),
        values_(plans.values),
        buffers_(buffers),
        mask_(mask),
        packed_begin_(packed_begin) {}

  void run(std::int64_t b, std::int64_t head, std::int64_t query, std::int64_t count) {
    const std::int64_t nr = plan_.kernel.nr;
    plan_.pack_queries(Head(call_.q, b, head), query, query + count, buffers_.queries);
    std::fill_n(buffers_.highest, nr, -std::numeric_limits<float>::infinity());
    std::fill_n(buffers_.total, nr, 0.0F);
    std::fill_n(buffers_.sum, nr * values_.head_dim, 0.0F);
    for (std::int64_t block = mask_.begin / plan_.key_block * plan_.key_block; block < mask_.end;
         block += plan_.key_block)
      add_block(block);
    write(b, head, query, count);
  }

 private:
  void add_block(std::int64_t block) {
    const std::int64_t nr = plan_.kernel.nr;
    const std::int64_t mr = plan_.kernel.mr;
    const std::int64_t begin = std::max(block, mask_.begin / mr * mr);
    const std::int64_t end = std::min(block + plan_.key_block, mask_.end);
    const std::int64_t keys = end - begin;
    multiply_scores(plan_, buffers_.keys, begin - packed_begin_, end - packed_begin_,
                    buffers_.queries, buffers_.scores);
    plan_.tiles.softmax(buffers_.scores, keys, mask_.tile(begin, keys), score_scale(call_.options),
                        buffers_.highest, buffers_.total, buffers_.factor);
    plan_.tiles.scale_rows(buffers_.sum, values_.head_dim, buffers_.factor);
    const std::uint32_t* p =
        plan_.column_panel(buffers_.scores, keys, buffers_.rounded, buffers_.panel);
    const std::uint32_t* values =
        buffers_.values + (block - packed_begin_) / plan_.key_block * values_.dim_block_stride();
    for (std::int64_t i = 0; i < values_.num_dim_panels; ++i) {
      const std::int64_t d = i * values_.dim_height;
      const std::int64_t rows = std::min(values_.dim_height, values_.head_dim - d);
      plan_.kernel.multiply(rows, plan_.units(keys),
                            values + i * values_.dim_panel_stride() +
                                (begin - block) / plan_.kernel.unit_elements * rows,
                            p, {.sums = buffers_.sum + d * nr, .stride = nr, .add = true}, nr, {});
    }
  }

  // O = O^T / total, and the logsumexp.
  void write(std::int64_t b, std::int64_t head, std::int64_t query, std::int64_t count) {
    const std::int64_t nr = plan_.kernel.nr;
    auto* lse =
        call_.lse.as<float>() + b * call_.lse.strides[0] + query * call_.lse.strides[1] + head;
    float* const before = buffers_.highest;  // what the results of before have in those of both
    for (std::int64_t c = 0; c < nr; ++c) {
      const float total = buffers_.total[c];
      buffers_.factor[c] = total > 0 ? 1.0F / total : total == 0 ? 0.0F : total;  // NaN stays
      if (c >= count) continue;
      float& at = lse[c * call_.lse.strides[1]];
      const float own = total == 0 ? kNothing : buffers_.highest[c] + std::log(total);
      if (call_.options.accumulate) {
        const Merged merged(own, at);
        buffers_.factor[c] *= merged.own;
        before[c] = merged.before;
        at = merged.lse;
      } else {
        at = own;
      }
    }
    const std::int64_t width = values_.head_dim;
    plan_.tiles.scale_rows(buffers_.sum, width, buffers_.factor);
    f32_gemm_kernel().pack({buffers_.sum, DType::f32, nr, width, true}, {0, width, 0, count}, width,
                           0, reinterpret_cast<std::uint32_t*>(buffers_.rows));
    const Head out(call_.out, b, head);
    for (std::int64_t c = 0; c < count; ++c) {
      float* const row = buffers_.rows + c * width;
      if (call_.options.accumulate) {
        plan_.tiles.add_f32(before[c], reinterpret_cast<const float*>(out.row(query + c)), row,
                            width);
      }
      store_row(row, out.dtype, out.row(query + c), width);
    }
  }

  const Call& call_;
  const AttentionPlan& plan_;
  const AttentionPlan& values_;
  const Buffers& buffers_;
  const QueryMask& mask_;
  std::int64_t packed_begin_;
};

// Queries [begin, end) of the heads of one key-value head.
void run_queries(Executor& executor,
                 int worker,
                 const Call& call,
                 const AttentionPlans& plans,
                 std::int64_t b,
                 std::int64_t g,
                 std::int64_t begin,
                 std::int64_t end) {
  const AttentionPlan& plan = plans.keys;
  const std::int64_t nr = plan.kernel.nr;
  QueryMask all(end - begin);
  all.set(call.first_key, b, begin, end - begin, call.options.query_offset, call.dims.keys);
  const std::int64_t packed_begin = all.begin / plan.key_block * plan.key_block;
  Carver measure(nullptr);
  const Buffers measured(measure, plans, all.end - packed_begin);
  Carver carver(executor.scratch(worker, 0, measure.used()));
  const Buffers buffers(carver, plans, all.end - packed_begin);
  const Head v(call.v, b, g);
  plan.pack_keys(Head(call.k, b, g), packed_begin, all.end, buffers.keys);
  plans.values.pack_dims(v, packed_begin, all.end, buffers.values);
  for (std::int64_t key = packed_begin; key < all.end; ++key) {
    if (plans.values.finite(v, key)) continue;
    plans.values.clear_dims(buffers.values, key - packed_begin);
    plan.poison_key(buffers.keys, key - packed_begin);
  }
  QueryMask mask(nr);
  for (std::int64_t query = begin; query < end; query += nr) {
    const std::int64_t count = std::min(nr, end - query);
    mask.set(call.first_key, b, query, count, call.options.query_offset, call.dims.keys);
    for (std::int64_t a = g * call.group(); a < (g + 1) * call.group(); ++a)
      QueryTile(call, plans, buffers, mask, packed_begin).run(b, a, query, count);
  }
}

// One query of one head, straight from the keys and values in memory.
template <class C>
void run_row(Executor& executor,
             int worker,
             const Call& call,
             std::int64_t b,
             std::int64_t head,
             std::int64_t query) {
  const AttentionTiles& tiles = attention_tiles();
  const std::int64_t width = call.dims.head_dim;
  const std::int64_t value_width = call.dims.value_dim;
  const ScoreScale scale = score_scale(call.options);
  const std::int64_t last = std::min(call.options.query_offset + query, call.dims.keys - 1);
  const std::int64_t first =
      std::max(0, call.first_key.as<const std::int32_t>()[b * call.first_key.strides[0] + query]);
  const std::int64_t keys = std::max<std::int64_t>(0, last + 1 - first);
  Carver carver(executor.scratch(
      worker, 0, static_cast<std::size_t>(keys + value_width + 64) * sizeof(float)));
  auto* scores = carver.take<float>(keys);
  auto* sum = carver.take<float>(value_width);
  const Head q(call.q, b, head);
  const Head k(call.k, b, head / call.group());
  const Head v(call.v, b, head / call.group());
  const auto* row = reinterpret_cast<const C*>(q.row(query));
  float highest = -std::numeric_limits<float>::infinity();
  for (std::int64_t j = 0; j < keys; ++j) {
    const auto* key = reinterpret_cast<const C*>(k.row(first + j));
    if constexpr (std::is_same_v<C, float>) {
      scores[j] = scale.scale * tiles.dot_f32(row, key, width);
    } else {
      scores[j] = scale.scale * tiles.dot_bf16(row, key, width);
    }
    if (scale.softcap > 0) scores[j] = scale.softcap * std::tanh(scores[j] / scale.softcap);
    highest = std::max(highest, scores[j]);
  }
  const float total = tiles.softmax_row(scores, keys, highest);
  float& lse = call.lse.as<float>()[b * call.lse.strides[0] + query * call.lse.strides[1] + head];
  const float own_lse = keys == 0 ? kNothing : highest + std::log(total);
  const Merged merged(own_lse, call.options.accumulate ? lse : kNothing);
  std::fill_n(sum, value_width, 0.0F);
  for (std::int64_t j = 0; j < keys; ++j) {
    const auto* value = reinterpret_cast<const C*>(v.row(first + j));
    if constexpr (std::is_same_v<C, float>) {
      tiles.add_f32(merged.own * (scores[j] / total), value, sum, value_width);
    } else {
      tiles.add_bf16(merged.own * (scores[j] / total), value, sum, value_width);
    }
  }
  const Head out(call.out, b, head);
  if (call.options.accumulate) {
    tiles.add_f32(merged.before, reinterpret_cast<const float*>(out.row(query)), sum, value_width);
  }
  store_row(sum, out.dtype, out.row(query), value_width);
  lse = merged.lse;
}

}  // namespace

void attention_forward(const Context& context,
                       View q,
                       View k,
                       View v,
                       View first_key,
                       AttentionOptions options,
                       View out,
                       View lse) {
  const auto dims =
      contract::check_attention("attention_forward", q, k, v, first_key, options, out, lse);
  if (q.dtype == DType::f64)
    return ref::attention_forward(context, q, k, v, first_key, options, out, lse);
  const Call call{q, k, v, first_key, options, out, lse, dims};
  Executor& executor = *context.executor;
  if (dims.queries <= kRowByRow) {
    executor.parallel_for(dims.batch * dims.heads * dims.queries,
                          [&](std::int64_t task, int worker) {
                            const std::int64_t query = task % dims.queries;
                            const std::int64_t head = task / dims.queries % dims.heads;
                            const std::int64_t b = task / dims.queries / dims.heads;
                            if (q.dtype == DType::f32) {
                              run_row<float>(executor, worker, call, b, head, query);
                            } else {
                              run_row<Bf16>(executor, worker, call, b, head, query);
                            }
                          });
    return;
  }
  const AttentionPlans plans(q.dtype, dims, kPanelsPerBlock);
  // Whole sequences per task when there are enough of them; else runs of at least 128 queries.
  const std::int64_t pairs = dims.batch * dims.key_heads;
  const std::int64_t wanted =
      ceil_div(std::int64_t{4} * executor.num_workers(), std::max<std::int64_t>(1, pairs));
  const std::int64_t runs = std::clamp<std::int64_t>(wanted, 1, ceil_div(dims.queries, 128));
  const std::int64_t nr = plans.keys.kernel.nr;
  const std::int64_t length = ceil_div(ceil_div(dims.queries, runs), nr) * nr;
  executor.parallel_for(pairs * runs, [&](std::int64_t task, int worker) {
    const std::int64_t begin = (runs - 1 - task % runs) * length;  // the longest rows first
    if (begin >= dims.queries) return;
    const std::int64_t pair = task / runs;
    run_queries(executor, worker, call, plans, pair / dims.key_heads, pair % dims.key_heads, begin,
                std::min(dims.queries, begin + length));
  });
}

}  // namespace tera::kernels::cpu
