#include "kernels/qk_norm_steps.h"

namespace tera::kernels {
namespace {

// [T,A,D] as the rows of its norms: of each head, or of all heads of a token, side by side.
View norm_rows(const View& heads, const View& w, const View& rstd) {
  View rows = heads;
  rows.rank = 2;
  rows.shape = {rstd.num_elements(), w.shape[0], 1, 1};
  rows.strides = {w.shape[0], 1, 0, 0};
  return rows;
}

View flat(const View& v) {
  View line = v;
  line.rank = 1;
  line.shape = {v.num_elements(), 1, 1, 1};
  line.strides = {1, 0, 0, 0};
  return line;
}

}  // namespace

void qk_norm_forward_steps(const OpTable& ops,
                           const Context& context,
                           View x,
                           View w,
                           double eps,
                           View positions,
                           View frequencies,
                           RotaryOptions options,
                           View raw,
                           View y,
                           View rstd) {
  ops.copy(context, x, raw);
  ops.norm_forward(context, NormType::rms, norm_rows(raw, w, rstd), {}, w, {}, eps, {},
                   norm_rows(y, w, rstd), flat(rstd), {});
  ops.rotary(context, y, positions, frequencies, options, y);
}

void qk_norm_backward_input_steps(const OpTable& ops,
                                  const Context& context,
                                  View dy,
                                  View raw,
                                  View w,
                                  View rstd,
                                  View positions,
                                  View frequencies,
                                  RotaryOptions options,
                                  View d_norm,
                                  View dx,
                                  View room) {
  options.transpose = true;
  ops.rotary(context, dy, positions, frequencies, options, d_norm);
  ops.norm_backward_input(context, NormType::rms, norm_rows(d_norm, w, rstd),
                          norm_rows(raw, w, rstd), w, flat(rstd), {}, {}, norm_rows(room, w, rstd));
  ops.copy(context, room, dx);
}

}  // namespace tera::kernels
