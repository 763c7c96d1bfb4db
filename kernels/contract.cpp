// Contracts of products.
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

}  // namespace tera::kernels::contract
