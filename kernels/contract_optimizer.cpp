// Contracts of the optimizers' updates.
#include <utility>

#include "kernels/contract.h"
#include "kernels/contract_checker.h"

namespace tera::kernels::contract {
namespace {

// The arguments every update has; the states are of the weight's size and dtype.
std::int64_t check_update(const char* op,
                          const View& weight,
                          std::initializer_list<std::pair<const char*, const View*>> states) {
  const Checker check(op);
  check.accumulate("weight", weight);
  const std::int64_t n = weight.num_elements();
  const auto flat = [&](const char* name, const View& view) {
    check.that(view.num_elements() == n && view.contiguous(), [&] {
      return std::string(name) + " is " + describe(view) +
             ", expected it contiguous like the weight, " + describe(weight);
    });
  };
  flat("weight", weight);
  for (const auto& [name, view] : states) {
    flat(name, *view);
    check.that(view->dtype == weight.dtype, [&, name = name, view = view] {
      return std::string(name) + " is " + describe(*view) + ", expected " +
             std::string(dtype_name(weight.dtype));
    });
  }
  return n;
}

void check_step(const char* op, const AdamWOptions& options) {
  Checker(op).that(options.step >= 1, [&] {
    return "step is " + std::to_string(options.step) + ", expected 1 or more";
  });
}

}  // namespace

std::int64_t check_adamw(const View& weight,
                         const View& grad,
                         const View& m,
                         const View& v,
                         const AdamWOptions& options) {
  const std::int64_t n = check_update("adamw", weight, {{"grad", &grad}, {"m", &m}, {"v", &v}});
  check_step("adamw", options);
  return n;
}

std::int64_t check_adamw_halves(const View& high,
                                const View& low,
                                const View& grad,
                                const View& m,
                                const View& v,
                                const AdamWOptions& options) {
  const Checker check("adamw_halves");
  const std::int64_t n = high.num_elements();
  check.dense("high", high, DType::bf16, {n});
  check.dense("low", low, DType::u16, {n});
  check.dense("grad", grad, DType::f32, {n});
  check.dense("m", m, DType::f32, {n});
  check.dense("v", v, DType::f32, {n});
  check_step("adamw_halves", options);
  return n;
}

std::int64_t check_lion(const View& weight, const View& grad, const View& m) {
  return check_update("lion", weight, {{"grad", &grad}, {"m", &m}});
}

std::int64_t check_sgd(const View& weight,
                       const View& grad,
                       const View& m,
                       const SgdOptions& options) {
  if (m.present()) return check_update("sgd", weight, {{"grad", &grad}, {"m", &m}});
  Checker("sgd").that(options.momentum == 0, [&] {
    return "momentum is " + std::to_string(options.momentum) +
           " and m absent, expected both or none";
  });
  return check_update("sgd", weight, {{"grad", &grad}});
}

RowDims check_factored(const char* op, const View& grad, const View& rows, const View& cols) {
  const Checker check(op);
  check.accumulate("grad", grad);
  check.rank("grad", grad, 2);
  const RowDims dims{dim(grad, 0), dim(grad, 1)};
  check.dense("grad", grad, grad.dtype, {dims.rows, dims.cols});
  check.dense("cols", cols, grad.dtype, {dims.cols});
  check.optional("rows", rows, grad.dtype, {dims.rows});
  check.that(rows.present() || dims.rows == 1, [&] {
    return "grad is " + describe(grad) + " and rows are absent, expected one row";
  });
  return dims;
}

RowDims check_adafactor(const View& weight, const View& grad, const View& rows, const View& cols) {
  const RowDims dims = check_factored("adafactor", grad, rows, cols);
  check_update("adafactor", weight, {{"grad", &grad}});
  return dims;
}

std::int64_t check_lerp(const View& x, const View& y) {
  const Checker check("lerp");
  check.compute("x", x);
  check.accumulate("y", y);
  check.that(x.num_elements() == y.num_elements() && x.contiguous() && y.contiguous() &&
                 (x.dtype == DType::f64) == (y.dtype == DType::f64),
             [&] {
               return "x is " + describe(x) + ", y is " + describe(y) +
                      ", expected both contiguous and of one size, and both f64 or none";
             });
  return y.num_elements();
}

std::int64_t check_stochastic_round(const View& x, const View& noise, const View& y) {
  const Checker check("stochastic_round");
  const std::int64_t n = x.num_elements();
  check.dense("x", x, DType::f32, {n});
  check.dense("noise", noise, DType::u16, {n});
  check.dense("y", y, DType::bf16, {n});
  return n;
}

std::int64_t check_halves(const char* op, const View& x, const View& high, const View& low) {
  const Checker check(op);
  const std::int64_t n = x.num_elements();
  check.dense("x", x, DType::f32, {n});
  check.dense("high", high, DType::bf16, {n});
  check.dense("low", low, DType::u16, {n});
  return n;
}

}  // namespace tera::kernels::contract
