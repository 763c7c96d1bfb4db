// Norm and rotary of queries or keys: a head, or all heads of a token, goes through both while it
// is in the first-level cache. The rows are those of norm and rotary, so are the bits.
#include <algorithm>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/norm_rows.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/rotary_angles.h"
#include "kernels/qk_norm_steps.h"

namespace tera::kernels::cpu {
namespace {

// Where the norms of a token are in strided queries or keys.
struct Norms {
  std::int64_t count;   // per token
  std::int64_t width;   // of each
  std::int64_t stride;  // between them

  Norms(const contract::RotaryDims& d, const View& w, const View& x)
      : count(w.shape[0] == d.head_dim ? d.heads : 1),
        width(w.shape[0]),
        stride(count == 1 ? 0 : x.strides[1]) {}
};

bool has_rows(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16;
}

// body(norm rows, turn) of the dtype.
template <class Body>
void with_rows(DType dtype, Body&& body) {
  if (dtype == DType::f32) return body(norm_rows_here().f32, turn_heads_here().f32);
  body(norm_rows_here().bf16, turn_heads_here().bf16);
}

}  // namespace

void qk_norm_forward(const Context& context,
                     View x,
                     View w,
                     double eps,
                     View positions,
                     View frequencies,
                     RotaryOptions options,
                     View raw,
                     View y,
                     View rstd) {
  const contract::RotaryDims d =
      contract::check_qk_norm_forward(x, w, positions, frequencies, raw, y, rstd);
  if (!has_rows(x.dtype)) {
    return qk_norm_forward_steps(cpu_ops(), context, x, w, eps, positions, frequencies, options,
                                 raw, y, rstd);
  }
  const RotaryAngles angles(context, positions, frequencies, options);
  const Norms norms(d, w, x);
  const std::int64_t per_token = d.heads * d.head_dim;
  with_rows(x.dtype, [&]<class T>(const NormRowsOf<T>& rows, TurnHead<T> turn) {
    for_ranges(context, d.tokens, row_grain(per_token),
               [&](std::int64_t begin, std::int64_t end, int worker) {
                 for (std::int64_t t = begin; t < end; ++t) {
                   T* kept = raw.as<T>() + t * per_token;
                   T* to = y.as<T>() + t * per_token;
                   const float* cosine = angles.of(t, worker);
                   for (std::int64_t i = 0; i < norms.count; ++i) {
                     const std::int64_t at = i * norms.width;
                     std::copy_n(x.as<const T>() + t * x.strides[0] + i * norms.stride, norms.width,
                                 kept + at);
                     rows.forward(kept + at, nullptr, nullptr, w.as<const T>(), nullptr, false,
                                  static_cast<float>(eps), norms.width, to + at,
                                  rstd.as<float>() + t * norms.count + i, nullptr);
                   }
                   for (std::int64_t a = 0; a < d.heads; ++a) {
                     T* head = to + a * d.head_dim;
                     turn(head, cosine, cosine + d.pairs, d.pairs, head);
                   }
                 }
               });
  });
}

void qk_norm_backward_input(const Context& context,
                            View dy,
                            View raw,
                            View w,
                            View rstd,
                            View positions,
                            View frequencies,
                            RotaryOptions options,
                            View d_norm,
                            View dx) {
  const contract::RotaryDims d =
      contract::check_qk_norm_backward_input(dy, raw, w, rstd, positions, frequencies, d_norm, dx);
  if (!has_rows(dy.dtype)) {
    View room = raw;
    room.data = context.executor->scratch(
        -1, 3, static_cast<std::size_t>(raw.num_elements() * dtype_bytes(raw.dtype)));
    return qk_norm_backward_input_steps(cpu_ops(), context, dy, raw, w, rstd, positions,
                                        frequencies, options, d_norm, dx, room);
  }
  options.transpose = true;
  const RotaryAngles angles(context, positions, frequencies, options);
  const Norms norms(d, w, dx);
  const std::int64_t per_token = d.heads * d.head_dim;
  with_rows(dy.dtype, [&]<class T>(const NormRowsOf<T>& rows, TurnHead<T> turn) {
    for_ranges(context, d.tokens, row_grain(per_token),
               [&](std::int64_t begin, std::int64_t end, int worker) {
                 for (std::int64_t t = begin; t < end; ++t) {
                   T* turned = d_norm.as<T>() + t * per_token;
                   const float* cosine = angles.of(t, worker);
                   for (std::int64_t a = 0; a < d.heads; ++a) {
                     const T* from = dy.as<const T>() + t * dy.strides[0] + a * dy.strides[1];
                     T* head = turned + a * d.head_dim;
                     turn(from, cosine, cosine + d.pairs, d.pairs, head);
                     std::copy(from + 2 * d.pairs, from + d.head_dim, head + 2 * d.pairs);
                   }
                   for (std::int64_t i = 0; i < norms.count; ++i) {
                     const std::int64_t at = i * norms.width;
                     rows.input(turned + at, raw.as<const T>() + t * per_token + at,
                                w.as<const T>(), false, rstd.as<const float>()[t * norms.count + i],
                                0, nullptr, norms.width,
                                dx.as<T>() + t * dx.strides[0] + i * norms.stride);
                   }
                 }
               });
  });
}

}  // namespace tera::kernels::cpu
