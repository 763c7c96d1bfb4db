// The fast ops, one file per family; ops.h says what each does. Every one checks its arguments as
// the reference does and hands f64 to it.
#pragma once
#include "kernels/ops.h"

namespace tera::kernels::cpu {

void matmul(const Context& context, View a, View b, View c, MatmulOptions options);
void grouped_matmul(const Context& context, View x, View w, View offsets, View y, bool transpose_w);
void grouped_matmul_weight(const Context& context, View dy, View x, View offsets, View dw);

}  // namespace tera::kernels::cpu
