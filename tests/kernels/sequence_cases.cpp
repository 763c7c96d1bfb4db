#include <cmath>

#include <fmt/format.h>

#include "tests/kernels/op_cases.h"

namespace tera::kernels::test {
namespace {

void add_embedding(std::vector<OpCase>& cases, DType compute) {
  for (const auto& [tokens, vocabulary, width] :
       {std::tuple(1, 5, 8), std::tuple(37, 7, 33), std::tuple(200, 50, 64)}) {
    for (const bool accumulate : {false, true}) {
      CaseBuilder b("embedding_forward",
                    fmt::format("{} of {} x {}{}", tokens, vocabulary, width,
                                accumulate ? " accumulate" : ""),
                    compute);
      b.in(b.integers({tokens}, -1, vocabulary))
          .in(b.normal_c({vocabulary, width}))
          .out(b.normal_c({tokens, width}));
      cases.push_back(
          b.finish(2, [accumulate](const OpTable& ops, const Context& context, const Views& v) {
            ops.embedding_forward(context, v[0], v[1], v[2], accumulate);
          }));
    }
    CaseBuilder b("embedding_backward", fmt::format("{} of {} x {}", tokens, vocabulary, width),
                  compute);
    b.in(b.integers({tokens}, -1, vocabulary))
        .in(b.normal_c({tokens, width}))
        .out(b.normal_a({vocabulary, width}));
    cases.push_back(
        b.finish(tokens, [](const OpTable& ops, const Context& context, const Views& v) {
          ops.embedding_backward(context, v[0], v[1], v[2]);
        }));
  }
}

// Frequencies base^(-i / pairs), as checkpoints have them.
Buffer frequencies(std::int64_t pairs, double base) {
  Buffer buffer(DType::f64, {pairs});
  for (std::int64_t i = 0; i < pairs; ++i)
    buffer.set(i, std::pow(base, -static_cast<double>(i) / static_cast<double>(pairs)));
  return buffer;
}

struct RotaryRow {
  std::int64_t tokens, heads, width, pairs;
  std::int64_t last = 2000;  // positions below this
  double factor = 1;
};

void add_rotary(std::vector<OpCase>& cases, DType compute, const RotaryRow& row) {
  for (const bool transpose : {false, true}) {
    for (const std::int64_t gap : {0, 6}) {
      const RotaryOptions options{.factor = row.factor, .transpose = transpose};
      CaseBuilder b("rotary",
                    fmt::format("{}x{}x{} pairs {} below {} factor {}{} gap {}", row.tokens,
                                row.heads, row.width, row.pairs, row.last, row.factor,
                                transpose ? " transposed" : "", gap),
                    compute);
      b.in(b.normal_c({row.tokens, row.heads, row.width}, 1, gap))
          .in(b.integers({row.tokens}, 0, row.last))
          .in(frequencies(row.pairs, 10000))
          .out(b.blank_c({row.tokens, row.heads, row.width}, gap));
      cases.push_back(
          b.finish(2, [options](const OpTable& ops, const Context& context, const Views& v) {
            ops.rotary(context, v[0], v[1], v[2], options, v[3]);
          }));
    }
  }
  CaseBuilder b("rotary", fmt::format("in place, {} pairs of {}", row.pairs, row.width), compute);
  b.out(b.normal_c({row.tokens, row.heads, row.width}))
      .in(b.integers({row.tokens}, 0, row.last))
      .in(frequencies(row.pairs, 500000));
  cases.push_back(b.finish(2, [](const OpTable& ops, const Context& context, const Views& v) {
    ops.rotary(context, v[0], v[1], v[2], {}, v[0]);
  }));
}

struct QkNormRow {
  std::int64_t tokens, heads, width, pairs;
  bool per_head;
  std::int64_t gap = 0;
};

void add_qk_norm(std::vector<OpCase>& cases, DType compute, const QkNormRow& row) {
  const std::string name =
      fmt::format("{}x{}x{} pairs {}{} gap {}", row.tokens, row.heads, row.width, row.pairs,
                  row.per_head ? " per head" : "", row.gap);
  const std::vector<std::int64_t> shape = {row.tokens, row.heads, row.width};
  const std::int64_t norm = row.per_head ? row.width : row.heads * row.width;
  const std::int64_t norms = row.per_head ? row.tokens * row.heads : row.tokens;
  const RotaryOptions options{.factor = 1.25};
  CaseBuilder f("qk_norm_forward", name, compute);
  f.in(f.normal_c(shape, 3, row.gap)).in(f.normal_c({norm})).in(f.integers({row.tokens}, 0, 2000));
  f.in(frequencies(row.pairs, 10000)).out(f.blank_c(shape)).out(f.blank_c(shape));
  f.out(f.blank_a({norms}));
  cases.push_back(f.finish(static_cast<double>(norm),
                           [options](const OpTable& ops, const Context& context, const Views& v) {
                             ops.qk_norm_forward(context, v[0], v[1], 1e-5, v[2], v[3], options,
                                                 v[4], v[5], v[6]);
                           }));
  // What is turned is rounded before: |c a| + |s b| of a pair is at most its length.
  cases.back().rounded_terms = [row](const std::vector<Buffer>& v, std::size_t output,
                                     std::int64_t i) {
    const std::int64_t d = i % row.width;
    if (output != 5 || d >= 2 * row.pairs) return 0.0;
    return std::hypot(v[5].get(i), v[5].get(d < row.pairs ? i + row.pairs : i - row.pairs));
  };
  CaseBuilder b("qk_norm_backward_input", name, compute);
  Buffer rstd = b.normal_a({norms}, 0.1);
  for (std::int64_t i = 0; i < norms; ++i)
    rstd.set(i, 0.5 + rstd.get(i) * rstd.get(i));
  b.in(b.normal_c(shape, 1, row.gap)).in(b.normal_c(shape)).in(b.normal_c({norm}));
  b.in(std::move(rstd)).in(b.integers({row.tokens}, 0, 2000)).in(frequencies(row.pairs, 10000));
  b.out(b.blank_c(shape)).out(b.blank_c(shape, row.gap));
  cases.push_back(b.finish(static_cast<double>(norm),
                           [options](const OpTable& ops, const Context& context, const Views& v) {
                             ops.qk_norm_backward_input(context, v[0], v[1], v[2], v[3], v[4], v[5],
                                                        options, v[6], v[7]);
                           }));
  // d_norm is rounded before the norm's gradient rstd (g - x^ mean(g x^)) is made of it, g = d_norm
  // w and x^ = raw rstd.
  cases.back().rounded_terms = [norm](const std::vector<Buffer>& v, std::size_t output,
                                      std::int64_t i) {
    if (output != 7) return 0.0;
    const double scale = v[3].get(i / norm);
    const auto g = [&](std::int64_t j) { return std::abs(v[6].get(j) * v[2].get(j % norm)); };
    const auto hat = [&](std::int64_t j) { return std::abs(v[1].get(j) * scale); };
    double products = 0;
    for (std::int64_t j = i / norm * norm; j < (i / norm + 1) * norm; ++j)
      products += g(j) * hat(j);
    return scale * (g(i) + hat(i) * products / static_cast<double>(norm));
  };
}

struct AttentionRow {
  std::int64_t batch, queries, keys, heads, key_heads, width, offset;
  std::int64_t document;  // first_key steps at multiples of this, 0 for one document
  std::int64_t gap = 0;
  std::int64_t window = 0;       // keys a query sees at most, 0 for all
  std::int64_t value_width = 0;  // 0 is width
  double softcap = 0;
  bool accumulate = false;

