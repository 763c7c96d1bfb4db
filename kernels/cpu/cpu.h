// The fast ops, one file per family; ops.h says what each does. Every one checks its arguments as
// the reference does and hands f64 to it.
#pragma once
#include "kernels/ops.h"

namespace tera::kernels::cpu {

void matmul(const Context& context, View a, View b, View c, MatmulOptions options);
void grouped_matmul(const Context& context, View x, View w, View offsets, View y, bool transpose_w);
void grouped_matmul_weight(const Context& context, View dy, View x, View offsets, View dw);
void embedding_forward(const Context& context, View ids, View table, View y, bool accumulate);
void embedding_backward(const Context& context, View ids, View dy, View dtable);
void norm_forward(const Context& context,
                  NormType type,
                  View x,
                  View w,
                  View b,
                  double eps,
                  View y,
                  View rstd,
                  View mean);
void norm_backward_input(const Context& context,
                         NormType type,
                         View dy,
                         View x,
                         View w,
                         View rstd,
                         View mean,
                         View dx,
                         bool accumulate);
void norm_backward_weight(
    const Context& context, NormType type, View dy, View x, View rstd, View mean, View dw, View db);
void rotary(const Context& context, View x, View positions, double theta, bool inverse, View y);
void attention_forward(const Context& context,
                       View q,
                       View k,
                       View v,
                       View first_key,
                       AttentionOptions options,
                       View out,
                       View lse);
void attention_backward(const Context& context,
                        View dout,
                        View q,
                        View k,
                        View v,
                        View first_key,
                        View out,
                        View lse,
                        AttentionOptions options,
                        View dq,
                        View dk,
                        View dv);
void activation_forward(const Context& context, Activation type, View x, View row_scale, View y);
void activation_backward(const Context& context,
                         Activation type,
                         View dy,
                         View x,
                         View row_scale,
                         View dx,
                         View drow_scale);
void add_bias(const Context& context, View y, View b);
void bias_backward(const Context& context, View dy, View db);
void router_forward(const Context& context,
                    View logits,
                    View bias,
                    RouterOptions options,
                    View scores,
                    View indices,
                    View gates,
                    View logsumexp);
void router_backward(const Context& context,
                     View scores,
                     View indices,
                     View gates,
                     View logsumexp,
                     View dgates,
                     View balance,
                     double z_coeff,
                     RouterOptions options,
                     View dlogits);
void moe_permute(const Context& context, View x, View rows, View y);
void moe_unpermute(const Context& context, View y, View rows, View x, bool accumulate);
void cross_entropy(const Context& context, View logits, View targets, double grad_scale, View loss);
void add(const Context& context, View a, View b, View y);
void copy(const Context& context, View x, View y);
void zero(const Context& context, View x);
double sum_of_squares(const Context& context, View x);
void adamw(const Context& context,
           View master,
           View weight,
           View grad,
           View m,
           View v,
           AdamWOptions options);

}  // namespace tera::kernels::cpu
