// qk_norm_forward and qk_norm_backward_input by the other ops of a table: what they mean.
#pragma once
#include "kernels/ops.h"

namespace tera::kernels {

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
                           View rstd);
// room: memory for dx, [T,A,D] c without gaps.
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
                                  View room);

}  // namespace tera::kernels
