// The reference ops, one file per family; ops.h says what each does. Single-threaded; the context
// is not used.
#pragma once
#include "kernels/ops.h"

namespace tera::kernels::ref {

#include "kernels/op_functions.inc"

// The fast table has no form of its own for these.
OpFunction<decltype(OpTable::moe_dispatch)> moe_dispatch;
OpFunction<decltype(OpTable::moe_scatter_gates)> moe_scatter_gates;
OpFunction<decltype(OpTable::moe_gather_gates)> moe_gather_gates;

}  // namespace tera::kernels::ref
