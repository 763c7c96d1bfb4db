// What ops.h asks of its arguments, as code: each op of each table calls its check first, so that a
// wrong shape is a message and never a stray write. A violation throws std::invalid_argument:
// "matmul: b is f32 [6, 7], expected shape [5, any]".
#pragma once
#include <initializer_list>
#include <string>

#include "kernels/ops.h"

namespace tera::kernels::contract {

inline constexpr std::int64_t kAny = -1;  // any extent

// "f32 [4, 8]", or "absent".
std::string describe(const View& view);

// Throws std::invalid_argument("op: text").
[[noreturn]] void fail(const char* op, const std::string& text);

struct MatmulDims {
  std::int64_t m, n, k;
};
struct GroupedDims {
  std::int64_t experts, rows, n, k;  // rows [R] in all experts
};
struct RowDims {
  std::int64_t rows, cols;
};
struct RotaryDims {
  std::int64_t tokens, heads, head_dim, pairs;
};
struct AttentionDims {
  std::int64_t batch, queries, keys, heads, key_heads, head_dim, value_dim;
};
struct RouterDims {
  std::int64_t tokens, experts, top_k;
};

MatmulDims check_matmul(const View& a, const View& b, const View& c, MatmulOptions options);
GroupedDims check_grouped_matmul(
    const View& x, const View& w, const View& offsets, const View& y, bool transpose_w);
GroupedDims check_grouped_matmul_weight(const View& dy,
                                        const View& x,
                                        const View& offsets,
                                        const View& dw);
RowDims check_embedding(const char* op,
                        const View& ids,
                        const View& table,
                        const View& y,
                        DType table_dtype,
                        DType row_dtype);
RowDims check_norm_forward(NormType type,
                           const View& x,
                           const View& branch,
                           const View& w,
                           const View& b,
                           const View& sum,
                           const View& y,
                           const View& rstd,
                           const View& mean);
RowDims check_norm_backward_input(NormType type,
                                  const View& dy,
                                  const View& x,
                                  const View& w,
                                  const View& rstd,
                                  const View& mean,
                                  const View& d_stream,
                                  const View& dx);
RowDims check_norm_backward_weight(NormType type,
                                   const View& dy,
                                   const View& x,
                                   const View& rstd,
                                   const View& mean,
                                   const View& dw,
                                   const View& db);
RowDims check_dot_rows(const View& x, const View& y, const View& w, const View& sums);
RowDims check_scale_rows(const View& x,
                         const View& w,
                         const View& x_scale,
                         const View& y,
                         const View& y_scale,
                         const View& z);
RotaryDims check_rotary(const View& x,
                        const View& positions,
                        const View& frequencies,
                        const View& y);
RotaryDims check_qk_norm_forward(const View& x,
                                 const View& w,
                                 const View& positions,
                                 const View& frequencies,
                                 const View& raw,
                                 const View& y,
                                 const View& rstd);
RotaryDims check_qk_norm_backward_input(const View& dy,
                                        const View& raw,
                                        const View& w,
                                        const View& rstd,
                                        const View& positions,
                                        const View& frequencies,
                                        const View& d_norm,
                                        const View& dx);
AttentionDims check_attention(const char* op,
                              const View& q,
                              const View& k,
                              const View& v,
                              const View& first_key,
                              AttentionOptions options,
                              const View& out,
                              const View& lse);
AttentionDims check_attention_backward(const View& dout,
                                       const View& q,
                                       const View& k,
                                       const View& v,
                                       const View& first_key,
                                       const View& out,
                                       const View& lse,
                                       AttentionOptions options,
                                       const View& dq,
                                       const View& dk,
                                       const View& dv);
// cols is F, the width of y; x has 2F columns when the activation is gated.
RowDims check_activation(
    const char* op, Activation type, const View& x, const View& row_scale, const View& y);
RowDims check_activation_backward(Activation type,
                                  const View& dy,
                                  const View& x,
                                  const View& row_scale,
                                  const View& dx,
                                  const View& drow_scale);
RowDims check_add_bias(const View& y, const View& b);
RowDims check_bias_backward(const View& dy, const View& db);
RouterDims check_router_forward(const View& logits,
                                const View& bias,
                                const RouterOptions& options,
                                const View& scores,
                                const View& indices,
                                const View& gates,
                                const View& logsumexp);
RouterDims check_router_backward(const View& logits,
                                 const View& scores,
                                 const View& indices,
                                 const View& gates,
                                 const View& logsumexp,
                                 const View& dgates,
                                 const View& balance,
                                 double z_coeff,
                                 const RouterOptions& options,
                                 const View& dlogits);
RouterDims check_moe_dispatch(const View& indices,
                              const View& priority,
                              const DispatchOptions& options,
                              const View& offsets,
                              const View& rows);
// Also checks that every entry of rows [T,K] is -1 or names one of the routed rows of `routed`.
RowDims check_moe_rows(const char* op, const View& tokens, const View& rows, const View& routed);
std::int64_t check_moe_gates(const char* op,
                             const View& gates,
                             const View& rows,
                             const View& routed);
RowDims check_cross_entropy(const char* op,
                            const View& logits,
                            const View& targets,
                            const SoftmaxRows& rows);
RowDims check_sum_heads(const View& x, const View& y);
std::int64_t check_add(const View& a, const View& b, const View& y);
std::int64_t check_scale(const View& x, const View& y);
std::int64_t check_multiply(const View& x, const View& factors, const View& y);
void check_copy(const View& x, const View& y);
void check_zero(const View& x);
std::int64_t check_sum_of_squares(const View& x);
std::int64_t check_adamw(const View& weight,
                         const View& grad,
                         const View& m,
                         const View& v,
                         const AdamWOptions& options);
std::int64_t check_adamw_halves(const View& high,
                                const View& low,
                                const View& grad,
                                const View& m,
                                const View& v,
                                const AdamWOptions& options);
std::int64_t check_lion(const View& weight, const View& grad, const View& m);
std::int64_t check_sgd(const View& weight,
                       const View& grad,
                       const View& m,
                       const SgdOptions& options);
// Of grad, rows and cols: factored_moments and adafactor_norm.
RowDims check_factored(const char* op, const View& grad, const View& rows, const View& cols);
RowDims check_adafactor(const View& weight, const View& grad, const View& rows, const View& cols);
std::int64_t check_lerp(const View& x, const View& y);
std::int64_t check_stochastic_round(const View& x, const View& noise, const View& y);
std::int64_t check_halves(const char* op, const View& x, const View& high, const View& low);

}  // namespace tera::kernels::contract
