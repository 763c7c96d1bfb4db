// ModelConfig -> config.json of the transformers library. A family has an architecture when reading
// back what was written for it gives the same architecture: import is the judge of export.
#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/spec/export.h"
#include "core/spec/hugging_face_write.h"
#include "core/spec/model_difference.h"

namespace tera::spec {
namespace {

using nlohmann::json;

// Settings of training: they do not change what the model computes for a text.
const std::set<std::string_view> kTrainingOnly = {
    "aux_loss_coeff",         "aux_loss_scope",  "z_loss_coeff", "router_jitter",
    "expert_capacity_factor", "capacity_policy", "capacity_pad", "num_mtp_layers",
    "mtp_loss_coeff",         "init_std",        "init_method"};

struct Misfits {
  std::vector<Diagnostic> architecture, training;
  int num_mtp_layers = 0;  // that the family has
};

Misfits misfits(const ModelConfig& model, HuggingFaceFamily family, const std::string& config) {
  Misfits found;
  const HuggingFaceConfig back = parse_hugging_face_config(config);
  found.num_mtp_layers = back.model.num_mtp_layers;
  for (const auto& [field, ours, theirs] : model_differences(model, back.model)) {
    const bool training = kTrainingOnly.contains(field);
    (training ? found.training : found.architecture)
        .push_back({.severity = training ? Severity::note : Severity::error,
                    .field = fmt::format("model.{}", field),
                    .message = fmt::format("{} has no place in {}, which has {}", ours,
                                           enum_name(family), theirs),
                    .hint = {}});
  }
  for (const Diagnostic& d : back.diagnostics) {
    if (d.severity == Severity::error) found.architecture.push_back(d);
  }
  return found;
}

std::string hint_for(const ModelConfig& model) {
  if (model.mup_base_hidden_size == 0) return {};
  return fmt::format(
      "maximal update parametrization divides the logits by {:.4g} and the scores by the head dim, "
      "which no model of transformers does: train with mup_base_hidden_size 0 to export",
      model.mup_width_multiplier());
}

// Keys of the file the model came from that nobody here writes.
json with_source(json config, const std::string& source) {
  const json original = json::parse(source, nullptr, false);
  if (!original.is_object() || original.value("model_type", json()) != config["model_type"]) {
    return config;
  }
  json merged = original;
  for (const char* key : {"rope_parameters", "quantization_config", "dtype", "layer_types"})
    merged.erase(key);
  merged.update(config);
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    if (original.contains(key)) merged[key] = original[key];
  }
  return merged;
}

// From the simplest on, but first that of the file the model came from.
std::vector<HuggingFaceFamily> candidates(const std::string& source) {
  std::vector<HuggingFaceFamily> families;
  for (std::size_t i = 0; i < EnumNames<HuggingFaceFamily>::value.size(); ++i)
    families.push_back(static_cast<HuggingFaceFamily>(i));
  const HuggingFaceConfig config = parse_hugging_face_config(source);
  const auto own = std::find(families.begin(), families.end(), config.family);
  if (config.ok()) std::rotate(families.begin(), own, own + 1);
  return families;
}

}  // namespace

Result<HuggingFaceExport> export_hugging_face(const ModelConfig& model,
                                              const HuggingFaceExportOptions& options) {
  std::optional<std::pair<HuggingFaceFamily, Misfits>> nearest;
  for (const HuggingFaceFamily family : candidates(options.source_config)) {
    const json config = hugging_face::write_config(family, model, options);
    Misfits found = misfits(model, family, config.dump());
    if (found.architecture.empty()) {
      ModelConfig written = model;
      written.num_mtp_layers = found.num_mtp_layers;
      return HuggingFaceExport{
          .family = family,
          .model = written,
          .config_json = with_source(config, options.source_config).dump(2) + "\n",
          .notes = std::move(found.training)};
    }
    if (!nearest || found.architecture.size() < nearest->second.architecture.size())
      nearest = {family, std::move(found)};
  }
  std::string fields;
  for (const Diagnostic& d : nearest->second.architecture)
    fields += fmt::format("{}{}: {}", fields.empty() ? "" : "; ", d.field, d.message);
  return fail(
      ErrorCode::unsupported,
      fmt::format("no architecture of transformers is this model; the nearest is {}, but {}",
                  enum_name(nearest->first), fields),
      hint_for(model));
}

}  // namespace tera::spec
