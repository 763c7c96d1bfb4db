#include "kernels/contract.h"

#include <stdexcept>

namespace tera::kernels::contract {
namespace {

std::string shape_text(const std::int64_t* dims, int rank) {
  std::string text = "[";
  for (int d = 0; d < rank; ++d) {
    if (d > 0) text += ", ";
    text += dims[d] == kAny ? std::string("any") : std::to_string(dims[d]);
  }
  return text + "]";
}

bool is_compute(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f64;
}

std::int64_t dim(const View& v, int d) {
  return v.shape[static_cast<std::size_t>(d)];
}

// The checks of one op: every member names the argument it speaks of.
class Checker {
 public:
  explicit Checker(const char* op) : op_(op) {}

  // Last dim contiguous, the others with any stride.
  void rows(const char* name,
            const View& v,
            DType dtype,
            std::initializer_list<std::int64_t> dims) const {
    shape(name, v, dims);
    is(name, v, dtype);
    const auto last = static_cast<std::size_t>(v.rank - 1);
    if (v.shape[last] > 1 && v.strides[last] != 1) {
      fail(op_, std::string(name) + " is " + describe(v) + " with stride " +
                    std::to_string(v.strides[last]) + " in its last dim, expected 1");
    }
  }

  void dense(const char* name,
             const View& v,
             DType dtype,
             std::initializer_list<std::int64_t> dims) const {
    rows(name, v, dtype, dims);
    if (v.num_elements() > 0 && !v.contiguous()) {
      fail(op_, std::string(name) + " is " + describe(v) + " with gaps, expected it contiguous");
    }
  }

  void optional(const char* name,
                const View& v,
                DType dtype,
                std::initializer_list<std::int64_t> dims) const {
    if (v.present()) dense(name, v, dtype, dims);
  }

  void compute(const char* name, const View& v) const {
    if (!is_compute(v.dtype))
      fail(op_, std::string(name) + " is " + describe(v) + ", expected f32, bf16 or f64");
  }

  // f32 or f64.
  void accumulate(const char* name, const View& v) const {
    if (v.dtype != DType::f32 && v.dtype != DType::f64) {
      fail(op_, std::string(name) + " is " + describe(v) + ", expected f32 or f64");
    }
  }

  void rank(const char* name, const View& v, int expected) const {
    if (v.rank != expected) {
      fail(op_, std::string(name) + " is " + describe(v) + ", expected " +
                    std::to_string(expected) + " dims");
    }
  }

  void that(bool ok, const std::string& text) const {
    if (!ok) fail(op_, text);
  }

 private:
  void shape(const char* name, const View& v, std::initializer_list<std::int64_t> dims) const {
    bool same = v.rank == static_cast<int>(dims.size());
    for (int d = 0; same && d < v.rank; ++d) {
      const std::int64_t expected = dims.begin()[d];
      same = dim(v, d) >= 0 && (expected == kAny || dim(v, d) == expected);
    }
    if (!same) {
      fail(op_, std::string(name) + " is " + describe(v) + ", expected shape " +
                    shape_text(dims.begin(), static_cast<int>(dims.size())));
    }
    if (!v.present() && v.num_elements() > 0) fail(op_, std::string(name) + " has no memory");
  }

  void is(const char* name, const View& v, DType dtype) const {
    if (v.dtype != dtype) {
      fail(op_, std::string(name) + " is " + describe(v) + ", expected " +
                    std::string(dtype_name(dtype)));
    }
  }

