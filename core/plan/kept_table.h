// What forward keeps of a layer under the software of a spec. TeraGPT's is its stash table, to the
// byte; of other frameworks the same tensors, and those that their operations keep besides.
#pragma once
#include <vector>

#include "core/plan/stash_table.h"

namespace tera::plan {

// Entries of one micro-batch of one layer. Beside those of stash_table.h, in the compute dtype c:
//   scores stored: attention.probabilities [B A, S, S] c, and with dropout attention.dropped
//     [B A, S, S] c and attention.dropped_mask [B A, S, S] u8
//   dropout: attention.residual_mask, ffn.residual_mask [T, H] u8
//   queries and keys as they were before rotary turned them: attention.q_unrotated [T, A, D] c,
//     attention.k_unrotated [T, Akv, D] c: they share their memory with the values, which stay (not
//     with a norm, which keeps them already, nor in latent attention, which copies)
//   layers not fused: attention.qkv_copy [T, A + 2 Akv, D] c, in the order that attention wants;
//     ffn.gate_act [T, F] c; attention.sum, ffn.sum [T, H] c after the residuals are added
//   experts of DeepSpeed and torchtitan: moe.out [R, H] c, which the gates are multiplied with;
//     Megatron-LM multiplies within the activation (README of its MoE, "memory efficient token
//     permutation")
// recompute full keeps attention.x alone. Selective leaves out what is stored of scores
// (Korthikanti et al. 2022, section 5); of Megatron-LM with fused attention instead what its
// --recompute-modules layernorm, moe_act and mla_up_proj drop: the output of the norm in front of
// experts and of latent attention, of the experts' activation, and latent attention's queries, keys
// and values. torchtitan keeps the output of attention and of every second product.
std::vector<StashEntry> kept_table(const spec::RunSpec& spec, int layer);

// What waits between the halves of a backward that a schedule parts. TeraGPT's is its own table
// (make_waiting_table); others keep what the gradients of weights in products are made of, the
// inputs of products and the gradients at their outputs (Megatron-LM, --delay-wgrad-compute;
// NVIDIA Transformer Engine, WeightGradStore), those of norms are done with the first half.
std::vector<StashEntry> waiting_table(const spec::RunSpec& spec, int layer);

// Bytes of an entry: narrow numbers where products in 8 or 4 bits read it (not in torchtitan:
// torchao's Float8Linear keeps its input in bf16). torchtitan keeps inputs of products gathered
// over tensor ranks, unless gathering and product are one (tensor_overlap). expert_load: rows of
// this rank over the mean; TeraGPT's buffers have it already.
double kept_bytes(const StashEntry& entry, const spec::RunSpec& spec, double expert_load);

}  // namespace tera::plan
