#include "core/plan/layout_figures.h"

#include <algorithm>

#include "core/plan/stage_bytes.h"

namespace tera::plan {
namespace {

void set_worst_bytes(const spec::RunSpec& spec,
                     const RankMesh& mesh,
                     const PipelineSchedule& schedule,
                     LayoutFigures& figures) {
  const ActivationBytes bytes = activation_bytes(spec);
  const ModelGroups model = model_groups(spec, mesh);
  for (int stage = 0; stage < schedule.shape.num_stages; ++stage) {
    const StageParts parts = stage_parts(spec, stage);
    const HeldLayers held =
        held_at_peak(spec, bytes, stage, schedule.stages[static_cast<std::size_t>(stage)]);
    const StageBytes of_stage = stage_bytes(spec, bytes, parts, stage_groups(model, parts), held);
    figures.memory_bytes = std::max(figures.memory_bytes, of_stage.total());
    figures.host_bytes = std::max(figures.host_bytes, of_stage.host);
    figures.nvme_bytes = std::max(figures.nvme_bytes, of_stage.nvme);
  }
  figures.host_bytes *= ranks_per_host(spec);
  figures.nvme_bytes *= ranks_per_host(spec);
}

}  // namespace

Result<LayoutFigures> layout_figures(const spec::RunSpec& spec) {
  TERA_TRY(const RankMesh mesh, RankMesh::make(spec.layout));
  const PipelineSchedule schedule = make_schedule(spec);
  const LayerCost cost(spec, mesh);
  const StageTimes times = stage_times(spec, mesh, cost);
  TERA_TRY(const PlayedSchedule played, play_pipeline(schedule, times.schedule));
  const StepSeconds step = step_seconds(spec, mesh, cost, times.busiest, played);
  LayoutFigures figures{.step_s = step.total_s(), .busy_share = step.busy_share()};
  set_worst_bytes(spec, mesh, schedule, figures);
  return figures;
}

}  // namespace tera::plan
