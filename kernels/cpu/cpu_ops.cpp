// The table of the fast ops.
#include "kernels/ops.h"

namespace tera::kernels {

const OpTable& cpu_ops() { return ref_ops(); }

}  // namespace tera::kernels
