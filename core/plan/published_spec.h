// A published row as the spec the planner predicts, or as several where a cell is unknown.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/plan/fitted_times.h"
#include "core/plan/published_model.h"
#include "core/plan/published_table.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

struct PublishedPresets {
  FamilyPresets models;
  std::map<std::string, spec::Cluster, std::less<>> clusters;
  FittedTimes fitted = {};
};
// Errors: a preset that is missing or broken.
Result<PublishedPresets> load_published_presets();

struct PublishedSpecs {
  std::vector<spec::RunSpec> candidates;  // one, or one for each guess; empty when there is none
  bool is_mixture = false;                // the truth lies between candidates, not at one of them
  std::vector<std::string> guessed;       // columns that were not read but concluded or tried out
  std::vector<std::string> undetermined;  // columns without which there is no spec
  std::string not_modelled;               // why no spec can say what the row says
};
// Candidates are all combinations of: micro-batches of 1 to 8 sequences, recomputation of nothing,
// norms or everything, sequence parallel or not, optimizer state sharded or not, where the row does
// not say; pipelines of one chunk per stage, of two, and of one layer per chunk; tensor and
// pipeline sizes where it gives their product only.
PublishedSpecs published_specs(const PublishedRow& row, const PublishedPresets& presets);

}  // namespace tera::plan