  std::int64_t values() const { return value_width > 0 ? value_width : width; }
};

Buffer first_keys(const AttentionRow& row) {
  Buffer buffer(DType::i32, {row.batch, row.queries});
  for (std::int64_t i = 0; i < buffer.size(); ++i) {
    const std::int64_t position = row.offset + i % row.queries;
    // The second sequence has its boundaries elsewhere.
    const std::int64_t shift = i / row.queries % 2 * 3;
    std::int64_t first =
        row.document == 0 ? 0 : (position + shift) / row.document * row.document - shift;
    if (row.window > 0) first = std::max(first, position - row.window + 1);
    buffer.set(i, static_cast<double>(std::max<std::int64_t>(0, first)));
  }
  return buffer;
}

void add_attention(std::vector<OpCase>& cases, DType compute, const AttentionRow& row) {
  const std::string name =
      fmt::format("{}x{}/{} heads {}/{} d {}/{} offset {} document {} gap {}{}{}", row.batch,
                  row.queries, row.keys, row.heads, row.key_heads, row.width, row.values(),
                  row.offset, row.document, row.gap,
                  row.window > 0 ? fmt::format(" window {}", row.window) : "",
                  row.softcap > 0 ? fmt::format(" cap {}", row.softcap) : "") +
      (row.accumulate ? " accumulate" : "");
  const AttentionOptions alone{.query_offset = row.offset, .scale = 0.125, .softcap = row.softcap};
  AttentionOptions options = alone;
  options.accumulate = row.accumulate;
  CaseBuilder f("attention_forward", name, compute);
  Buffer q = f.normal_c({row.batch, row.queries, row.heads, row.width}, 2, row.gap);
  Buffer k = f.normal_c({row.batch, row.keys, row.key_heads, row.width}, 2, row.gap);
  Buffer v = f.normal_c({row.batch, row.keys, row.key_heads, row.values()}, 1, row.gap);
  Buffer out = f.blank_c({row.batch, row.queries, row.heads, row.values()}, row.gap);
  Buffer lse = f.blank_a({row.batch, row.queries, row.heads});
  CaseBuilder b("attention_backward", name, compute);
  Buffer dout = b.normal_c({row.batch, row.queries, row.heads, row.values()}, 1, row.gap);
  ref_ops().attention_forward({}, q, k, v, first_keys(row), alone, out, lse);
  b.in(std::move(dout))
      .in(q.clone())
      .in(k.clone())
      .in(v.clone())
      .in(first_keys(row))
      .in(out.clone())
      .in(lse.clone());
  const auto gradient = [&](std::int64_t length, std::int64_t heads, std::int64_t width) {
    const std::vector<std::int64_t> shape = {row.batch, length, heads, width};
    b.out(row.accumulate ? b.normal_a(shape) : b.blank_c(shape, row.gap));
  };
  gradient(row.queries, row.heads, row.width);
  gradient(row.keys, row.key_heads, row.width);
  gradient(row.keys, row.key_heads, row.values());
  cases.push_back(b.finish(
      static_cast<double>(row.keys + row.width),
      [options](const OpTable& ops, const Context& context, const Views& a) {
        ops.attention_backward(context, a[0], a[1], a[2], a[3], a[4], a[5], a[6], options, a[7],
                               a[8], a[9]);
      },
      true));
  cases.back().term = std::sqrt(static_cast<double>(row.width));
  f.in(std::move(q)).in(std::move(k)).in(std::move(v)).in(first_keys(row));
  if (row.accumulate) {
    f.out(f.normal_a({row.batch, row.queries, row.heads, row.values()}))
        .out(f.normal_a({row.batch, row.queries, row.heads}, 3));
  } else {
    f.out(std::move(out)).out(std::move(lse));
  }
  cases.push_back(f.finish(
      static_cast<double>(row.keys + row.width),
      [options](const OpTable& ops, const Context& context, const Views& a) {
        ops.attention_forward(context, a[0], a[1], a[2], a[3], options, a[4], a[5]);
      },
      true));
}

void add_sum_heads(std::vector<OpCase>& cases, DType compute) {
  for (const auto& [tokens, heads, width] :
       {std::tuple(1, 1, 1), std::tuple(37, 3, 20), std::tuple(300, 16, 64)}) {
    for (const std::int64_t gap : {0, 5}) {
      CaseBuilder b("sum_heads", fmt::format("{}x{}x{} gap {}", tokens, heads, width, gap),
                    compute);
      b.in(b.normal_c({tokens, heads, width}, 1, gap)).out(b.blank_c({tokens, width}, gap));
      cases.push_back(b.finish(heads, [](const OpTable& ops, const Context& context,
                                         const Views& v) { ops.sum_heads(context, v[0], v[1]); }));
    }
  }
}

}  // namespace

std::vector<OpCase> sequence_cases(DType compute) {
  std::vector<OpCase> cases;
  add_embedding(cases, compute);
  for (const RotaryRow& row :
       {RotaryRow{1, 1, 2, 1}, RotaryRow{37, 3, 64, 32}, RotaryRow{5, 2, 26, 13},
        RotaryRow{37, 3, 64, 8}, RotaryRow{200, 2, 27, 5, 90}, RotaryRow{9, 2, 32, 16, 50, 1.25},
        RotaryRow{70, 1, 80, 10, 131072, 0.7}, RotaryRow{5, 2, 16, 0}})
    add_rotary(cases, compute, row);
  for (const QkNormRow& row : {QkNormRow{1, 1, 2, 1, true}, QkNormRow{37, 3, 64, 32, true, 6},
                               QkNormRow{37, 3, 64, 32, false}, QkNormRow{30, 5, 27, 5, true},
                               QkNormRow{30, 5, 27, 5, false}, QkNormRow{9, 2, 16, 0, true}})
    add_qk_norm(cases, compute, row);
  for (const AttentionRow& row :
       {AttentionRow{1, 1, 1, 1, 1, 8, 0, 0}, AttentionRow{2, 70, 70, 2, 2, 64, 0, 0},
        AttentionRow{2, 65, 65, 4, 2, 32, 0, 20}, AttentionRow{1, 200, 200, 3, 1, 16, 0, 70},
        AttentionRow{2, 33, 33, 4, 1, 24, 0, 1}, AttentionRow{1, 130, 130, 2, 1, 64, 0, 0, 8},
        AttentionRow{2, 1, 90, 4, 2, 64, 89, 0}, AttentionRow{2, 230, 230, 2, 1, 16, 0, 90, 0, 33},
        AttentionRow{1, 7, 90, 2, 2, 12, 83, 0, 0, 20}, AttentionRow{1, 5, 150, 4, 4, 10, 120, 0},
        AttentionRow{1, 20, 300, 2, 1, 128, 250, 64}, AttentionRow{1, 300, 300, 1, 1, 128, 0, 0}})
    add_attention(cases, compute, row);
  // Value heads narrower and wider than query-key heads; soft caps that bend scores of up to about
  // 2 x 2 x 0.125 sqrt(width) a little and a lot.
  for (const AttentionRow& row : {AttentionRow{1, 1, 1, 1, 1, 48, 0, 0, 0, 0, 32},
                                  AttentionRow{2, 65, 65, 4, 2, 48, 0, 20, 0, 0, 32},
                                  AttentionRow{1, 300, 300, 2, 2, 48, 0, 0, 8, 33, 32, 4},
                                  AttentionRow{2, 70, 70, 2, 1, 21, 0, 40, 0, 0, 70},
                                  AttentionRow{1, 130, 130, 3, 1, 16, 0, 0, 0, 0, 0, 1.5},
                                  AttentionRow{1, 3, 90, 4, 1, 72, 87, 0, 0, 0, 64, 2},
                                  AttentionRow{2, 40, 200, 2, 1, 72, 160, 64, 0, 0, 64, 30}})
    add_attention(cases, compute, row);
  // Queries behind the keys, of which some see all and some none.
  for (const bool accumulate : {false, true}) {
    for (const AttentionRow& row :
         {AttentionRow{2, 70, 60, 4, 2, 32, 60, 0}, AttentionRow{1, 150, 130, 2, 1, 16, 150, 100},
          AttentionRow{2, 140, 200, 2, 1, 48, 120, 90, 0, 60, 32},
          AttentionRow{1, 3, 90, 4, 2, 64, 89, 0, 0, 90, 48, 2}}) {
      AttentionRow added = row;
      added.accumulate = accumulate;
      add_attention(cases, compute, added);
    }
  }
  add_sum_heads(cases, compute);
  return cases;
}

}  // namespace tera::kernels::test
