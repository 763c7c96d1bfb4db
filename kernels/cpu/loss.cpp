// Cross entropy row by row: highest logit, then exp of the distance to it, kept in place when the
// gradient is wanted, then one scaling. A row of a usual vocabulary stays in the second-level
// cache.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/loss.cpp"
#include <cmath>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {

// Loss of one row; its gradient in place of the logits when grad_scale != 0.
float cross_entropy_row(float* z, std::int64_t n, std::int64_t target, float grad_scale) {
  const F32 d;
  if (target < 0) {
    if (grad_scale != 0) std::fill_n(z, n, 0.0F);
    return 0;
  }
  VF top = hn::Set(d, z[0]);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    top = hn::Max(top, count == kWidth
                           ? load(z + i)
                           : hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(count)),
                                            load_n(z + i, count), top));
  });
  const float highest = hn::GetLane(hn::MaxOfLanes(d, top));
  const VF base = hn::Set(d, highest);
  // Four sums: the adds of one would wait for each other.
  VF sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  const float at_target = z[target];
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    VF e = exp_nonpositive(hn::Sub(load_n(z + i, count), base));
    if (count < kWidth) e = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(count)), e);
    VF& sum = sums[i / kWidth % 4];
    sum = hn::Add(sum, e);
    if (grad_scale != 0) store_n(e, z + i, count);
  });
  const float total = sum_lanes(hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3])));
  if (grad_scale != 0) {
    const VF factor = hn::Set(d, grad_scale / total);
    for_vectors(n, [&](std::int64_t i, std::int64_t count) {
      store_n(hn::Mul(load_n(z + i, count), factor), z + i, count);
    });
    z[target] -= grad_scale;
  }
  return std::log(total) + (highest - at_target);
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(cross_entropy_row);

void cross_entropy(
    const Context& context, View logits, View targets, double grad_scale, View loss) {
  const contract::RowDims dims = contract::check_cross_entropy(logits, targets, loss);
  if (logits.dtype == DType::f64)
    return ref::cross_entropy(context, logits, targets, grad_scale, loss);
  const auto row = HWY_DYNAMIC_DISPATCH(cross_entropy_row);
  for_rows(context, dims.rows, dims.cols, [&](std::int64_t t) {
    loss.as<float>()[t] = row(logits.as<float>() + t * dims.cols, dims.cols,
                              targets.as<const std::int32_t>()[t], static_cast<float>(grad_scale));
  });
}

}  // namespace tera::kernels::cpu
#endif
