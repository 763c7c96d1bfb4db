#include "core/plan/stage_times.h"

#include "core/plan/pipeline_schedule.h"
#include "core/plan/placement.h"

namespace tera::plan {

StageTimes stage_times(const spec::RunSpec& spec, const RankMesh& mesh, const LayerCost& cost) {
  const int num_stages = spec.layout.pipeline_parallel_size;
  const LayerMix all = layer_mix(spec.model, {0, spec.model.num_layers});
  const PassCost dense = all.dense > 0 ? cost.layer(false) : PassCost{};
  const PassCost moe = all.moe > 0 ? cost.layer(true) : PassCost{};
  const auto num_links = static_cast<std::size_t>(pipeline_shape(spec).num_links());
  StageTimes times;
  times.schedule.links.resize(num_links);
  if (num_stages > 1) times.schedule.send_s.assign(num_links - 1, cost.stage_send_s());
  for (int stage = 0; stage < num_stages; ++stage) {
    PassCost of_stage;
    for (const StageChunk& chunk : stage_chunks(spec, stage)) {
      const LayerMix mix = layer_mix(spec.model, chunk.layers);
      PassCost pass;
      pass.add(dense, mix.dense);
      pass.add(moe, mix.moe);
      if (chunk.has_embedding) pass.add(cost.embedding(), 1);
      if (chunk.has_head) {
        pass.add(cost.head(), 1);
        if (spec.model.num_mtp_layers > 0) pass.add(cost.prediction(), spec.model.num_mtp_layers);
        for (int layer = spec.model.num_layers; layer < spec.model.num_all_layers(); ++layer)
          pass.add(cost.layer(spec.model.is_moe_layer(layer)), 1);
      }
      const double weight_s = pass.weight.total();
      times.schedule.links[static_cast<std::size_t>(chunk.link)] = {
          .forward = pass.forward.total(),
          .backward_input = pass.backward.total() - weight_s,
          .backward_weight = weight_s};
      of_stage.add(pass, 1);
    }
    times.passes.push_back(of_stage);
    if (of_stage.total() > times.busiest_pass().total()) times.busiest = stage;
  }
  times.busiest_params = local_params(spec, mesh, times.busiest);
  return times;
}

ScheduleTimes schedule_times(const spec::RunSpec& spec, const RankMesh& mesh) {
  return stage_times(spec, mesh, LayerCost(spec, mesh)).schedule;
}

}  // namespace tera::plan
