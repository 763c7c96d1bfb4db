// OpTable: one function pointer per op. `ref` is the definition (plain loops, f64 accumulation),
// `cpu` the fast one. Ops allocate nothing but per-worker scratch, never block, and give the same
// bits for every number of workers: a reduction is cut by fixed blocks and added in block order.
//
// Shape letters: T tokens (batch x sequence), B batch, S sequence, H hidden, F ffn, A query heads,
// G key-value heads, D head dim, Dv that of values, V vocabulary, E experts, K top-k, R routed
// rows, M, N, K of products.
// Dtypes: "c" is the compute dtype of activations and weights: f32, bf16, f16 or f64 (gradient
// checks). "a" is its accumulation dtype: f64 for f64, else f32; gradients of weights, norm
// statistics, softmax, router and losses are a. Math is done in a. Views are contiguous unless a
// comment says "rows strided" (the last dim always has stride 1). A View that may be absent is
// marked "or empty".
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

#include "kernels/op_options.h"
#include "kernels/view.h"

namespace tera::kernels {

constexpr DType accumulate_dtype(DType compute) {
  return compute == DType::f64 ? DType::f64 : DType::f32;
}

// How ops run in parallel and where their scratch is; the CPU backend implements it with its pool.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual int num_workers() const = 0;
  virtual void parallel_for(std::int64_t num_tasks,
                            const std::function<void(std::int64_t task, int worker)>& body) = 0;
  // Memory of this worker, 64-byte aligned, kept and grown between calls; content is undefined.
  // `slot` 0..3 are independent areas. Worker -1 is shared scratch of the calling thread, which has
  // 4..15 too: for copies of an op's arguments in another dtype.
  virtual std::byte* scratch(int worker, int slot, std::size_t bytes) = 0;
};

struct Context {
  Executor* executor = nullptr;
};

struct SoftmaxRows {
  View highest;  // [T] a
  View total;    // [T] a, of exp(x - highest)
};

// Rows up to which each row of a product has the bits that it has alone, where a and b are
// contiguous along K: a linear layer of few tokens computes for each what it would without the
// others.
inline constexpr std::int64_t kFewRows = 32;

struct OpTable {
  const char* name = "";

  // ---- products
  // c[M,N] (+)= op(a) op(b), op transposes when asked: a [M,K] or [K,M], b [K,N] or [N,K]; rows
  // strided. a and b are c-typed (they may differ, but both or none is f64), and so is c. With
  // transpose_b alone and M <= kFewRows a row of c does not depend on the other rows of a.
  void (*matmul)(const Context&, View a, View b, View c, MatmulOptions);
  // For each expert e, rows [offsets[e], offsets[e+1]): y = x w[e]^T, or x w[e] when !transpose_w;
  // for each as matmul.
  // x [R,K], w [E,N,K] (transpose_w) or [E,K,N], offsets [E+1] i64, y [R,N].
  void (*grouped_matmul)(const Context&, View x, View w, View offsets, View y, bool transpose_w);
  // dw[e] (+)= dy_e^T x_e: dy [R,N], x [R,K], dw [E,N,K] a.
  void (*grouped_matmul_weight)(
      const Context&, View dy, View x, View offsets, View dw, bool accumulate);

  // ---- embedding
  // y[t] (+)= table[ids[t]], nothing where ids[t] is -1: ids [T] i32, table [V,H] c, y [T,H] c.
  void (*embedding_forward)(const Context&, View ids, View table, View y, bool accumulate);
  // dtable[ids[t]] += dy[t] where ids[t] is not -1, tokens of a row added in order t: dtable [V,H]
  // a.
  void (*embedding_backward)(const Context&, View ids, View dy, View dtable);

