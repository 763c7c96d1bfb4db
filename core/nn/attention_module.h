// What every attention is to its layer: a Module that can also go on from a cache.
#pragma once
#include "core/nn/module.h"

namespace tera::nn {

// What one layer keeps of the tokens seen so far, `length` of them: keys and values [1, capacity,
// G, D]. Latent attention keeps keys [1, capacity, 1, rkv + dr], a normalised latent vector and the
// rotated key that all heads share; its values are the latent part of the same memory.
struct LayerCache {
  Tensor keys;
  Tensor values;
  int length = 0;
};

class AttentionModule : public Module {
 public:
  // Forward of one sequence that goes on where the cache ends; appends to it. The caller raises the
  // cache's length after the last layer.
  virtual Tensor forward_cached(const Tensor& x, Pass& pass, const LayerCache& cache) = 0;
};

}  // namespace tera::nn
