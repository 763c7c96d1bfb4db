// In which fields two models differ, among those that have an effect.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/spec/model_config.h"

namespace tera::spec {

struct FieldDifference {
  std::string_view field;  // "num_layers"
  std::string ours, theirs;
};
// Fields that do nothing in an architecture are left out: those of experts in a dense model, those
// of a rotary scaling it does not use.
std::vector<FieldDifference> model_differences(const ModelConfig& ours, const ModelConfig& theirs);

}  // namespace tera::spec
