// Sources: megatron/training/arguments.py of core_v0.13;
// torchtitan/distributed/pipeline_parallel.py of 0.2.
#include "core/spec/interchange/pipeline_chunks.h"

#include <algorithm>

#include <fmt/format.h>

namespace tera::spec {
namespace {

constexpr const char* kTitanLayers = "parallelism.pipeline_parallel_layers_per_stage";

bool has_one_chunk(const ParallelLayout& layout) {
  return layout.schedule != ScheduleKind::interleaved && !runs_in_v(layout.schedule);
}

}  // namespace

void read_megatron_chunks(Importer& in) {
  constexpr const char* kCount = "--num-virtual-stages-per-pipeline-rank";
  constexpr const char* kLayers = "--num-layers-per-virtual-pipeline-stage";
  ParallelLayout& layout = in.spec().layout;
  if (!in.has(kCount)) layout.virtual_stages = 1;
  if (const auto each = in.integer(kLayers)) {
    if (in.has(kCount)) {
      return in.error(kLayers,
                      fmt::format("contradicts {}: both say how many chunks a rank has", kCount),
                      "remove one of them");
    }
    const std::int64_t layers = in.spec().model.num_layers;
    const std::int64_t stages = layout.pipeline_parallel_size;
    if (*each < 1 || *each > layers || stages < 1 || layers % (stages * *each) != 0) {
      return in.error(kLayers,
                      fmt::format("{} x --pipeline-model-parallel-size {} does not divide "
                                  "--num-layers {}",
                                  *each, stages, layers),
                      fmt::format("or say how many chunks a rank has with {}", kCount));
    }
    layout.virtual_stages = static_cast<int>(layers / (stages * *each));
  }
  layout.schedule =
      layout.virtual_stages > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  if (layout.virtual_stages > 1 && layout.pipeline_parallel_size == 1) {
    in.error(in.has(kCount) ? kCount : kLayers,
             fmt::format("{} chunks per rank, but --pipeline-model-parallel-size is 1",
                         layout.virtual_stages),
             "remove it");
  }
}

void read_torchtitan_chunks(Importer& in) {
  ParallelLayout& layout = in.spec().layout;
  if (layout.pipeline_parallel_size == 1 && !has_one_chunk(layout))
    layout.schedule = ScheduleKind::one_f_one_b;  // nothing is scheduled there
  layout.virtual_stages = has_one_chunk(layout) ? 1 : 2;
  const auto each = in.integer(kTitanLayers);
  if (!each) return;
  const std::int64_t less =
      in.integer("parallelism.pipeline_parallel_first_stage_less_layers").value_or(1) +
      in.integer("parallelism.pipeline_parallel_last_stage_less_layers").value_or(1);
  const std::int64_t layers = in.spec().model.num_layers + std::clamp<std::int64_t>(less, 0, 1000);
  const std::int64_t stages = std::max(1, layout.pipeline_parallel_size);
  const std::int64_t chunks = *each > 0 ? (layers + *each - 1) / *each : 0;
  if (chunks == 0 || chunks % stages != 0) {
    return in.error(kTitanLayers,
                    fmt::format("got {}: {} chunks of {} layers, embedding and head counted, are "
                                "not a multiple of parallelism.pipeline_parallel_degree {}",
                                *each, chunks, layers, stages),
                    "remove it for as many chunks as the schedule usually has");
  }
  layout.virtual_stages = static_cast<int>(chunks / stages);
}

void write_torchtitan_chunks(const RunSpec& spec, SettingList& out) {
  const ParallelLayout& layout = spec.layout;
  if (layout.schedule != ScheduleKind::interleaved || layout.virtual_stages == 2) return;
  const std::int64_t chunks = std::int64_t{layout.pipeline_parallel_size} * layout.virtual_stages;
  constexpr int kEnds = 2;  // embedding and head
  out.push_back(whole_setting(kTitanLayers, (spec.model.num_layers + kEnds + chunks - 1) / chunks));
}

}  // namespace tera::spec
