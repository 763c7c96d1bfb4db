// How the layers of a model are cut into the links of a pipeline. Most stages are alike, and so are
// most links: what follows from the parts alone is worked out once for each kind.
#pragma once
#include <cstdint>
#include <vector>

#include "core/plan/param_groups.h"
#include "core/plan/pipeline_schedule.h"
#include "core/plan/placement.h"
#include "core/plan/working_memory.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

struct PipelineCut {
  struct StageKind {
    StageParts parts;
    int num_layers = 0;
    bool operator==(const StageKind&) const = default;
  };
  std::vector<StageKind> stage_kinds;  // in the order of their first stages
  std::vector<int> kind_of_stage;      // [stage]
  std::vector<ModelPiece> link_kinds;
  std::vector<int> kind_of_link;  // [link]
  bool operator==(const PipelineCut&) const = default;
};
// Of the model in the spec, by the stages, chunks and schedule of its layout.
PipelineCut cut_pipeline(const spec::RunSpec& spec);

// What stages of each kind hold at the moments of a schedule when they may hold most bytes,
// whatever a layer's bytes are: moments at which all else is less are left out.
using HeldMoments = std::vector<std::vector<HeldLayers>>;  // [stage kind][moment]
HeldMoments held_moments(const spec::RunSpec& spec, const PipelineCut& cut);

}  // namespace tera::plan
