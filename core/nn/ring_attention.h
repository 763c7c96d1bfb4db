// RingAttention: attention of which context ranks each have the queries, keys and values of their
// tokens. Keys and values go around the ring of ranks, each rank attends to them as they pass, and
// the results over all of them are merged by their logsumexp; in backward the gradients of keys and
// values go around behind them, gathering what every rank adds. A rank computes with what it has
// while what comes next is under way. Source: Liu et al. 2023, Ring Attention.
// Letters: T this rank's tokens, A query heads, G key-value heads, D and Dv dims of keys and
// values.
#pragma once
#include "core/nn/context_parallel.h"

namespace tera::nn {

struct AttentionRule {
  kernels::AttentionOptions options;
  int window = 0;  // tokens that one sees, itself included; 0: all
};

class RingAttention {
 public:
  RingAttention(ContextGroup group, AttentionRule rule) : group_(group), rule_(rule) {}

  // q [T, A, D], k [T, G, D], v [T, G, Dv] -> out [T, A, Dv], lse [T, A] over the whole sequences.
  void forward(const Tensor& q,
               const Tensor& k,
               const Tensor& v,
               const Batch& batch,
               const Tensor& out,
               const Tensor& lse) const;

  struct Forward {  // what forward took and gave
    const Tensor& q;
    const Tensor& k;
    const Tensor& v;
    const Tensor& out;
    const Tensor& lse;
  };
  struct Gradients {  // [T, heads, dims], rows strided
    kernels::View dq;
    kernels::View dk;
    kernels::View dv;
  };
  void backward(const kernels::View& d_out,
                const Forward& forward,
                const Batch& batch,
                const Gradients& gradients) const;

 private:
  // The queries of this rank, and the keys of another, that may see each other: tokens of each
  // sequence [begin, end) on their ranks.
  struct Block {
    std::int64_t query_begin, query_end;
    std::int64_t key_begin, key_end;
    std::int64_t query_offset;
    Tensor first_key;  // [B, queries] i32
    bool empty;        // none sees any
  };
  Block block_of(int owner, const Batch& batch) const;
  // The rank whose keys and values are here in this step.
  int owner(int step) const { return (group_.rank() - step + group_.size()) % group_.size(); }
  int next() const { return (group_.rank() + 1) % group_.size(); }
  int previous() const { return (group_.rank() + group_.size() - 1) % group_.size(); }

  ContextGroup group_;
  AttentionRule rule_;
};

}  // namespace tera::nn
