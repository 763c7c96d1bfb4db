#include "core/plan/pipeline_cut.h"

#include <algorithm>

#include "core/plan/schedule_check.h"

namespace tera::plan {
namespace {

template <class T>
int index_of(std::vector<T>& kinds, const T& kind) {
  const auto at = std::find(kinds.begin(), kinds.end(), kind) - kinds.begin();
  if (at == std::ssize(kinds)) kinds.push_back(kind);
  return static_cast<int>(at);
}

bool holds_less(const HeldLayers& a, const HeldLayers& b) {
  return a.dense.whole <= b.dense.whole && a.dense.waiting <= b.dense.waiting &&
         a.moe.whole <= b.moe.whole && a.moe.waiting <= b.moe.waiting && a.heads <= b.heads &&
         a.heads_waiting <= b.heads_waiting && a.chunks <= b.chunks;
}

void add_moment(std::vector<HeldLayers>& moments, const HeldLayers& held) {
  for (const HeldLayers& other : moments) {
    if (holds_less(held, other)) return;
  }
  std::erase_if(moments, [&held](const HeldLayers& other) { return holds_less(other, held); });
  moments.push_back(held);
}

}  // namespace

PipelineCut cut_pipeline(const spec::RunSpec& spec) {
  const PipelineShape shape = pipeline_shape(spec);
  PipelineCut cut;
  cut.kind_of_link.resize(static_cast<std::size_t>(shape.num_links()));
  for (int stage = 0; stage < shape.num_stages; ++stage) {
    const std::vector<StageChunk> chunks = stage_chunks(spec, stage);
    cut.kind_of_stage.push_back(
        index_of(cut.stage_kinds, {stage_parts(spec, stage), num_stage_layers(chunks)}));
    for (const StageChunk& chunk : chunks) {
      cut.kind_of_link[static_cast<std::size_t>(chunk.link)] =
          index_of(cut.link_kinds, model_piece(spec.model, chunk));
    }
  }
  return cut;
}

HeldMoments held_moments(const spec::RunSpec& spec, const PipelineCut& cut) {
  const PipelineSchedule schedule = make_schedule(spec);
  HeldMoments moments(cut.stage_kinds.size());
  for (std::size_t stage = 0; stage < schedule.stages.size(); ++stage) {
    const std::vector<StageChunk> chunks = stage_chunks(spec, static_cast<int>(stage));
    std::vector<LayerMix> layers;
    for (const StageChunk& chunk : chunks)
      layers.push_back(layer_mix(spec.model, chunk.layers));
    std::vector<HeldLayers>& found = moments[static_cast<std::size_t>(cut.kind_of_stage[stage])];
    visit_stash(schedule.stages[stage], schedule.shape.num_chunks,
                [&](const std::vector<ChunkStash>& stash) {
                  HeldLayers held;
                  for (std::size_t i = 0; i < chunks.size(); ++i)
                    add_held(held, stash[i], layers[i], chunks[i].has_head);
                  add_moment(found, held);
                });
  }
  return moments;
}

}  // namespace tera::plan
