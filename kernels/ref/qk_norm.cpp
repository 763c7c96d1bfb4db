// Norm and rotary of queries or keys: one after the other.
#include <vector>

#include "kernels/contract.h"
#include "kernels/qk_norm_steps.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

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
  contract::check_qk_norm_forward(x, w, positions, frequencies, raw, y, rstd);
  qk_norm_forward_steps(ref_ops(), context, x, w, eps, positions, frequencies, options, raw, y,
                        rstd);
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
  contract::check_qk_norm_backward_input(dy, raw, w, rstd, positions, frequencies, d_norm, dx);
  std::vector<std::byte> memory(
      static_cast<std::size_t>(raw.num_elements() * dtype_bytes(raw.dtype)));
  View room = raw;
  room.data = memory.data();
  qk_norm_backward_input_steps(ref_ops(), context, dy, raw, w, rstd, positions, frequencies,
                               options, d_norm, dx, room);
}

}  // namespace tera::kernels::ref
