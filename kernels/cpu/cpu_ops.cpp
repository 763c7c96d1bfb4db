// The table of the fast ops.
#include "kernels/cpu/cpu.h"

namespace tera::kernels {

const OpTable& cpu_ops() {
  static const OpTable table = [] {
    OpTable ops = ref_ops();
    ops.name = "cpu";
    ops.matmul = cpu::matmul;
    ops.grouped_matmul = cpu::grouped_matmul;
    ops.grouped_matmul_weight = cpu::grouped_matmul_weight;
    return ops;
  }();
  return table;
}

}  // namespace tera::kernels
