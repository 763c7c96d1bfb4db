// Contracts of products and of what runs along the sequence: embedding, norms, rotary, attention.
#include "kernels/contract.h"

#include <utility>

#include "kernels/contract_checker.h"

namespace tera::kernels::contract {
namespace {

// offsets must rise from 0 to the number of routed rows: everything behind them trusts that.
void check_offsets(const Checker& check,
                   const View& offsets,
                   std::int64_t experts,
                   std::int64_t rows) {
  check.dense("offsets", offsets, DType::i64, {experts + 1});
  const auto* o = offsets.as<const std::int64_t>();
  bool rising = o[0] == 0 && o[experts] == rows;
  for (std::int64_t e = 0; rising && e < experts; ++e)
    rising = o[e] <= o[e + 1];
  check.that(rising, [&] {
    return "offsets do not rise from 0 to the number of rows, " + std::to_string(rows);
  });
}

// Products take f32 and bf16 mixed; f64 only among themselves.
void check_product_dtypes(const Checker& check, const View& a, const View& b, const View& c) {
  const int num_f64 = (a.dtype == DType::f64) + (b.dtype == DType::f64) + (c.dtype == DType::f64);
  check.that(num_f64 == 0 || num_f64 == 3, [&] {
    return "dtypes are " + std::string(dtype_name(a.dtype)) + ", " +
           std::string(dtype_name(b.dtype)) + " and " + std::string(dtype_name(c.dtype)) +
           ", expected all f64 or none";
  });
}

}  // namespace

MatmulDims check_matmul(const View& a, const View& b, const View& c, MatmulOptions options) {
  const Checker check("matmul");
  for (const auto& [name, v] : {std::pair("a", &a), std::pair("b", &b), std::pair("c", &c)}) {
    check.rank(name, *v, 2);
    check.compute(name, *v);
  }
  const std::int64_t m = dim(c, 0);
  const std::int64_t n = dim(c, 1);
  const std::int64_t k = dim(a, options.transpose_a ? 0 : 1);
  const auto operand = [&](const char* name, const View& v, std::int64_t rows, std::int64_t cols,
                           bool transposed) {
    if (transposed) std::swap(rows, cols);
    check.rows(name, v, v.dtype, {rows, cols});
  };
  check.rows("c", c, c.dtype, {m, n});
  operand("a", a, m, k, options.transpose_a);
  operand("b", b, k, n, options.transpose_b);
  check_product_dtypes(check, a, b, c);
  return {m, n, k};
}

GroupedDims check_grouped_matmul(
    const View& x, const View& w, const View& offsets, const View& y, bool transpose_w) {
  const Checker check("grouped_matmul");
  check.rank("x", x, 2);
  check.rank("w", w, 3);
  check.compute("x", x);
  check.compute("w", w);
  check.compute("y", y);
  const std::int64_t k = dim(x, 1);
  const std::int64_t n = dim(w, transpose_w ? 1 : 2);
  check.dense("x", x, x.dtype, {kAny, k});
  if (transpose_w) {
    check.dense("w", w, w.dtype, {kAny, n, k});
  } else {
    check.dense("w", w, w.dtype, {kAny, k, n});
  }
  check.dense("y", y, y.dtype, {dim(x, 0), n});
  check_product_dtypes(check, x, w, y);
  check_offsets(check, offsets, dim(w, 0), dim(x, 0));
  return {dim(w, 0), dim(x, 0), n, k};
}

GroupedDims check_grouped_matmul_weight(const View& dy,
                                        const View& x,
                                        const View& offsets,
                                        const View& dw) {
  const Checker check("grouped_matmul_weight");
  check.rank("dw", dw, 3);
  check.rank("x", x, 2);
  check.compute("dy", dy);
  check.compute("x", x);
  check.accumulate("dw", dw);
  const std::int64_t n = dim(dw, 1);
  const std::int64_t k = dim(dw, 2);
  check.dense("dy", dy, dy.dtype, {dim(x, 0), n});
  check.dense("x", x, x.dtype, {kAny, k});
  check.dense("dw", dw, dw.dtype, {kAny, n, k});
  check_product_dtypes(check, dy, x, dw);
  check_offsets(check, offsets, dim(dw, 0), dim(x, 0));
  return {dim(dw, 0), dim(x, 0), n, k};
}

RowDims check_embedding(const char* op,
                        const View& ids,
                        const View& table,
                        const View& y,
                        DType table_dtype,
                        DType row_dtype) {
  const Checker check(op);
  check.compute("rows", y);
  check.rank("table", table, 2);
  check.dense("ids", ids, DType::i32, {kAny});
  check.dense("table", table, table_dtype, {kAny, kAny});
  check.dense("rows", y, row_dtype, {dim(ids, 0), dim(table, 1)});
  check_indices(op, "ids", ids, -1, dim(table, 0));
  return {dim(ids, 0), dim(table, 1)};
}

namespace {

RowDims check_norm(const Checker& check,
                   NormType type,
                   const View& x,
                   const View& rstd,
                   const View& mean,
                   bool needs_mean) {
  check.compute("x", x);
  check.dense("x", x, x.dtype, {kAny, kAny});
  const DType a = accumulate_dtype(x.dtype);
  check.dense("rstd", rstd, a, {dim(x, 0)});
  check.optional("mean", mean, a, {dim(x, 0)});
  check.that(mean.present() || !needs_mean || type == NormType::rms,
             [&] { return std::string("layer norm needs the mean of forward"); });
  return {dim(x, 0), dim(x, 1)};
}

}  // namespace

RowDims check_norm_forward(NormType type,
                           const View& x,
                           const View& branch,
                           const View& w,
                           const View& b,
                           const View& sum,
                           const View& y,
                           const View& rstd,
                           const View& mean) {
  const Checker check("norm_forward");
  const RowDims dims = check_norm(check, type, x, rstd, mean, false);
  check.dense("w", w, x.dtype, {dims.cols});
  check.optional("b", b, x.dtype, {dims.cols});
  check.dense("y", y, x.dtype, {dims.rows, dims.cols});
  check.optional("branch", branch, x.dtype, {dims.rows, dims.cols});
  check.optional("sum", sum, x.dtype, {dims.rows, dims.cols});
  check.that(branch.present() == sum.present(), [&] {
    return "branch is " + describe(branch) + " and sum " + describe(sum) +
           ", expected both or none";
  });
  check.that(type == NormType::layer || !b.present(),
             [&] { return std::string("rms norm has no b"); });
  return dims;
}

RowDims check_norm_backward_input(NormType type,
                                  const View& dy,
                                  const View& x,
                                  const View& w,
                                  const View& rstd,
                                  const View& mean,
                                  const View& d_stream,
                                  const View& dx) {
  const Checker check("norm_backward_input");
  const RowDims dims = check_norm(check, type, x, rstd, mean, true);
  check.dense("dy", dy, x.dtype, {dims.rows, dims.cols});
  check.dense("w", w, x.dtype, {dims.cols});
  check.dense("dx", dx, x.dtype, {dims.rows, dims.cols});
  check.optional("d_stream", d_stream, x.dtype, {dims.rows, dims.cols});
  return dims;
}

RowDims check_norm_backward_weight(NormType type,
                                   const View& dy,
                                   const View& x,
                                   const View& rstd,
                                   const View& mean,
                                   const View& dw,
                                   const View& db) {
  const Checker check("norm_backward_weight");
  const RowDims dims = check_norm(check, type, x, rstd, mean, true);
  const DType a = accumulate_dtype(x.dtype);
  check.dense("dy", dy, x.dtype, {dims.rows, dims.cols});
  check.dense("dw", dw, a, {dims.cols});
  check.optional("db", db, a, {dims.cols});
  return dims;
}

RotaryDims check_rotary(const View& x,
                        const View& positions,
                        const View& frequencies,
                        const View& y) {
  const Checker check("rotary");
  check.rank("x", x, 3);
  check.compute("x", x);
  const RotaryDims dims{dim(x, 0), dim(x, 1), dim(x, 2), dim(frequencies, 0)};
  check.rows("x", x, x.dtype, {dims.tokens, dims.heads, dims.head_dim});
  check.rows("y", y, x.dtype, {dims.tokens, dims.heads, dims.head_dim});
  check.dense("positions", positions, DType::i32, {dims.tokens});
  check.dense("frequencies", frequencies, DType::f64, {kAny});
  check.that(2 * dims.pairs <= dims.head_dim, [&] {
    return std::to_string(dims.pairs) + " frequencies turn " + std::to_string(2 * dims.pairs) +
           " dims, but a head has " + std::to_string(dims.head_dim);
  });
  return dims;
}

AttentionDims check_attention(const char* op,
                              const View& q,
                              const View& k,
                              const View& v,
                              const View& first_key,
                              AttentionOptions options,
                              const View& out,
                              const View& lse) {
  const Checker check(op);
  check.compute("q", q);
  check.rank("q", q, 4);
  check.rank("k", k, 4);
  check.rank("v", v, 4);
  const AttentionDims d{dim(q, 0), dim(q, 1), dim(k, 1), dim(q, 2),
                        dim(k, 2), dim(q, 3), dim(v, 3)};
  check.rows("q", q, q.dtype, {d.batch, d.queries, d.heads, d.head_dim});
  check.rows("k", k, q.dtype, {d.batch, d.keys, d.key_heads, d.head_dim});
  check.rows("v", v, q.dtype, {d.batch, d.keys, d.key_heads, d.value_dim});
  check.rows("out", out, q.dtype, {d.batch, d.queries, d.heads, d.value_dim});
  check.dense("first_key", first_key, DType::i32, {d.batch, d.queries});
  check.dense("lse", lse, accumulate_dtype(q.dtype), {d.batch, d.queries, d.heads});
  for (const auto& [name, view] : {std::pair("q", &q), std::pair("v", &v)}) {
    check.that(dim(*view, 3) > 0, [&, n = name, x = view] {
      return std::string(n) + " is " + describe(*x) + ", expected heads of at least one dim";
    });
  }
  check.that(d.key_heads > 0 && d.heads % d.key_heads == 0, [&] {
    return std::to_string(d.heads) + " query heads are no multiple of " +
           std::to_string(d.key_heads) + " key heads";
  });
  check.that(options.query_offset >= 0 && options.query_offset + d.queries <= d.keys, [&] {
    return std::to_string(d.queries) + " queries at offset " +
           std::to_string(options.query_offset) + " end after the last of " +
           std::to_string(d.keys) + " keys";
  });
  check.that(options.softcap >= 0, [&] {
    return "softcap is " + std::to_string(options.softcap) + ", expected 0 or more";
  });
  return d;
}

AttentionDims check_attention_backward(const View& dout,
                                       const View& q,
                                       const View& k,
                                       const View& v,
                                       const View& first_key,
                                       const View& out,
                                       const View& lse,
                                       AttentionOptions options,
                                       const View& dq,
                                       const View& dk,
                                       const View& dv) {
  const AttentionDims d =
      check_attention("attention_backward", q, k, v, first_key, options, out, lse);
  const Checker check("attention_backward");
  check.rows("dout", dout, q.dtype, {d.batch, d.queries, d.heads, d.value_dim});
  check.rows("dq", dq, q.dtype, {d.batch, d.queries, d.heads, d.head_dim});
  check.rows("dk", dk, q.dtype, {d.batch, d.keys, d.key_heads, d.head_dim});
  check.rows("dv", dv, q.dtype, {d.batch, d.keys, d.key_heads, d.value_dim});
  check.that(d.queries == d.keys && options.query_offset == 0, [&] {
    return "needs as many queries as keys and query offset 0, got " + std::to_string(d.queries) +
           " queries, " + std::to_string(d.keys) + " keys, offset " +
           std::to_string(options.query_offset);
  });
  return d;
}

RowDims check_sum_heads(const View& x, const View& y) {
  const Checker check("sum_heads");
  check.rank("x", x, 3);
  check.compute("x", x);
  check.rows("x", x, x.dtype, {kAny, kAny, kAny});
  check.rows("y", y, x.dtype, {dim(x, 0), dim(x, 2)});
  return {dim(x, 0), dim(x, 2)};
}

}  // namespace tera::kernels::contract
