// The table of the reference ops.
#include "kernels/ref/ref.h"

namespace tera::kernels {

const OpTable& ref_ops() {
  static const OpTable kTable = {
      .name = "ref",
      .matmul = ref::matmul,
      .grouped_matmul = ref::grouped_matmul,
      .grouped_matmul_weight = ref::grouped_matmul_weight,
      .embedding_forward = ref::embedding_forward,
      .embedding_backward = ref::embedding_backward,
      .norm_forward = ref::norm_forward,
      .norm_backward_input = ref::norm_backward_input,
      .norm_backward_weight = ref::norm_backward_weight,
      .dot_rows = ref::dot_rows,
      .scale_rows = ref::scale_rows,
      .rotary = ref::rotary,
      .qk_norm_forward = ref::qk_norm_forward,
      .qk_norm_backward_input = ref::qk_norm_backward_input,
      .attention_forward = ref::attention_forward,
      .attention_backward = ref::attention_backward,
      .sum_heads = ref::sum_heads,
      .activation_forward = ref::activation_forward,
      .activation_backward = ref::activation_backward,
      .add_bias = ref::add_bias,
      .bias_backward = ref::bias_backward,
      .router_forward = ref::router_forward,
      .router_backward = ref::router_backward,
      .moe_dispatch = ref::moe_dispatch,
      .moe_permute = ref::moe_permute,
      .moe_unpermute = ref::moe_unpermute,
      .moe_scatter_gates = ref::moe_scatter_gates,
      .moe_gather_gates = ref::moe_gather_gates,
      .cross_entropy_forward = ref::cross_entropy_forward,
      .cross_entropy_backward = ref::cross_entropy_backward,
      .add = ref::add,
      .scale = ref::scale,
      .multiply = ref::multiply,
      .copy = ref::copy,
      .zero = ref::zero,
      .sum_of_squares = ref::sum_of_squares,
      .adamw = ref::adamw,
      .adamw_halves = ref::adamw_halves,
      .lion = ref::lion,
      .sgd = ref::sgd,
      .factored_moments = ref::factored_moments,
      .adafactor_norm = ref::adafactor_norm,
      .adafactor = ref::adafactor,
      .lerp = ref::lerp,
      .stochastic_round = ref::stochastic_round,
      .split_halves = ref::split_halves,
      .join_halves = ref::join_halves,
  };
  return kTable;
}

}  // namespace tera::kernels
