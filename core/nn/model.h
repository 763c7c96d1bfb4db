// Model: the modules one rank holds, from embedding to loss. Reads the ModelConfig; a dense GPT-2
// and a Mixture-of-Experts model are the same class with different layers.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/nn/module.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// What the layers keep of the tokens seen so far: see LayerCache.
struct KvCache {
  std::vector<Tensor> keys;    // [num_layers]
  std::vector<Tensor> values;  // [num_layers]
  int length = 0;
  int capacity = 0;
};

class Model {
 public:
  // The store must hold make_param_table(config) and outlive the model.
  Model(const spec::ModelConfig& config, ParamStore& params);
  ~Model();

  // Runs the micro-batch up to the loss; returns the sum over its targets of the token losses
  // (natural log), unscaled. Gradients of head and final norm input are computed on the way when
  // with_backward; without it nothing is kept in the stash. The losses of multi-token prediction go
  // to pass.prediction_stats.
  double forward(Pass& pass, bool with_backward);
  void backward(Pass& pass);  // all layers: input half, then weight half; the stash ends empty

  KvCache make_cache(int capacity) const;
  // Appends tokens to the cache; returns logits [num_new, V] f32 of the new positions (or of the
  // last one only).
  Tensor decode(std::span<const std::int32_t> tokens, KvCache& cache, bool last_only);

  // Aux-loss-free balancing, once per optimizer step: b += rate * sign(mean - count), then centred.
  // counts [all layers][E] over the whole global batch.
  void update_expert_bias(const std::vector<std::vector<std::int64_t>>& counts);

  const spec::ModelConfig& config() const { return config_; }

 private:
  struct Parts;
  spec::ModelConfig config_;
  ParamStore* params_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace tera::nn
