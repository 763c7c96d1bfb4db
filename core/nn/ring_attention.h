// RingAttention: attention of which context ranks each have the queries, keys and values of their
// tokens. Keys and values go around the ring of ranks, each rank attends to them as they pass, and
// the results over all of them are merged by their logsumexp; in backward the gradients of keys and
// values go around behind them, gathering what every rank adds. A rank computes with what it has
// while what comes next is under way. Source: Liu et al. 2023, Ring Attention.
#pragma once
#include "core/nn/context_attention.h"

namespace tera::nn {

class RingAttention final : public ContextAttention {
 public:
  RingAttention(ContextGroup group, AttentionRule rule) : group_(group), rule_(rule) {}

  void forward(const Inputs& inputs, const Batch& batch, const Outputs& outputs) const override;
  void backward(const kernels::View& d_out,
                const Inputs& inputs,
                const Outputs& outputs,
                const Batch& batch,
                const Gradients& gradients) const override;

 private:
  // The queries of this rank, and the keys of the one before it by so many as steps, that may see
  // each other: tokens of each sequence [begin, end) on their ranks.
  struct Block {
    std::int64_t query_begin, query_end;
    std::int64_t key_begin, key_end;
    kernels::AttentionOptions options;  // adds to the steps before
    Tensor first_key;                   // [B, queries] i32
    bool empty;                         // none sees any

    kernels::View queries(const kernels::View& sequences) const;
    kernels::View keys(const kernels::View& sequences) const;
  };
  Block block_of(int step, const Batch& batch) const;
  int next() const { return (group_.rank() + 1) % group_.size(); }
  int previous() const { return (group_.rank() + group_.size() - 1) % group_.size(); }

  ContextGroup group_;
  AttentionRule rule_;
};

}  // namespace tera::nn
