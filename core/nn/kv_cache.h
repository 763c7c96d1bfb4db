// KvCache: what attention remembers of the tokens seen so far, of several sequences at once.
//
// All sequences of a batched step end at the same slot, so that one token of each is one forward of
// the whole batch: a shorter sequence begins at a later slot, and what lies before is never read.
#pragma once
#include <vector>

#include "core/tensor/tensor.h"

namespace tera::nn {

// Of one layer: keys and values [B, capacity, G, D], the first `length` slots of them filled.
// Latent attention keeps keys [B, capacity, 1, rkv + dr], a normalised latent vector and the
// rotated key that all heads share; its values are the latent part of the same memory.
struct LayerCache {
  Tensor keys;
  Tensor values;
  int length = 0;
};

class KvCache {
 public:
  // layers: for as many sequences as `begins`, which says at which slot each begins.
  KvCache(std::vector<LayerCache> layers, std::vector<int> begins, int capacity);

  int num_sequences() const { return static_cast<int>(begins_.size()); }
  int capacity() const { return capacity_; }  // slots
  int length(int sequence = 0) const { return end_[at(sequence)] - begins_[at(sequence)]; }
  // Slots left behind the last token.
  int room(int sequence = 0) const { return capacity_ - end_[at(sequence)]; }

  // Sequences that a forward goes on with.
  struct Range {
    int first = 0;
    int count = 1;
    bool operator==(const Range&) const = default;
  };
  // The slot that the sequences of the range have their next token in. ContractError if they
  // differ.
  int end(Range range) const;
  // The first slot that any of them uses: slot 0 of the tensors of `layer`.
  int base(Range range) const;
  int begin(int sequence) const { return begins_[at(sequence)]; }
  LayerCache layer(int layer, Range range) const;
  // The next `count` slots of each are filled.
  void advance(Range range, int count);

  // Makes sequence `to` a copy of sequence `from`.
  void copy(int from, int to);

 private:
  std::size_t at(int sequence) const;

  std::vector<LayerCache> layers_;
  std::vector<int> begins_;
  std::vector<int> end_;
  int capacity_;
};

}  // namespace tera::nn