  // ---- norms. Source: Zhang and Sennrich 2019 (rms), Ba et al. 2016 (layer)
  // y = (s - mean) rstd w + b over the last dim; rms has mean 0 and no b. s is x, or with a branch
  // of the residual stream sum = x + branch, as add gives it. x, y, branch, sum [T,H] c (branch and
  // sum or both empty), w, b [H] c (b or empty), rstd, mean [T] a (mean or empty).
  void (*norm_forward)(const Context&,
                       NormType,
                       View x,
                       View branch,
                       View w,
                       View b,
                       double eps,
                       View sum,
                       View y,
                       View rstd,
                       View mean);
  // dx = gradient at x; with d_stream, the gradient that reaches x past the norm, dx + d_stream, as
  // add gives it of the two in c. d_stream [T,H] c in memory of its own, or empty.
  void (*norm_backward_input)(const Context&,
                              NormType,
                              View dy,
                              View x,
                              View w,
                              View rstd,
                              View mean,
                              View d_stream,
                              View dx);
  // dw += sum_t dy xhat, db += sum_t dy: dw, db [H] a (db or empty).
  void (*norm_backward_weight)(
      const Context&, NormType, View dy, View x, View rstd, View mean, View dw, View db);

  // ---- steps of a norm over rows that ranks share out, which add up their sums in between
  // sums = sum_i x_i y_i w_i of each row: x, y [T,W] c (may be the same memory), w [W] c or empty,
  // sums [T] a.
  void (*dot_rows)(const Context&, View x, View y, View w, View sums);
  // z = x w x_scale + y y_scale: x, y [T,W] c, w [W] c, x_scale, y_scale [T] a (y and y_scale or
  // empty), z [T,W] c rows strided.
  void (*scale_rows)(const Context&, View x, View w, View x_scale, View y, View y_scale, View z);

  // ---- positions. Source: Su et al. 2021; pairs are (i, i + P) as in Llama checkpoints
  // The first 2 P dims of each head, turned by positions [T] i32 x frequencies [P] f64 (radians per
  // position; P may be 0) and times the factor; the dims behind them are copied. x, y [T,A,D] c
  // rows strided; may be the same memory.
  void (*rotary)(const Context&, View x, View positions, View frequencies, RotaryOptions, View y);

  // Norm and rotary of queries or keys in one pass: raw = x, then over each head (w [D], rstd
  // [T,A]) or over the heads of a token (w [A D], rstd [T]) y as norm_forward of rms gives it,
  // turned as rotary does. x [T,A,D] c rows strided, raw, y [T,A,D] c, positions and frequencies as
  // of rotary.
  void (*qk_norm_forward)(const Context&,
                          View x,
                          View w,
                          double eps,
                          View positions,
                          View frequencies,
                          RotaryOptions,
                          View raw,
                          View y,
                          View rstd);
  // From dy [T,A,D] c rows strided: d_norm [T,A,D] c, turned back, is the gradient at the norm's
  // output, dx [T,A,D] c rows strided that at x; it may be dy. The options are those of forward.
  void (*qk_norm_backward_input)(const Context&,
                                 View dy,
                                 View raw,
                                 View w,
                                 View rstd,
                                 View positions,
                                 View frequencies,
                                 RotaryOptions,
                                 View d_norm,
                                 View dx);

  // ---- attention, causal, never stores S x S. Source: Dao et al. 2022 (tiling, logsumexp kept)
  // q [B,Sq,A,D] c, k [B,Sk,G,D] c, v [B,Sk,G,Dv] c, out [B,Sq,A,Dv] c or a (strides free but the
  // last); first_key [B,Sq] i32: query i of a sequence sees keys first_key[i] .. query_offset + i,
  // as far as there are any, and what it does not see never reaches it, NaN included. lse [B,Sq,A]
  // a, rows strided. With accumulate out, then a, and lse are of other keys and become those of
  // both.
  void (*attention_forward)(
      const Context&, View q, View k, View v, View first_key, AttentionOptions, View out, View lse);
  // Writes dq, dk, dv, all c or all a, or adds to them, a, with accumulate. out c and lse are those
  // over all keys, of which k and v may be some. delta = sum_d dout out is computed inside.
  void (*attention_backward)(const Context&,
                             View dout,
                             View q,
                             View k,
                             View v,
                             View first_key,
                             View out,
                             View lse,
                             AttentionOptions,
                             View dq,
                             View dk,
                             View dv);
  // y[t] = sum_a x[t,a], a in order, in a: x [T,A,D] c, y [T,D] c, rows of both strided.
  void (*sum_heads)(const Context&, View x, View y);

