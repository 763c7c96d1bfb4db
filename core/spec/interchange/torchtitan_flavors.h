// The models TorchTitan names by family and flavor, such as llama3 405B.
#pragma once
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/spec/model_config.h"

namespace tera::spec {

struct TitanFlavor {
  std::string_view family;
  std::string_view flavor;
  ModelConfig model;  // max_position_embeddings is the file's sequence length at least
};

const std::vector<TitanFlavor>& titan_flavors();

// The flavor with the architecture of a model: what training alone reads may differ.
const TitanFlavor* find_flavor(const ModelConfig& model);

}  // namespace tera::spec
