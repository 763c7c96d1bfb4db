// What every attention is to its layer: a Module that can also go on from a cache.
#pragma once
#include "core/nn/kv_cache.h"
#include "core/nn/module.h"

namespace tera::nn {

class AttentionModule : public Module {
 public:
  virtual LayerCache make_cache(int sequences, int capacity) const = 0;
  // Forward of sequences that go on where the cache ends; appends to it. The batch's first_key
  // counts slots of the cache. The caller raises the cache's length after the last layer.
  virtual Tensor forward_cached(const Tensor& x, Pass& pass, const LayerCache& cache) = 0;
};

}  // namespace tera::nn