  // ---- feed-forward
  // y [T,F] = act(x) * row_scale: gated x [T,2F] = gate | up, y = act(gate) up; otherwise x [T,F].
  // row_scale [T] a or empty.
  void (*activation_forward)(const Context&, Activation, View x, View row_scale, View y);
  // dx, which may be x itself, and drow_scale [T] a (or empty) = sum_f dy act(x).
  void (*activation_backward)(
      const Context&, Activation, View dy, View x, View row_scale, View dx, View drow_scale);
  // y[t] += b: y [T,N] c rows strided, b [N] c.
  void (*add_bias)(const Context&, View y, View b);
  // db[n] += sum_t dy[t,n]: dy [T,N] c rows strided, db [N] a.
  void (*bias_backward)(const Context&, View dy, View db);

  // ---- router and dispatch
  // scores [T,E] a from logits [T,E] a; selection by scores + bias ([E] a or empty) among the
  // experts of the top_groups best groups, a group being as good as the sum of its group_best best;
  // ties to the lowest expert or group. indices [T,K] i32 in order of falling selection score;
  // gates [T,K] a = scaling * score (/ sum of the chosen when renormalize); logsumexp [T] a of the
  // logits or empty. Needs K <= top_groups E / num_groups. Source of groups: DeepSeek-V3, 2024,
  // section 2.1.2.
  void (*router_forward)(const Context&,
                         View logits,
                         View bias,
                         RouterOptions,
                         View scores,
                         View indices,
                         View gates,
                         View logsumexp);
  // dlogits [T,E] a from dgates [T,K] a, plus the balance loss sum_e balance[t / (T/N), e] share_te
  // (balance [N,E] a or empty, N divides T; the share is the score, normalised over experts for
  // sigmoid), plus z_coeff * lse^2 (needs logsumexp when z_coeff != 0, and logits [T,E] a, else
  // empty, for sigmoid).
  void (*router_backward)(const Context&,
                          View logits,
                          View scores,
                          View indices,
                          View gates,
                          View logsumexp,
                          View dgates,
                          View balance,
                          double z_coeff,
                          RouterOptions,
                          View dlogits);
  // Counting sort of the T K slots by (expert, token, k): offsets [E+1] i64, rows [T,K] i32. With
  // capacity > 0 an expert keeps that many slots at most, those of the highest priority ([T,K] a,
  // ties to the first slot; NaN is lowest) or, without priority, the first; the rows of the others
  // are -1. With pad, which needs a capacity, offsets[e] = e capacity.
  void (*moe_dispatch)(
      const Context&, View indices, View priority, DispatchOptions, View offsets, View rows);
  // For rows[t,k] >= 0: y[rows[t,k]] = x[t]: x [T,H] c, y [R,H] c.
  void (*moe_permute)(const Context&, View x, View rows, View y);
  // x[t] (+)= sum_k y[rows[t,k]] over rows[t,k] >= 0, k in order, in a.
  void (*moe_unpermute)(const Context&, View y, View rows, View x, bool accumulate);
  // y[rows[t,k]] = gates[t,k], and back: gates[t,k] = y[rows[t,k]]; where rows[t,k] is -1 nothing
  // is written, and back 0. gates [T,K] a, y [R] a.
  void (*moe_scatter_gates)(const Context&, View gates, View rows, View y);
  void (*moe_gather_gates)(const Context&, View y, View rows, View gates);

  // ---- loss
  // Of columns [first, first + V) of the vocabulary: highest[t] = max_v logits[t,v], total[t] =
  // sum_v exp(logits[t,v] - highest[t]), at_target[t] = logits[t, targets[t] - first], 0 where the
  // target is not among them. Over the whole vocabulary, the loss of a token is
  //   log(total[t]) + highest[t] - at_target[t].
  // logits [T,V] a, targets [T] i32, -1 for none; highest, total, at_target [T] a.
  void (*cross_entropy_forward)(const Context&,
                                View logits,
                                View targets,
                                std::int64_t first,
                                SoftmaxRows rows,
                                View at_target);
  // logits become grad_scale d loss / d logits, 0 in rows without a target; highest and total are
  // those of the whole vocabulary.
  void (*cross_entropy_backward)(const Context&,
                                 View logits,
                                 View targets,
                                 std::int64_t first,
                                 SoftmaxRows rows,
                                 double grad_scale);