  const char* op_;
};

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
  check.that(rising, "offsets do not rise from 0 to the number of rows, " + std::to_string(rows));
}

void check_indices(
    const char* op, const char* name, const View& v, std::int64_t lowest, std::int64_t limit) {
  const auto* ids = v.as<const std::int32_t>();
  const std::int64_t n = v.num_elements();
  for (std::int64_t i = 0; i < n; ++i) {
    if (ids[i] < lowest || ids[i] >= limit) {
      fail(op, std::string(name) + " holds " + std::to_string(ids[i]) + " at " + std::to_string(i) +
                   ", expected " + std::to_string(lowest) + " to " + std::to_string(limit - 1));
    }
  }
}

// Products take f32 and bf16 mixed; f64 only among themselves.
void check_product_dtypes(const Checker& check, const View& a, const View& b, const View& c) {
  const int num_f64 = (a.dtype == DType::f64) + (b.dtype == DType::f64) + (c.dtype == DType::f64);
  check.that(num_f64 == 0 || num_f64 == 3, "dtypes are " + std::string(dtype_name(a.dtype)) + ", " +
                                               std::string(dtype_name(b.dtype)) + " and " +
                                               std::string(dtype_name(c.dtype)) +
                                               ", expected all f64 or none");
}

}  // namespace

std::string describe(const View& view) {
  if (!view.present() && view.rank == 0) return "absent";
  return std::string(dtype_name(view.dtype)) + " " + shape_text(view.shape.data(), view.rank);
}

void fail(const char* op, const std::string& text) {
  throw std::invalid_argument(std::string(op) + ": " + text);
}

MatmulDims check_matmul(const View& a, const View& b, const View& c, MatmulOptions options) {
  const Checker check("matmul");
  for (const auto& [name, v] : {std::pair("a", &a), std::pair("b", &b), std::pair("c", &c)}) {
    check.rank(name, *v, 2);
    check.compute(name, *v);
  }
  const std::int64_t m = dim(c, 0);
  const std::int64_t n = dim(c, 1);
  const std::int64_t k = dim(a, options.transpose_a ? 0 : 1);
  check.rows("c", c, c.dtype, {m, n});
  if (options.transpose_a) {
    check.rows("a", a, a.dtype, {k, m});
  } else {
    check.rows("a", a, a.dtype, {m, k});
  }
  if (options.transpose_b) {
    check.rows("b", b, b.dtype, {n, k});
  } else {
    check.rows("b", b, b.dtype, {k, n});
  }
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
  check_indices(op, "ids", ids, 0, dim(table, 0));
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
             "layer norm needs the mean of forward");
  return {dim(x, 0), dim(x, 1)};
}

}  // namespace

RowDims check_norm_forward(NormType type,
                           const View& x,
                           const View& w,
                           const View& b,
                           const View& y,
                           const View& rstd,
                           const View& mean) {
  const Checker check("norm_forward");
  const RowDims dims = check_norm(check, type, x, rstd, mean, false);
  check.dense("w", w, x.dtype, {dims.cols});
  check.optional("b", b, x.dtype, {dims.cols});
  check.dense("y", y, x.dtype, {dims.rows, dims.cols});
  check.that(type == NormType::layer || !b.present(), "rms norm has no b");
  return dims;
}

