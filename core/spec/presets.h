// Named models, clusters and runs in resources/, each number with its source.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/spec/own_runs.h"
#include "core/spec/run_spec.h"

namespace tera::spec {

struct ModelPreset {
  std::string name;
  std::string title;  // one line for a list
  ModelConfig model;
  std::map<std::string, std::string> sources;  // field -> where the number comes from
  double published_total_params = 0;           // 0 = none published
  double published_active_params = 0;
  double published_tolerance = 0.005;  // of the published, rounded figure
};
struct ClusterPreset {
  std::string name;
  std::string title;
  Cluster cluster;
  std::map<std::string, std::string> sources;  // field of Cluster ("device.memory_bytes") -> source
  std::vector<Diagnostic> notes;               // such as a device profile that could not be used
  // Of this-machine, what own runs have changed.
  OwnRunsFit own_runs;
  Cluster before_own_runs;
  std::string figures;  // figures_key() of these
};

// A whole spec to start from. Data paths are as written, relative to wherever the spec is saved.
struct RunPreset {
  std::string name;
  std::string title;    // one line for a list: the first sentence of the comment
  std::string comment;  // the "# ..." lines at the head of the file
  RunSpec spec;
};

Result<std::vector<std::string>> model_preset_names();
Result<std::vector<std::string>> cluster_preset_names();
Result<std::vector<std::string>> run_preset_names();
Result<RunPreset> run_preset(std::string_view name);
Result<ModelPreset> model_preset(std::string_view name);
// "this-machine" is read from the operating system and from the device profile measured by
// `teragpt bench device` when there is one, and refined by own runs; every figure's source says
// which.
Result<ClusterPreset> cluster_preset(std::string_view name);

}  // namespace tera::spec
