// ModelChunk: the part of a model that one link of a pipeline computes: a run of layers, before
// them the embedding on the first link, behind them head and multi-token prediction on the last. A
// chunk with everything is the whole model.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "core/nn/embedding.h"
#include "core/nn/loss.h"
#include "core/nn/multi_token_prediction.h"
#include "core/nn/transformer_layer.h"
#include "core/plan/placement.h"

namespace tera::nn {

class ModelChunk {
 public:
  // The store must hold the parameters of these parts (of multi-token prediction the embedding too)
  // and outlive the chunk.
  ModelChunk(const spec::ModelConfig& config, plan::StageChunk parts, ParamStore& params);

  struct Output {
    Tensor hidden;        // [T, H], for the next link; absent behind the head
    double loss_sum = 0;  // over the targets, natural log, unscaled; 0 without the head
  };
  // x [T, H]: of the link before; absent on the first. With backward, computes the gradients of the
  // head on the way; without, keeps nothing in the stash. Losses of multi-token prediction go to
  // pass.prediction_stats.
  Output forward(const Tensor& x, Pass& pass, bool with_backward);

  // Gradient at x; absent on the first link. dy [T, H]: of the next link; absent behind the head.
  Tensor backward(const Tensor& dy, Pass& pass);  // both halves, layer by layer; empties the stash
  // The halves apart: what waits for the second one counts as activations (make_waiting_table). The
  // embedding's gradient is part of the first, since nobody waits for it.
  Tensor backward_input(const Tensor& dy, Pass& pass);
  void backward_weight(Pass& pass);  // empties the stash

  // Aux-loss-free balancing of the layers here, once per optimizer step: b += rate * sign(mean -
  // count), then centred. counts [all layers of the model][E] over the whole global batch.
  void update_expert_bias(const std::vector<std::vector<std::int64_t>>& counts);

  const plan::StageChunk& parts() const { return parts_; }
  Embedding& embedding() { return *embedding_; }
  LossHead& head() { return *head_; }
  const std::vector<std::unique_ptr<TransformerLayer>>& layers() const { return layers_; }

 private:
  enum class Half : std::uint8_t { input, both };
  Tensor run_backward(const Tensor& dy, Pass& pass, Half half);
  TransformerLayer& layer(int index) {
    return *layers_[static_cast<std::size_t>(index - parts_.layers.first)];
  }
  PredictionLayer& prediction(int layer) {
    return *predictions_[static_cast<std::size_t>(layer - config_.num_layers)];
  }

  const spec::ModelConfig config_;
  const plan::StageChunk parts_;
  const ParamStore* params_;
  std::unique_ptr<Embedding> embedding_;                   // of the first link and of prediction
  std::vector<std::unique_ptr<TransformerLayer>> layers_;  // from parts_.layers.first on
  std::unique_ptr<LossHead> head_;                         // of the last link
  std::vector<std::unique_ptr<PredictionLayer>> predictions_;
};

}  // namespace tera::nn
