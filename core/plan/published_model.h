// The architecture of a published row: the family its model's name belongs to, with the dims of the
// row's cells.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/plan/published_table.h"
#include "core/spec/model_config.h"

namespace tera::plan {

// Model presets that families start from, by name.
using FamilyPresets = std::map<std::string, spec::ModelConfig, std::less<>>;
// Errors: a preset that is missing or broken.
Result<FamilyPresets> load_family_presets();

// Tokens of a sequence where rows of the family do not say; empty if that is not known.
std::optional<int> usual_seq_length(std::string_view model);

struct PublishedModels {
  std::vector<spec::ModelConfig> candidates;  // one, or one for each guess
  std::vector<std::string> guessed;           // columns that public facts or several values fill
  std::vector<std::string> undetermined;      // columns without which there is no model
  std::string not_modelled;                   // what the architecture has that no spec can say
};
// seq_length: tokens. tensor_size: ranks that split the vocabulary, which Megatron pads for them.
PublishedModels published_models(const PublishedRow& row,
                                 const FamilyPresets& presets,
                                 int seq_length,
                                 int tensor_size);

}  // namespace tera::plan
