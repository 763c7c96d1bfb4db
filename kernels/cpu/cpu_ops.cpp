// The table of the fast ops.
#include "kernels/cpu/cpu.h"

namespace tera::kernels {

const OpTable& cpu_ops() {
  static const OpTable kTable = [] {
    OpTable ops = ref_ops();
    ops.name = "cpu";
    ops.matmul = cpu::matmul;
    ops.grouped_matmul = cpu::grouped_matmul;
    ops.grouped_matmul_weight = cpu::grouped_matmul_weight;
    ops.embedding_forward = cpu::embedding_forward;
    ops.embedding_backward = cpu::embedding_backward;
    ops.norm_forward = cpu::norm_forward;
    ops.norm_backward_input = cpu::norm_backward_input;
    ops.norm_backward_weight = cpu::norm_backward_weight;
    ops.rotary = cpu::rotary;
    ops.attention_forward = cpu::attention_forward;
    ops.attention_backward = cpu::attention_backward;
    ops.sum_heads = cpu::sum_heads;
    ops.activation_forward = cpu::activation_forward;
    ops.activation_backward = cpu::activation_backward;
    ops.add_bias = cpu::add_bias;
    ops.bias_backward = cpu::bias_backward;
    ops.router_forward = cpu::router_forward;
    ops.router_backward = cpu::router_backward;
    ops.moe_permute = cpu::moe_permute;
    ops.moe_unpermute = cpu::moe_unpermute;
    ops.cross_entropy = cpu::cross_entropy;
    ops.add = cpu::add;
    ops.scale = cpu::scale;
    ops.multiply = cpu::multiply;
    ops.copy = cpu::copy;
    ops.zero = cpu::zero;
    ops.sum_of_squares = cpu::sum_of_squares;
    ops.adamw = cpu::adamw;
    ops.lion = cpu::lion;
    ops.sgd = cpu::sgd;
    ops.factored_moments = cpu::factored_moments;
    ops.adafactor_norm = cpu::adafactor_norm;
    ops.adafactor = cpu::adafactor;
    ops.lerp = cpu::lerp;
    ops.stochastic_round = cpu::stochastic_round;
    return ops;
  }();
  return kTable;
}

}  // namespace tera::kernels
