// Multi-token prediction: behind the model, a layer per further token. Layer k = 1, 2, ... reads at
// position i the hidden state of the layer before it (of the model for k = 1) after its final norm,
// and the embedding of token i + k, and predicts token i + k + 1 through the model's output head.
// Source: DeepSeek-V3, 2024, section 2.2; that the hidden state is normalised as its released
// weights are used (github.com/huggingface/transformers, MtpModel).
#pragma once
#include <string>

#include "core/nn/context_parallel.h"
#include "core/nn/embedding.h"
#include "core/nn/loss.h"
#include "core/nn/transformer_layer.h"

namespace tera::nn {

// Tokens [T] that stand `places` further on in the same document, and the targets there. Where the
// sequence or the document ends before, the token itself and target -1.
struct TokensAhead {
  Tensor tokens;
  Tensor targets;
};
// Of the tokens that the share has of them.
TokensAhead tokens_ahead(const Batch& batch, int places, const ContextShare& share = {});

// Keeps every entry layers.N.mtp.* of the stash table, and those of its layer.
class PredictionLayer {
 public:
  // places: k above; the layer is num_layers + k - 1. hidden: the stash entry that holds its input.
  PredictionLayer(ParamStore& store,
                  const spec::ModelConfig& config,
                  int places,
                  std::string hidden,
                  Embedding& embedding);

  // Adds the losses to pass.prediction_stats, and with_backward the head's weight gradient.
  void forward(Pass& pass, bool with_backward);
  // d_output [T, H]: gradient at this layer's own hidden state, absent for the last layer. Returns
  // that at its input.
  Tensor backward_input(const Tensor& d_output, Pass& pass);
  void backward_weight(Pass& pass);

  const std::string& output() const { return output_; }  // its hidden state in the stash
  Router* router() { return layer_.router(); }

 private:
  int places_;
  ContextShare share_;
  double weight_;  // of the loss
  std::string prefix_;
  std::string hidden_;
  std::string output_;
  Embedding* embedding_;
  ResidualNorm embedding_norm_;
  ResidualNorm hidden_norm_;
  Linear proj_;
  TransformerLayer layer_;
  LossHead head_;
};

}  // namespace tera::nn
