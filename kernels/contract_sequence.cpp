// Contracts of what runs along the sequence: embedding, norms, rotary, attention.
#include "kernels/contract.h"
#include "kernels/contract_checker.h"

namespace tera::kernels::contract {

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

RowDims check_dot_rows(const View& x, const View& y, const View& w, const View& sums) {
  const Checker check("dot_rows");
  check.compute("x", x);
  check.dense("x", x, x.dtype, {kAny, kAny});
  check.like("y", y, "x", x);
  check.optional("w", w, x.dtype, {dim(x, 1)});
  check.dense("sums", sums, accumulate_dtype(x.dtype), {dim(x, 0)});
  return {dim(x, 0), dim(x, 1)};
}

RowDims check_scale_rows(const View& x,
                         const View& w,
                         const View& x_scale,
                         const View& y,
                         const View& y_scale,
                         const View& z) {
  const Checker check("scale_rows");
  check.compute("x", x);
  check.dense("x", x, x.dtype, {kAny, kAny});
  const DType a = accumulate_dtype(x.dtype);
  check.dense("w", w, x.dtype, {dim(x, 1)});
  check.dense("x_scale", x_scale, a, {dim(x, 0)});
  check.optional("y", y, x.dtype, {dim(x, 0), dim(x, 1)});
  check.optional("y_scale", y_scale, a, {dim(x, 0)});
  check.that(y.present() == y_scale.present(), [&] {
    return "y is " + describe(y) + " and y_scale " + describe(y_scale) + ", expected both or none";
  });
  check.rows("z", z, x.dtype, {dim(x, 0), dim(x, 1)});
  return {dim(x, 0), dim(x, 1)};
}

namespace {

// x is what is turned.
RotaryDims check_turned(const Checker& check,
                        const char* name,
                        const View& x,
                        const View& positions,
                        const View& frequencies) {
  check.rank(name, x, 3);
  check.compute(name, x);
  const RotaryDims dims{dim(x, 0), dim(x, 1), dim(x, 2), dim(frequencies, 0)};
  check.rows(name, x, x.dtype, {dims.tokens, dims.heads, dims.head_dim});
  check.dense("positions", positions, DType::i32, {dims.tokens});
  check.dense("frequencies", frequencies, DType::f64, {kAny});
  check.that(2 * dims.pairs <= dims.head_dim, [&] {
    return std::to_string(dims.pairs) + " frequencies turn " + std::to_string(2 * dims.pairs) +
           " dims, but a head has " + std::to_string(dims.head_dim);
  });
  return dims;
}

// The norm of each head, or of all heads of a token, which lie side by side in x.
void check_heads_norm(
    const Checker& check, const RotaryDims& d, const View& x, const View& w, const View& rstd) {
  const bool per_head = dim(w, 0) == d.head_dim;
  check.dense("w", w, x.dtype, {per_head ? d.head_dim : d.heads * d.head_dim});
  check.contiguous("rstd", rstd);
  check.that(rstd.dtype == accumulate_dtype(x.dtype) &&
                 rstd.num_elements() == (per_head ? d.tokens * d.heads : d.tokens),
             [&] {
               return "rstd is " + describe(rstd) + ", expected one for each norm of " +
                      std::to_string(dim(w, 0));
             });
  check.that(per_head || d.heads == 1 || x.strides[1] == d.head_dim,
             [&] { return std::string("a norm over all heads needs them side by side"); });
}

}  // namespace

RotaryDims check_rotary(const View& x,
                        const View& positions,
                        const View& frequencies,
                        const View& y) {
  const Checker check("rotary");
  const RotaryDims dims = check_turned(check, "x", x, positions, frequencies);
  check.rows("y", y, x.dtype, {dims.tokens, dims.heads, dims.head_dim});
  return dims;
}

RotaryDims check_qk_norm_forward(const View& x,
                                 const View& w,
                                 const View& positions,
                                 const View& frequencies,
                                 const View& raw,
                                 const View& y,
                                 const View& rstd) {
  const Checker check("qk_norm_forward");
  const RotaryDims d = check_turned(check, "x", x, positions, frequencies);
  check.dense("raw", raw, x.dtype, {d.tokens, d.heads, d.head_dim});
  check.dense("y", y, x.dtype, {d.tokens, d.heads, d.head_dim});
  check_heads_norm(check, d, x, w, rstd);
  return d;
}

RotaryDims check_qk_norm_backward_input(const View& dy,
                                        const View& raw,
                                        const View& w,
                                        const View& rstd,
                                        const View& positions,
                                        const View& frequencies,
                                        const View& d_norm,
                                        const View& dx) {
  const Checker check("qk_norm_backward_input");
  const RotaryDims d = check_turned(check, "dy", dy, positions, frequencies);
  check.dense("raw", raw, dy.dtype, {d.tokens, d.heads, d.head_dim});
  check.dense("d_norm", d_norm, dy.dtype, {d.tokens, d.heads, d.head_dim});
  check.rows("dx", dx, dy.dtype, {d.tokens, d.heads, d.head_dim});
  check_heads_norm(check, d, dx, w, rstd);
  return d;
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
  const DType a = accumulate_dtype(q.dtype);
  check.rows("out", out, options.accumulate || out.dtype == a ? a : q.dtype,
             {d.batch, d.queries, d.heads, d.value_dim});
  check.dense("first_key", first_key, DType::i32, {d.batch, d.queries});
  check.rows("lse", lse, a, {d.batch, d.queries, d.heads});
  for (const auto& [name, view] : {std::pair("q", &q), std::pair("v", &v)}) {
    check.that(dim(*view, 3) > 0, [&, n = name, x = view] {
      return std::string(n) + " is " + describe(*x) + ", expected heads of at least one dim";
    });
  }
  check.that(d.key_heads > 0 && d.heads % d.key_heads == 0, [&] {
    return std::to_string(d.heads) + " query heads are no multiple of " +
           std::to_string(d.key_heads) + " key heads";
  });
  check.that(options.query_offset >= 0, [&] {
    return "queries are at offset " + std::to_string(options.query_offset) + ", expected 0 or more";
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
  AttentionOptions of_forward = options;
  of_forward.accumulate = false;
  const AttentionDims d =
      check_attention("attention_backward", q, k, v, first_key, of_forward, out, lse);
  const Checker check("attention_backward");
  check.rows("dout", dout, q.dtype, {d.batch, d.queries, d.heads, d.value_dim});
  check.rows("out", out, q.dtype, {d.batch, d.queries, d.heads, d.value_dim});
  const DType a = accumulate_dtype(q.dtype);
  const DType gradient = options.accumulate || dq.dtype == a ? a : q.dtype;
  check.rows("dq", dq, gradient, {d.batch, d.queries, d.heads, d.head_dim});
  check.rows("dk", dk, gradient, {d.batch, d.keys, d.key_heads, d.head_dim});
  check.rows("dv", dv, gradient, {d.batch, d.keys, d.key_heads, d.value_dim});
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
