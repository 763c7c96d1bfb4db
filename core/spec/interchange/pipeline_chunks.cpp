// Sources: megatron/training/arguments.py of core_v0.13 and of 2025;
// torchtitan/distributed/pipeline_parallel.py of 0.2.
#include "core/spec/interchange/pipeline_chunks.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/spec/interchange/megatron_layout.h"

namespace tera::spec {
namespace {

constexpr const char* kTitanLayers = "parallelism.pipeline_parallel_layers_per_stage";
constexpr const char* kTitanFirst = "parallelism.pipeline_parallel_first_stage_less_layers";
constexpr const char* kTitanLast = "parallelism.pipeline_parallel_last_stage_less_layers";
constexpr const char* kMegatronFirst = "--account-for-embedding-in-pipeline-split";
constexpr const char* kMegatronLast = "--account-for-loss-in-pipeline-split";
constexpr const char* kMegatronLayout = "--pipeline-model-parallel-layout";
constexpr int kEnds = 2;  // embedding and head

bool has_one_chunk(const ParallelLayout& layout) {
  return layout.schedule != ScheduleKind::interleaved && !runs_in_v(layout.schedule);
}

// Layers of the model in each chunk along the pipeline.
std::vector<int> chunk_layers(const RunSpec& spec, int num_chunks) {
  const RunSpec::PipelineParts parts = spec.pipeline_parts();
  const int size = parts.total() / num_chunks;
  const int rest = parts.total() % num_chunks;  // the first chunks have one more
  std::vector<int> layers;
  for (int chunk = 0; chunk < num_chunks; ++chunk) {
    const int first = chunk * size + std::min(chunk, rest) - parts.before;
    const int last = first + size + (chunk < rest ? 1 : 0);
    layers.push_back(std::clamp(last, 0, parts.layers) - std::clamp(first, 0, parts.layers));
  }
  return layers;
}

// Chunks of a layout: as many, and shared out as here if ends do or do not count makes it so.
void read_layout(Importer& in) {
  RunSpec& spec = in.spec();
  ParallelLayout& layout = spec.layout;
  const Result<ChunkLayers> theirs =
      parse_chunk_layers(in.text(kMegatronLayout).value_or(""), spec.model);
  if (!theirs) return in.error(kMegatronLayout, theirs.error().message, theirs.error().hint);
  const int stages = std::max(1, layout.pipeline_parallel_size);
  const int chunks = static_cast<int>(theirs->layers.size());
  if (chunks % stages != 0) {
    return in.error(kMegatronLayout,
                    fmt::format("{} chunks are not a multiple of --pipeline-model-parallel-size {}",
                                chunks, stages));
  }
  layout.virtual_stages = chunks / stages;
  for (const bool ends : {true, false}) {
    layout.ends_count_as_layers = ends;
    if (chunk_layers(spec, chunks) == theirs->layers && theirs->usual_ends) return;
  }
  in.leave_out(kMegatronLayout,
               "layers are shared out evenly over chunks here, the ends counted or "
               "not");
}

}  // namespace

bool counts_megatron_chunks(const RunSpec& spec) {
  return spec.layout.schedule == ScheduleKind::interleaved &&
         !(spec.layout.ends_count_as_layers && spec.model.num_mtp_layers > 0);
}

void read_megatron_chunks(Importer& in) {
  constexpr const char* kCount = "--num-virtual-stages-per-pipeline-rank";
  constexpr const char* kLayers = "--num-layers-per-virtual-pipeline-stage";
  ParallelLayout& layout = in.spec().layout;
  const bool first = in.flag(kMegatronFirst);
  const bool last = in.flag(kMegatronLast);
  layout.ends_count_as_layers = first && last && in.spec().model.num_mtp_layers == 0;
  if ((first || last) && !layout.ends_count_as_layers) {
    in.leave_out(first ? kMegatronFirst : kMegatronLast,
                 "both ends of the pipeline count as layers here, or none; with multi-token "
                 "prediction the embedding does not");
  }
  if (!in.has(kCount)) layout.virtual_stages = 1;
  if (in.has(kMegatronLayout)) {
    for (const char* other : {kCount, kLayers, kMegatronFirst, kMegatronLast}) {
      if (!in.has(other)) continue;
      return in.error(other, fmt::format("contradicts {}, which says all of it", kMegatronLayout),
                      "remove one of them");
    }
    read_layout(in);
  }
  if (const auto each = in.integer(kLayers)) {
    if (in.has(kCount)) {
      return in.error(kLayers,
                      fmt::format("contradicts {}: both say how many chunks a rank has", kCount),
                      "remove one of them");
    }
    const std::int64_t layers = in.spec().pipeline_parts().total();
    const std::int64_t stages = layout.pipeline_parallel_size;
    if (*each < 1 || *each > layers || stages < 1 || layers % (stages * *each) != 0) {
      return in.error(kLayers,
                      fmt::format("{} x --pipeline-model-parallel-size {} does not divide "
                                  "--num-layers {}{}",
                                  *each, stages, layers,
                                  layout.ends_count_as_layers ? ", both ends counted" : ""),
                      fmt::format("or say how many chunks a rank has with {}", kCount));
    }
    layout.virtual_stages = static_cast<int>(layers / (stages * *each));
  }
  layout.schedule =
      layout.virtual_stages > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  if (layout.virtual_stages > 1 && layout.pipeline_parallel_size == 1) {
    in.error(in.has(kCount)    ? kCount
             : in.has(kLayers) ? kLayers
                               : kMegatronLayout,
             fmt::format("{} chunks per rank, but --pipeline-model-parallel-size is 1",
                         layout.virtual_stages),
             "remove it");
  }
}

void write_megatron_chunks(const RunSpec& spec, SettingList& out) {
  if (!spec.layout.ends_count_as_layers) return;
  if (spec.model.num_mtp_layers > 0) {  // whose ends the flags count otherwise
    const int chunks = spec.layout.pipeline_parallel_size * spec.layout.virtual_stages;
    out.push_back(
        text_setting(kMegatronLayout, chunk_layers_text(chunk_layers(spec, chunks), spec.model)));
    return;
  }
  out.push_back(flag_setting(kMegatronFirst));
  out.push_back(flag_setting(kMegatronLast));
}

void read_torchtitan_chunks(Importer& in) {
  ParallelLayout& layout = in.spec().layout;
  if (layout.pipeline_parallel_size == 1 && !has_one_chunk(layout))
    layout.schedule = ScheduleKind::one_f_one_b;  // nothing is scheduled there
  layout.virtual_stages = has_one_chunk(layout) ? 1 : 2;
  const std::int64_t first = in.integer(kTitanFirst).value_or(1);
  const std::int64_t last = in.integer(kTitanLast).value_or(1);
  layout.ends_count_as_layers = layout.pipeline_parallel_size > 1 && (first > 0 || last > 0);
  if (layout.ends_count_as_layers && (first != 1 || last != 1)) {
    in.leave_out(first != 1 ? kTitanFirst : kTitanLast,
                 "both ends of the pipeline count as one layer each here, or as none");
  }
  const auto each = in.integer(kTitanLayers);
  if (!each) return;
  const std::int64_t less = first + last;
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
  const int ends = layout.ends_count_as_layers ? kEnds : 0;
  for (const char* key : {kTitanFirst, kTitanLast})
    out.push_back(whole_setting(key, ends / kEnds));
  if (layout.schedule != ScheduleKind::interleaved || layout.virtual_stages == 2) return;
  const std::int64_t chunks = std::int64_t{layout.pipeline_parallel_size} * layout.virtual_stages;
  out.push_back(whole_setting(kTitanLayers, (spec.model.num_layers + ends + chunks - 1) / chunks));
}

}  // namespace tera::spec
