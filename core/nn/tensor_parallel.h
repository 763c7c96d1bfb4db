// What tensor-parallel ranks share out: the heads of attention, columns and rows of matrices,
// words. Each computes with its part for all tokens; their sum is the whole. With sequence
// parallelism each keeps [T / n, H] of the residual stream, else all keep all of it. Source:
// Shoeybi et al. 2019, Megatron-LM; Korthikanti et al. 2022, section 4.
#pragma once
#include <string>

#include "core/nn/module.h"

namespace tera::nn {

class TensorGroup {
 public:
  explicit TensorGroup(const ParamStore& store);

  comm::Communicator* ranks() const { return ranks_; }  // null: this one alone
  int size() const { return ranks_ == nullptr ? 1 : ranks_->size(); }
  int rank() const { return ranks_ == nullptr ? 0 : ranks_->rank(); }
  bool splits_tokens() const { return splits_tokens_; }

  // Of the rows of all ranks those of this one, [begin, begin + count), where tokens are split.
  std::int64_t first_row(std::int64_t count) const { return splits_tokens_ ? rank() * count : 0; }
  // Rows of all ranks: [T / n, H] -> [T, H] where tokens are split; else x itself.
  Tensor gather(const Tensor& x) const;
  // Sum over the ranks of y [T, H]: its own rows of it where tokens are split, else y, changed.
  Tensor sum(const Tensor& y) const;

 private:
  comm::Communicator* ranks_ = nullptr;
  bool splits_tokens_ = false;
};

// Heads on this rank of `count` in the model, and those of fewer than ranks that it shares.
int own_heads(const ParamStore& store, int count);

// Makes the gradient of a parameter that tensor ranks hold alike, but have computed from their own
// part alone (heads, tokens), the sum of all; others stay. After the last backward, before anybody
// reads it. Collective.
void sum_shared_gradient(Param& param, const TensorGroup& group);

// A module of which each rank holds a part, as one that takes and gives rows of the residual
// stream.
class TensorParallel final : public Module {
 public:
  // input: the stash entry of what the module reads, of this rank's tokens.
  TensorParallel(const ParamStore& store, Module& part, std::string input);
  // The stash entry in which the part finds the input of all tokens.
  static std::string part_input(const ParamStore& store, const std::string& input);

  Tensor forward(const Tensor& x, Pass& pass) override;
  Tensor backward_input(const Tensor& dy, Pass& pass) override;
  void backward_weight(Pass& pass) override;

 private:
  TensorGroup group_;
  Module* part_;
  std::string input_;
  std::string part_input_;
};

}  // namespace tera::nn
