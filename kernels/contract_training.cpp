// Contracts of the feed-forward part, loss and elementwise ops.
#include <limits>

#include "kernels/contract.h"
#include "kernels/contract_checker.h"

namespace tera::kernels::contract {

RowDims check_activation(
    const char* op, Activation type, const View& x, const View& row_scale, const View& y) {
  const Checker check(op);
  check.compute("x", x);
  check.rank("y", y, 2);
  const RowDims dims{dim(y, 0), dim(y, 1)};
  check.dense("y", y, x.dtype, {dims.rows, dims.cols});
  check.dense("x", x, x.dtype, {dims.rows, is_gated(type) ? 2 * dims.cols : dims.cols});
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

RowDims check_cross_entropy(const char* op,
                            const View& logits,
                            const View& targets,
                            const SoftmaxRows& rows) {
  const Checker check(op);
  check.accumulate("logits", logits);
  check.dense("logits", logits, logits.dtype, {kAny, kAny});
  check.dense("targets", targets, DType::i32, {dim(logits, 0)});
  check.dense("highest", rows.highest, logits.dtype, {dim(logits, 0)});
  check.dense("total", rows.total, logits.dtype, {dim(logits, 0)});
  check_indices(op, "targets", targets, -1, std::numeric_limits<std::int32_t>::max());
  return {dim(logits, 0), dim(logits, 1)};
}

std::int64_t check_add(const View& a, const View& b, const View& y) {
  const Checker check("add");
  check.compute("a", a);
  check.like("a", a, "a", a);
  check.like("b", b, "a", a);
  check.like("y", y, "a", a);
  return a.num_elements();
}

std::int64_t check_scale(const View& x, const View& y) {
  const Checker check("scale");
  check.compute("x", x);
  check.like("x", x, "x", x);
  check.like("y", y, "x", x);
  return x.num_elements();
}

std::int64_t check_multiply(const View& x, const View& factors, const View& y) {
  const Checker check("multiply");
  check.compute("x", x);
  check.compute("y", y);
  check.accumulate("factors", factors);
  const auto like_x = [&](const char* name, const View& v) {
    check.that(v.rank == x.rank && v.shape == x.shape && v.contiguous() &&
                   (v.dtype == DType::f64) == (x.dtype == DType::f64),
               [&] {
                 return std::string(name) + " is " + describe(v) +
                        ", expected it contiguous like x, " + describe(x) +
                        ", and f64 only if that is";
               });
  };
  like_x("x", x);
  like_x("factors", factors);
  like_x("y", y);
  return x.num_elements();
}

void check_copy(const View& x, const View& y) {
  const Checker check("copy");
  bool same = x.rank == y.rank && x.rank >= 1;
  for (int d = 0; same && d < x.rank; ++d)
    same = dim(x, d) == dim(y, d);
  check.that(same, [&] {
    return "x is " + describe(x) + ", y is " + describe(y) + ", expected equal shapes";
  });
  for (const View* v : {&x, &y}) {
    const auto last = static_cast<std::size_t>(v->rank - 1);
    check.that(v->shape[last] <= 1 || v->strides[last] == 1,
               [&] { return "the last dim of " + describe(*v) + " is strided"; });
  }
  check.that(x.dtype == y.dtype || (is_compute(x.dtype) && is_compute(y.dtype)), [&] {
    return "cannot convert " + describe(x) + " to " + describe(y) +
           ", expected f32, bf16, f16 or f64";
  });
}

void check_zero(const View& x) {
  Checker("zero").contiguous("x", x);
}

std::int64_t check_sum_of_squares(const View& x) {
  const Checker check("sum_of_squares");
  check.compute("x", x);
  check.contiguous("x", x);
  return x.num_elements();
}

}  // namespace tera::kernels::contract