RowDims check_norm_backward_input(NormType type,
                                  const View& dy,
                                  const View& x,
                                  const View& w,
                                  const View& rstd,
                                  const View& mean,
                                  const View& dx) {
  const Checker check("norm_backward_input");
  const RowDims dims = check_norm(check, type, x, rstd, mean, true);
  check.dense("dy", dy, x.dtype, {dims.rows, dims.cols});
  check.dense("w", w, x.dtype, {dims.cols});
  check.dense("dx", dx, x.dtype, {dims.rows, dims.cols});
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

RotaryDims check_rotary(const View& x, const View& positions, const View& y) {
  const Checker check("rotary");
  check.rank("x", x, 3);
  check.compute("x", x);
  const RotaryDims dims{dim(x, 0), dim(x, 1), dim(x, 2)};
  check.rows("x", x, x.dtype, {dims.tokens, dims.heads, dims.head_dim});
  check.rows("y", y, x.dtype, {dims.tokens, dims.heads, dims.head_dim});
  check.dense("positions", positions, DType::i32, {dims.tokens});
  check.that(dims.head_dim % 2 == 0,
             "the head dim is " + std::to_string(dims.head_dim) + ", expected an even number");
  return dims;
}

namespace {

AttentionDims check_attention(const Checker& check,
                              const View& q,
                              const View& k,
                              const View& v,
                              const View& first_key,
                              AttentionOptions options,
                              const View& out,
                              const View& lse) {
  check.compute("q", q);
  check.rank("q", q, 4);
  check.rank("k", k, 4);
  const AttentionDims d{dim(q, 0), dim(q, 1), dim(k, 1), dim(q, 2), dim(k, 2), dim(q, 3)};
  check.rows("q", q, q.dtype, {d.batch, d.queries, d.heads, d.head_dim});
  check.rows("k", k, q.dtype, {d.batch, d.keys, d.key_heads, d.head_dim});
  check.rows("v", v, q.dtype, {d.batch, d.keys, d.key_heads, d.head_dim});
  check.rows("out", out, q.dtype, {d.batch, d.queries, d.heads, d.head_dim});
  check.dense("first_key", first_key, DType::i32, {d.batch, d.queries});
  check.dense("lse", lse, accumulate_dtype(q.dtype), {d.batch, d.queries, d.heads});
  check.that(d.key_heads > 0 && d.heads % d.key_heads == 0,
             std::to_string(d.heads) + " query heads are no multiple of " +
                 std::to_string(d.key_heads) + " key heads");
  check.that(options.query_offset >= 0 && options.query_offset + d.queries <= d.keys,
             std::to_string(d.queries) + " queries at offset " +
                 std::to_string(options.query_offset) + " end after the last of " +
                 std::to_string(d.keys) + " keys");
  return d;
}

}  // namespace

AttentionDims check_attention_forward(const View& q,
                                      const View& k,
                                      const View& v,
                                      const View& first_key,
                                      AttentionOptions options,
                                      const View& out,
                                      const View& lse) {
  return check_attention(Checker("attention_forward"), q, k, v, first_key, options, out, lse);
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
  const Checker check("attention_backward");
  const AttentionDims d = check_attention(check, q, k, v, first_key, options, out, lse);
  check.rows("dout", dout, q.dtype, {d.batch, d.queries, d.heads, d.head_dim});
  check.rows("dq", dq, q.dtype, {d.batch, d.queries, d.heads, d.head_dim});
  check.rows("dk", dk, q.dtype, {d.batch, d.keys, d.key_heads, d.head_dim});
  check.rows("dv", dv, q.dtype, {d.batch, d.keys, d.key_heads, d.head_dim});
  check.that(d.queries == d.keys && options.query_offset == 0,
             "needs as many queries as keys and query offset 0, got " + std::to_string(d.queries) +
                 " queries, " + std::to_string(d.keys) + " keys, offset " +
                 std::to_string(options.query_offset));
  return d;
}

RowDims check_activation(
    const char* op, Activation type, const View& x, const View& row_scale, const View& y) {
  const Checker check(op);
  check.compute("x", x);
  check.rank("y", y, 2);
  const RowDims dims{dim(y, 0), dim(y, 1)};
  check.dense("y", y, x.dtype, {dims.rows, dims.cols});
  check.dense("x", x, x.dtype, {dims.rows, type == Activation::swiglu ? 2 * dims.cols : dims.cols});
  check.optional("row_scale", row_scale, accumulate_dtype(x.dtype), {dims.rows});
  return dims;
}

RowDims check_activation_backward(Activation type,
                                  const View& dy,
                                  const View& x,
                                  const View& row_scale,
                                  const View& dx,
                                  const View& drow_scale) {
  const Checker check("activation_backward");
  const RowDims dims = check_activation("activation_backward", type, x, row_scale, dy);
  check.dense("dx", dx, x.dtype, {dims.rows, dim(x, 1)});
  check.optional("drow_scale", drow_scale, accumulate_dtype(x.dtype), {dims.rows});
  return dims;
}

RowDims check_add_bias(const View& y, const View& b) {
  const Checker check("add_bias");
  check.compute("y", y);
  check.rows("y", y, y.dtype, {kAny, kAny});
  check.dense("b", b, y.dtype, {dim(y, 1)});
  return {dim(y, 0), dim(y, 1)};
}

RowDims check_bias_backward(const View& dy, const View& db) {
  const Checker check("bias_backward");
  check.compute("dy", dy);
  check.rows("dy", dy, dy.dtype, {kAny, kAny});
  check.dense("db", db, accumulate_dtype(dy.dtype), {dim(dy, 1)});
  return {dim(dy, 0), dim(dy, 1)};
}

RouterDims check_router_forward(const View& logits,
                                const View& bias,
                                const View& scores,
                                const View& indices,
                                const View& gates,
                                const View& logsumexp) {
  const Checker check("router_forward");
  check.accumulate("logits", logits);
  check.rank("indices", indices, 2);
  check.dense("logits", logits, logits.dtype, {kAny, kAny});
  const RouterDims d{dim(logits, 0), dim(logits, 1), dim(indices, 1)};
  check.optional("bias", bias, logits.dtype, {d.experts});
  check.dense("scores", scores, logits.dtype, {d.tokens, d.experts});
  check.dense("indices", indices, DType::i32, {d.tokens, d.top_k});
  check.dense("gates", gates, logits.dtype, {d.tokens, d.top_k});
  check.optional("logsumexp", logsumexp, logits.dtype, {d.tokens});
  check.that(d.top_k <= d.experts,
             std::to_string(d.top_k) + " choices among " + std::to_string(d.experts) + " experts");
  return d;
}

RouterDims check_router_backward(const View& scores,
                                 const View& indices,
                                 const View& gates,
                                 const View& logsumexp,
                                 const View& dgates,
                                 const View& balance,
                                 double z_coeff,
                                 RouterOptions options,
                                 const View& dlogits) {
  const Checker check("router_backward");
  check.accumulate("scores", scores);
  check.rank("indices", indices, 2);
  check.dense("scores", scores, scores.dtype, {kAny, kAny});
  const RouterDims d{dim(scores, 0), dim(scores, 1), dim(indices, 1)};
  check.dense("indices", indices, DType::i32, {d.tokens, d.top_k});
  check.dense("gates", gates, scores.dtype, {d.tokens, d.top_k});
  check.dense("dgates", dgates, scores.dtype, {d.tokens, d.top_k});
  check.optional("balance", balance, scores.dtype, {d.experts});
  check.optional("logsumexp", logsumexp, scores.dtype, {d.tokens});
  check.dense("dlogits", dlogits, scores.dtype, {d.tokens, d.experts});
  check.that(z_coeff == 0 || (logsumexp.present() && options.type == RouterType::softmax),
             "the z loss needs a softmax router and its logsumexp");
  check_indices("router_backward", "indices", indices, 0, d.experts);
  return d;
}

RouterDims check_moe_dispatch(const View& indices, const View& offsets, const View& rows) {
  const Checker check("moe_dispatch");
  check.rank("offsets", offsets, 1);
  check.dense("indices", indices, DType::i32, {kAny, kAny});
  check.dense("rows", rows, DType::i32, {dim(indices, 0), dim(indices, 1)});
  check.that(dim(offsets, 0) >= 1, "offsets are empty, expected experts + 1 of them");
  check.dense("offsets", offsets, DType::i64, {kAny});
  check_indices("moe_dispatch", "indices", indices, 0, dim(offsets, 0) - 1);
  return {dim(indices, 0), dim(offsets, 0) - 1, dim(indices, 1)};
}

RowDims check_moe_rows(const char* op, const View& tokens, const View& rows, const View& routed) {
  const Checker check(op);
  check.compute("tokens", tokens);
  check.rank("rows", rows, 2);
  check.dense("tokens", tokens, tokens.dtype, {dim(rows, 0), kAny});
  check.dense("rows", rows, DType::i32, {dim(tokens, 0), kAny});
  check.dense("routed", routed, tokens.dtype, {rows.num_elements(), dim(tokens, 1)});
  check_indices(op, "rows", rows, 0, dim(routed, 0));
  return {dim(tokens, 0), dim(tokens, 1)};
}

std::int64_t check_moe_gates(const char* op,
                             const View& gates,
                             const View& rows,
                             const View& routed) {
  const Checker check(op);
  check.accumulate("gates", gates);
  check.dense("gates", gates, gates.dtype, {kAny, kAny});
  check.dense("rows", rows, DType::i32, {dim(gates, 0), dim(gates, 1)});
  check.dense("routed", routed, gates.dtype, {gates.num_elements()});
  check_indices(op, "rows", rows, 0, dim(routed, 0));
  return gates.num_elements();
}

RowDims check_cross_entropy(const View& logits, const View& targets, const View& loss) {
  const Checker check("cross_entropy");
  check.accumulate("logits", logits);
  check.dense("logits", logits, logits.dtype, {kAny, kAny});
  check.dense("targets", targets, DType::i32, {dim(logits, 0)});
  check.dense("loss", loss, logits.dtype, {dim(logits, 0)});
  check_indices("cross_entropy", "targets", targets, -1, dim(logits, 1));
  return {dim(logits, 0), dim(logits, 1)};
}

std::int64_t check_add(const View& a, const View& b, const View& y) {
  const Checker check("add");
  check.compute("a", a);
  for (const auto& [name, v] : {std::pair("a", &a), std::pair("b", &b), std::pair("y", &y)}) {
    check.that(v->rank == a.rank && v->shape == a.shape && v->dtype == a.dtype && v->contiguous(),
               std::string(name) + " is " + describe(*v) + ", expected it contiguous like a, " +
                   describe(a));
  }
  return a.num_elements();
}

void check_copy(const View& x, const View& y) {
  const Checker check("copy");
  bool same = x.rank == y.rank && x.rank >= 1;
  for (int d = 0; same && d < x.rank; ++d)
    same = dim(x, d) == dim(y, d);
  check.that(same, "x is " + describe(x) + ", y is " + describe(y) + ", expected equal shapes");
  for (const View* v : {&x, &y}) {
    const auto last = static_cast<std::size_t>(v->rank - 1);
    check.that(v->shape[last] <= 1 || v->strides[last] == 1,
               "the last dim of " + describe(*v) + " is strided");
  }
  check.that(
      x.dtype == y.dtype || (is_compute(x.dtype) && is_compute(y.dtype)),
      "cannot convert " + describe(x) + " to " + describe(y) + ", expected f32, bf16 or f64");
}

void check_zero(const View& x) {
  Checker("zero").that(x.num_elements() == 0 || x.contiguous(),
                       "x is " + describe(x) + " with gaps, expected it contiguous");
}

std::int64_t check_sum_of_squares(const View& x) {
  const Checker check("sum_of_squares");
  check.compute("x", x);
  check.that(x.num_elements() == 0 || x.contiguous(),
             "x is " + describe(x) + " with gaps, expected it contiguous");
  return x.num_elements();
}

std::int64_t check_adamw(const View& master,
                         const View& weight,
                         const View& grad,
                         const View& m,
                         const View& v,
                         const AdamWOptions& options) {
  const Checker check("adamw");
  check.accumulate("master", master);
  const std::int64_t n = master.num_elements();
  const auto flat = [&](const char* name, const View& view) {
    check.that(view.num_elements() == n && view.contiguous(),
               std::string(name) + " is " + describe(view) +
                   ", expected it contiguous like the master, " + describe(master));
  };
  flat("master", master);
  for (const auto& [name, view] :
       {std::pair("grad", &grad), std::pair("m", &m), std::pair("v", &v)}) {
    flat(name, *view);
    check.that(view->dtype == master.dtype, std::string(name) + " is " + describe(*view) +
                                                ", expected " +
                                                std::string(dtype_name(master.dtype)));
  }
  if (weight.present()) {
    flat("weight", weight);
    check.compute("weight", weight);
  }
  check.that(options.step >= 1, "step is " + std::to_string(options.step) + ", expected 1 or more");
  return n;
}

}  // namespace tera::kernels::contract