  // ---- elementwise and optimizer
  void (*add)(const Context&, View a, View b, View y);  // y = a + b, same shape, c; may alias
  void (*scale)(const Context&,
                View x,
                double factor,
                View y);  // y = factor x, same shape, c; may alias
  // y (+)= x * factors, elementwise in a: x, y any shape, each c or a; factors of that shape, a.
  void (*multiply)(const Context&, View x, View factors, View y, bool accumulate);
  void (*copy)(const Context&, View x, View y);  // y = x, converting dtype; rows strided
  void (*zero)(const Context&, View x);
  double (*sum_of_squares)(const Context&, View x);  // f64, fixed order; NaN and inf pass through
  // AdamW on one tensor, all contiguous [n] a. Source: Loshchilov and Hutter 2019.
  void (*adamw)(const Context&, View weight, View grad, View m, View v, AdamWOptions);
  // The same of f32 weights that are kept in two halves (split_halves), high [n] bf16, low [n] u16;
  // grad, m and v [n] f32.
  void (*adamw_halves)(
      const Context&, View high, View low, View grad, View m, View v, AdamWOptions);
  // c = beta1 m + (1 - beta1) g; p -= learning_rate (sign(c) + weight_decay p); m = beta2 m +
  // (1 - beta2) g. Arguments as of adamw. Source: Chen et al. 2023, Lion, algorithm 2.
  void (*lion)(const Context&, View weight, View grad, View m, LionOptions);
  // m = momentum m + g; p -= learning_rate (m + weight_decay p), with nesterov g + momentum m for
  // m. m a, or empty for plain descent. Source: Sutskever et al. 2013.
  void (*sgd)(const Context&, View weight, View grad, View m, SgdOptions);
  // Second moments of a matrix by rows and columns: rows[i] += take (mean_j g_ij^2 - rows[i]), cols
  // alike; returns the mean of rows. grad [M,N] a, rows [M] a, or empty for a vector (M = 1;
  // returns 1), cols [N] a. Source: Shazeer and Stern 2018, Adafactor, algorithm 4.
  double (*factored_moments)(
      const Context&, View grad, View rows, View cols, double grad_scale, double take);
  // Sum of squares of the update u_ij = g_ij / sqrt(max(rows_i cols_j / row_mean, eps^2)), f64.
  double (*adafactor_norm)(const Context&, View grad, View rows, View cols, AdafactorOptions);
  // p -= learning_rate u + decay p, for rows of the matrix: weight, grad [M,N] a.
  void (*adafactor)(const Context&, View weight, View grad, View rows, View cols, AdafactorOptions);
  // y += t (x - y): x c, y a, same shape.
  void (*lerp)(const Context&, View x, double t, View y);
  // y = x rounded up with the probability of how near that is, else down: x [n] f32, noise [n] u16
  // uniform, y [n] bf16. NaN stays NaN. Source: Gupta et al. 2015, section 3.
  void (*stochastic_round)(const Context&, View x, View noise, View y);
  // x [n] f32 in two halves (bf16.h): high [n] bf16, rounded to nearest, and low [n] u16; and back.
  void (*split_halves)(const Context&, View x, View high, View low);
  void (*join_halves)(const Context&, View high, View low, View x);
};

// The type of an op as a function: `OpFunction<decltype(OpTable::add)> add;` declares one.
template <class Member>
using OpFunction = std::remove_pointer_t<Member>;

const OpTable& ref_ops();
// Best implementation for this processor, chosen at run time; falls back to ref for single dtypes
// (f64) that have no fast form.
const OpTable& cpu_ops();

}  // namespace tera::kernels
