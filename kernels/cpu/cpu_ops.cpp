// The table of the fast ops. They know f32 and bf16; with f16 arguments they compute on copies in
// f32.
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/half.h"

namespace tera::kernels {

const OpTable& cpu_ops() {
  static const OpTable kTable = [] {
    OpTable ops = ref_ops();
    ops.name = "cpu";
    ops.matmul = cpu::kWithHalf<cpu::matmul>;
    ops.grouped_matmul = cpu::kWithHalf<cpu::grouped_matmul>;
    ops.grouped_matmul_weight = cpu::kWithHalf<cpu::grouped_matmul_weight>;
    ops.embedding_forward = cpu::kWithHalf<cpu::embedding_forward>;
    ops.embedding_backward = cpu::kWithHalf<cpu::embedding_backward>;
    ops.norm_forward = cpu::norm_forward;
    ops.norm_backward_input = cpu::norm_backward_input;
    ops.norm_backward_weight = cpu::kWithHalf<cpu::norm_backward_weight>;
    ops.dot_rows = cpu::kWithHalf<cpu::dot_rows>;
    ops.scale_rows = cpu::kWithHalf<cpu::scale_rows>;
    ops.rotary = cpu::kWithHalf<cpu::rotary>;
    ops.qk_norm_forward = cpu::qk_norm_forward;
    ops.qk_norm_backward_input = cpu::qk_norm_backward_input;
    ops.attention_forward = cpu::kWithHalf<cpu::attention_forward>;
    ops.attention_backward = cpu::kWithHalf<cpu::attention_backward>;
    ops.sum_heads = cpu::kWithHalf<cpu::sum_heads>;
    ops.activation_forward = cpu::kWithHalf<cpu::activation_forward>;
    ops.activation_backward = cpu::kWithHalf<cpu::activation_backward>;
    ops.add_bias = cpu::kWithHalf<cpu::add_bias>;
    ops.bias_backward = cpu::kWithHalf<cpu::bias_backward>;
    ops.router_forward = cpu::kWithHalf<cpu::router_forward>;
    ops.router_backward = cpu::kWithHalf<cpu::router_backward>;
    ops.moe_permute = cpu::kWithHalf<cpu::moe_permute>;
    ops.moe_unpermute = cpu::kWithHalf<cpu::moe_unpermute>;
    ops.cross_entropy_forward = cpu::kWithHalf<cpu::cross_entropy_forward>;
    ops.cross_entropy_backward = cpu::kWithHalf<cpu::cross_entropy_backward>;
    ops.add = cpu::kWithHalf<cpu::add>;
    ops.scale = cpu::kWithHalf<cpu::scale>;
    ops.multiply = cpu::kWithHalf<cpu::multiply>;
    ops.copy = cpu::kWithHalf<cpu::copy>;
    ops.zero = cpu::zero;
    ops.sum_of_squares = cpu::kWithHalf<cpu::sum_of_squares>;
    ops.adamw = cpu::adamw;
    ops.adamw_halves = cpu::adamw_halves;
    ops.lion = cpu::lion;
    ops.sgd = cpu::sgd;
    ops.factored_moments = cpu::factored_moments;
    ops.adafactor_norm = cpu::adafactor_norm;
    ops.adafactor = cpu::adafactor;
    ops.lerp = cpu::kWithHalf<cpu::lerp>;
    ops.stochastic_round = cpu::stochastic_round;
    ops.split_halves = cpu::split_halves;
    ops.join_halves = cpu::join_halves;
    return ops;
  }();
  return kTable;
}

}  // namespace tera::kernels
