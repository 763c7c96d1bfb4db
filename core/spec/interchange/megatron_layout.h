// Which layers each chunk of a pipeline has, as Megatron-LM writes it: "Et|(tt|)*30mL", one chunk
// after the other along the pipeline, with E the embedding, t a layer, m one of multi-token
// prediction and L the loss. Source: Megatron-LM of 2025,
// megatron/core/transformer/pipeline_parallel_layer_layout.py.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/spec/model_config.h"

namespace tera::spec {

struct ChunkLayers {
  std::vector<int> layers;  // of each chunk
  bool usual_ends = true;   // prediction is where the loss is
};

// Errors: not such a text, or not with the model's layers, one embedding at the front and one loss
// at the end.
Result<ChunkLayers> parse_chunk_layers(std::string_view text, const ModelConfig& model);

// The text for chunks whose last has the loss and all of multi-token prediction.
std::string chunk_layers_text(const std::vector<int>& layers, const ModelConfig& model);

}  // namespace tera::spec
