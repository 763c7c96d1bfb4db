// The reference ops, one file per family; ops.h says what each does. Single-threaded; the context
// is not used.
#pragma once
#include "kernels/ops.h"

namespace tera::kernels::ref {

void matmul(const Context&, View a, View b, View c, MatmulOptions options);
void grouped_matmul(const Context&, View x, View w, View offsets, View y, bool transpose_w);
void grouped_matmul_weight(const Context&, View dy, View x, View offsets, View dw);
void embedding_forward(const Context&, View ids, View table, View y, bool accumulate);
void embedding_backward(const Context&, View ids, View dy, View dtable);
void norm_forward(const Context&,
                  NormType type,
                  View x,
                  View w,
                  View b,
                  double eps,
                  View y,
                  View rstd,
                  View mean);
void norm_backward_input(const Context&,
                         NormType type,
                         View dy,
                         View x,
                         View w,
                         View rstd,
                         View mean,
                         View dx,
                         bool accumulate);
void norm_backward_weight(
    const Context&, NormType type, View dy, View x, View rstd, View mean, View dw, View db);
void rotary(const Context&, View x, View positions, double theta, bool inverse, View y);
void attention_forward(const Context&,
                       View q,
                       View k,
                       View v,
                       View first_key,
                       AttentionOptions options,
                       View out,
                       View lse);
void attention_backward(const Context&,
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
void activation_forward(const Context&, Activation type, View x, View row_scale, View y);
void activation_backward(
    const Context&, Activation type, View dy, View x, View row_scale, View dx, View drow_scale);
void add_bias(const Context&, View y, View b);
void bias_backward(const Context&, View dy, View db);
void router_forward(const Context&,
                    View logits,
                    View bias,
                    RouterOptions options,
                    View scores,
                    View indices,
                    View gates,
                    View logsumexp);
void router_backward(const Context&,
                     View scores,
                     View indices,
                     View gates,
                     View logsumexp,
                     View dgates,
                     View balance,
                     double z_coeff,
                     RouterOptions options,
                     View dlogits);
void moe_dispatch(const Context&, View indices, View offsets, View rows);
void moe_permute(const Context&, View x, View rows, View y);
void moe_unpermute(const Context&, View y, View rows, View x, bool accumulate);
void moe_scatter_gates(const Context&, View gates, View rows, View y);
void moe_gather_gates(const Context&, View y, View rows, View gates);
void cross_entropy(const Context&, View logits, View targets, double grad_scale, View loss);
void add(const Context&, View a, View b, View y);
void copy(const Context&, View x, View y);
void zero(const Context&, View x);
double sum_of_squares(const Context&, View x);
void adamw(
    const Context&, View master, View weight, View grad, View m, View v, AdamWOptions options);

}  // namespace tera::kernels::ref
