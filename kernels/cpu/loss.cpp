// Cross entropy row by row, which stays in the second-level cache: highest logit, then the sum of
// exp of the distances to it. Backward makes the exponentials again, at the speed of memory.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/loss.cpp"
#include <algorithm>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {

void softmax_row(const float* z, std::int64_t n, float* highest_out, float* total_out) {
  const F32 d;
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
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    VF e = exp_nonpositive(hn::Sub(load_n(z + i, count), base));
    if (count < kWidth) e = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(count)), e);
    VF& sum = sums[i / kWidth % 4];
    sum = hn::Add(sum, e);
  });
  *highest_out = highest;
  *total_out = sum_lanes(hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3])));
}

// z becomes scale exp(z - highest).
void scaled_exp_row(float* z, std::int64_t n, float highest, float scale) {
  const F32 d;
  const VF base = hn::Set(d, highest);
  const VF factor = hn::Set(d, scale);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(hn::Mul(exp_nonpositive(hn::Sub(load_n(z + i, count), base)), factor), z + i, count);
  });
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(softmax_row);
HWY_EXPORT(scaled_exp_row);

void cross_entropy_forward(const Context& context,
                           View logits,
                           View targets,
                           std::int64_t first,
                           SoftmaxRows rows,
                           View at_target) {
  const contract::RowDims dims =
      contract::check_cross_entropy("cross_entropy_forward", logits, targets, rows);
  if (logits.dtype == DType::f64)
    return ref::cross_entropy_forward(context, logits, targets, first, rows, at_target);
  const auto softmax_of = HWY_DYNAMIC_DISPATCH(softmax_row);
  for_rows(context, dims.rows, dims.cols, [&](std::int64_t t) {
    const float* z = logits.as<const float>() + t * dims.cols;
    softmax_of(z, dims.cols, rows.highest.as<float>() + t, rows.total.as<float>() + t);
    const std::int64_t target = targets.as<const std::int32_t>()[t] - first;
    at_target.as<float>()[t] = target >= 0 && target < dims.cols ? z[target] : 0.0F;
  });
}

void cross_entropy_backward(const Context& context,
                            View logits,
                            View targets,
                            std::int64_t first,
                            SoftmaxRows rows,
                            double grad_scale) {
  const contract::RowDims dims =
      contract::check_cross_entropy("cross_entropy_backward", logits, targets, rows);
  if (logits.dtype == DType::f64)
    return ref::cross_entropy_backward(context, logits, targets, first, rows, grad_scale);
  const auto gradient_row = HWY_DYNAMIC_DISPATCH(scaled_exp_row);
  const auto scale = static_cast<float>(grad_scale);
  for_rows(context, dims.rows, dims.cols, [&](std::int64_t t) {
    float* z = logits.as<float>() + t * dims.cols;
    const std::int32_t target = targets.as<const std::int32_t>()[t];
    if (target < 0) {
      std::fill_n(z, dims.cols, 0.0F);
      return;
    }
    gradient_row(z, dims.cols, rows.highest.as<const float>()[t],
                 scale / rows.total.as<const float>()[t]);
    if (target >= first && target < first + dims.cols) z[target - first] -= scale;
  });
}

}  // namespace tera::kernels::cpu
#endif
