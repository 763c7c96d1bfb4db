// What context-parallel ranks share out: the tokens of each sequence. Each computes with its own
// all that is done token by token; attention alone needs those of others (ring_attention.h). Ring:
// a sequence of 2 C pieces, of which rank r has pieces r and 2 C - 1 - r, so that causal attention
// is as much work on each (zigzag). Ulysses: C pieces, one each. Sources: Liu et al. 2023, Ring
// Attention; Llama Team 2024, section 3.3.2 (zigzag); Jacobs et al. 2023, DeepSpeed-Ulysses.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "core/nn/module.h"

namespace tera::nn {

// The tokens of each sequence that one of C ranks has, in their order. Arithmetic alone.
class ContextShare {
 public:
  ContextShare() = default;  // all of them
  ContextShare(spec::ContextMethod method, int rank, int num_ranks);

  int num_ranks() const { return num_ranks_; }
  // First token of each of the rank's pieces of a sequence of `length` tokens, length / num_pieces
  // each.
  std::vector<std::int64_t> pieces(std::int64_t length) const;
  std::int64_t piece_length(std::int64_t length) const { return length / num_pieces_; }
  // Where in the sequence the rank's token `i` of it is.
  std::int64_t place(std::int64_t i, std::int64_t length) const;
  // How many of the rank's tokens are before this place.
  std::int64_t count_before(std::int64_t place, std::int64_t length) const;
  // Calls visit(first of the whole sequences' tokens, first of the rank's, count) for each run of
  // tokens in which both have the same order.
  template <class Visit>
  void for_each_run(std::int64_t num_sequences, std::int64_t length, const Visit& visit) const {
    const std::int64_t count = piece_length(length);
    std::int64_t own = 0;
    for (std::int64_t sequence = 0; sequence < num_sequences; ++sequence) {
      for (const std::int64_t first : pieces(length)) {
        visit(sequence * length + first, own, count);
        own += count;
      }
    }
  }

 private:
  int num_ranks_ = 1;
  int num_pieces_ = 1;              // of a sequence, on all ranks
  std::vector<int> own_pieces_{0};  // of these
};

// The rank's part of a batch of whole sequences.
Batch part_of(const std::shared_ptr<const Batch>& whole, const ContextShare& share);
// The sequences whole: of the batch, or those that it is a part of.
const Batch& whole_of(const Batch& batch);

class ContextGroup {
 public:
  explicit ContextGroup(const ParamStore& store);

  comm::Communicator* ranks() const { return ranks_; }  // null: this one alone
  int size() const { return ranks_ == nullptr ? 1 : ranks_->size(); }
  int rank() const { return ranks_ == nullptr ? 0 : ranks_->rank(); }
  spec::ContextMethod method() const { return method_; }
  ContextShare share(int rank) const { return {method_, rank, size()}; }
  ContextShare share() const { return share(rank()); }

  // Rows of all tokens of a micro-batch of so many sequences, in the order of whole sequences:
  // [T / C, W] -> [T, W]; with one rank x itself.
  Tensor gather(const Tensor& x, int num_sequences) const;

 private:
  comm::Communicator* ranks_ = nullptr;
  spec::ContextMethod method_ = spec::ContextMethod::ring;
};

}  // namespace tera::nn
