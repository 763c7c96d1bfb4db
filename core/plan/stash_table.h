// StashTable: what forward keeps for backward, per layer and micro-batch. The engine puts tensors
// into the stash under these names; the planner adds their bytes; a test holds the two equal.
//
// Of one rank, whose extents are those of rank_extents.h: T tokens, A heads, F columns and R rows
// are the rank's. With sequence parallelism T is its own part of the tokens in the residual stream,
// norms, router and head, and all tokens of the tensor ranks in attention and products.
// T = micro_batch_size x seq_length tokens; activations are in the compute dtype c (f32 or bf16).
//   embedding:            nothing (token ids belong to the batch)
//   attention.x [T, H] c              residual stream entering the layer (input of the norm)
//   attention.norm_rstd [T] f32, attention.norm_mean [T] f32 (LayerNorm only)
//   attention.norm_out [T, H] c       input of the qkv product; norm_placement post has none of the
//       three and reads x
//   attention.q [T, A, D] c, attention.k [T, Akv, D] c, attention.v [T, Akv, D] c   after norm and
//   rotary attention.q_raw [T, A, D] c, attention.k_raw [T, Akv, D] c, attention.q_rstd,
//   attention.k_rstd f32
//       (QK-norm only: before the norm; rstd [T, A] and [T, Akv] per_head, [T] and [T] full)
//   attention.out [T, A, D] c         input of the output product
//   attention.lse [T, A] f32
//   latent attention instead of q, k, v, out above: attention.q_latent [T, rq] c, q_latent_rstd [T]
//   f32,
//       q_latent_norm_out [T, rq] c (rq > 0 only), kv_latent [T, rkv] c, kv_latent_rstd [T]
//       f32, kv_latent_norm_out [T, rkv] c, q, k [T, A, dn + dr] c, v, out [T, A, dv] c
//   attention.branch_out [T, H] c, attention.post_norm_rstd [T] f32, attention.post_norm_mean [T]
//   f32
//       (LayerNorm only): input and statistics of the norm at the end; norm_placement post and
//       sandwich only
//   ffn.x [T, H] c                    residual stream entering the feed-forward; with
//       parallel_residual that is attention.x
//   ffn.norm_rstd, ffn.norm_mean, ffn.norm_out, ffn.branch_out, ffn.post_norm_rstd,
//       ffn.post_norm_mean              as of attention
//   dense: ffn.inner [T, F or 2F] c   before the activation; ffn.act [T, F] c after it
//   MoE, R = ModelConfig::routed_rows(T) on one rank, K = ModelConfig::router_slots():
//          moe.noise [T, H] f32       on the router's input (jitter only)
//          moe.logits [T, E] f32      sigmoid with z-loss only
//          moe.scores [T, E] f32      router scores s; moe.logsumexp [T] f32 (softmax, or z-loss
//                                     on)
//          moe.indices [T, K] i32, moe.gates [T, K] f32
//          moe.balance [N, E] f32     weights of the balance loss (on only): N = 1 (micro_batch) or
//                                     micro_batch_size
//          moe.rows [T, K] i32        row of each slot in expert order, -1: not served
//          moe.permuted [R, H] c      rows sent to experts, by expert then token then k
//          moe.inner [R, F or 2F] c, moe.act [R, F] c (times the gate)
//          moe.offsets [E + 1] i64
//          moe.counts [ranks, E] i64, moe.row_gates [R] f32   where ranks share experts out
//          moe.shared.inner [T, S F or 2 S F] c, moe.shared.act [T, S F] c (shared experts only)
//          moe.shared.gate [T, 1] f32 (shared_expert_gate only)
//   head:  head.x [T, H] c            input of the final norm; head.norm_rstd (and _mean) [T] f32
//          head.dx [T, H] c           gradient at the norm's output, computed with the loss
//          (forward)
//          head.norm_out [T, H] c     with multi-token prediction: the norm's output
//   multi-token prediction, layers.N with N from num_layers on: mtp.embedding [T, H] c, of the
//   token
//       in between; mtp.embedding_norm_rstd, mtp.hidden_norm_rstd (and _mean) [T] f32; mtp.concat
//       [T, 2 H] c, input of the projection; the entries of a layer; mtp.head.x, norm_rstd
//       (and _mean), dx and, but for the last, norm_out, as of the head
//   recompute: selective keeps no norm_out and no act; full keeps attention.x alone of each layer,
//   and the router's entries, moe.noise to moe.balance: a choice is never made again
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/spec/run_spec.h"
#include "kernels/dtype.h"

namespace tera::plan {

struct StashEntry {
  std::string name;  // "layers.3.attention.q"
  std::vector<std::int64_t> shape;
  DType dtype = DType::f32;
  std::int64_t num_bytes() const;
};
// Entries of one micro-batch for layers [first_layer, last_layer), plus the head's and those of
// multi-token prediction when has_head.
std::vector<StashEntry> make_stash_table(const spec::RunSpec& spec,
                                         int first_layer,
                                         int last_layer,
                                         bool has_head);

// Entries of one micro-batch between the two halves of a backward, where a schedule parts them, of
// the same parts: all that forward kept, and of full recompute what it dropped, since it is there
// again, but for the inputs of activation functions, which the first half is the last to read; and
// the gradients that backward_weight reads (core/nn/module.h): at the output of each product (there
// of all tokens of the tensor ranks) and norm. Selective recompute has the activations again, norm
// outputs only in the second half. A tensor that two modules keep is there once: with
// parallel_residual the gradient at the output.
std::vector<StashEntry> make_waiting_table(const spec::RunSpec& spec,
                                           int first_layer,
                                           int last_layer,
                                           bool has_head);

}  // namespace tera::plan
