// UlyssesAttention: attention of which context ranks each have the queries, keys and values of
// their tokens. They swap tokens for heads, so that each attends with some heads over the whole
// sequences, and swap the results back. Backward swaps once more what it needs of forward rather
// than keep it twice. A key-value head goes to every rank that has query heads of it. Source:
// Jacobs et al. 2023, DeepSpeed-Ulysses.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "core/nn/context_attention.h"

namespace tera::nn {

class UlyssesAttention final : public ContextAttention {
 public:
  UlyssesAttention(ContextGroup group, AttentionRule rule) : group_(group), rule_(rule) {}

  void forward(const Inputs& inputs, const Batch& batch, const Outputs& outputs) const override;
  void backward(const kernels::View& d_out,
                const Inputs& inputs,
                const Outputs& outputs,
                const Batch& batch,
                const Gradients& gradients) const override;

 private:
  // Heads of one tensor that go to each rank, side by side in the rows of a message.
  struct Columns {
    std::int64_t begin;  // the first column
    std::int64_t heads;  // for a rank
    std::int64_t dims;   // of a head
  };
  struct Message {
    std::vector<Columns> columns;
    std::int64_t width = 0;
  };
  // Of n tensors [T, heads, dims], T the tokens of a rank.
  Message message_of(std::span<const kernels::View> tokens) const;
  // Of rows [first, first + count) of a message, [count, heads, dims].
  static kernels::View heads_at(const Tensor& rows,
                                std::int64_t first,
                                std::int64_t count,
                                const Columns& columns);
  // Rows [C T, width], T for each rank in turn -> those that the ranks have for this one.
  Tensor swap(const Tensor& rows) const;
  // Of every tensor [T, heads, dims] this rank's heads for the tokens of all, [C T, heads / C,
  // dims], in the order of whole sequences.
  std::vector<Tensor> to_heads(std::span<const kernels::View> tokens,
                               const Batch& batch,
                               Backend& backend) const;
  // Back into `tokens`; what several ranks have of a head is summed.
  void to_tokens(std::span<const Tensor> heads,
                 std::span<const kernels::View> tokens,
                 const Batch& batch) const;
  // Tokens [first, first + count) of all whole sequences, and their row in a message.
  using VisitRun = std::function<void(std::int64_t first, std::int64_t row, std::int64_t count)>;
  void for_each_run(const Batch& batch, const VisitRun& visit) const;

  ContextGroup group_;
  AttentionRule rule_;
};

}  // namespace tera::nn
