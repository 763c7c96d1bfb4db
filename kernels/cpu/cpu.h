// The fast ops, one file per family; ops.h says what each does. Every one checks its arguments as
// the reference does and hands f64 to it.
#pragma once
#include "kernels/ops.h"

namespace tera::kernels::cpu {

#include "kernels/op_functions.inc"

}  // namespace tera::kernels::cpu
