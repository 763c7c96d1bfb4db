#include "core/plan/placement.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace tera::plan {
namespace {

// Layers of a link of the pipeline. Where the ends count, they are the first and the last part.
LayerRange link_layers(const spec::RunSpec& spec, int num_links, int link) {
  const spec::RunSpec::PipelineParts parts = spec.pipeline_parts();
  const LayerRange range = part_layers(parts.total(), num_links, link);
  return {std::clamp(range.first - parts.before, 0, parts.layers),
          std::clamp(range.last - parts.before, 0, parts.layers)};
}

}  // namespace

LayerRange part_layers(int num_layers, int num_parts, int part) {
  const int each = num_layers / num_parts;
  const int extra = num_layers % num_parts;
  const int first = part * each + std::min(part, extra);
  return {first, first + each + (part < extra ? 1 : 0)};
}

std::vector<StageChunk> stage_chunks(const spec::RunSpec& spec, int stage) {
  const PipelineShape shape = pipeline_shape(spec);
  std::vector<StageChunk> chunks;
  for (int chunk = 0; chunk < shape.num_chunks; ++chunk) {
    const int link = shape.link({stage, chunk});
    chunks.push_back({.link = link,
                      .layers = link_layers(spec, shape.num_links(), link),
                      .has_embedding = link == 0,
                      .has_head = link + 1 == shape.num_links()});
  }
  return chunks;
}

int num_stage_layers(const std::vector<StageChunk>& chunks) {
  int sum = 0;
  for (const StageChunk& chunk : chunks)
    sum += chunk.layers.size();
  return sum;
}

LayerMix layer_mix(const spec::ModelConfig& model, const LayerRange& range) {
  const int moe = model.num_moe_layers(range.last) - model.num_moe_layers(range.first);
  return {range.size() - moe, moe};
}

LayerMix layer_mix(const spec::ModelConfig& model, const std::vector<StageChunk>& chunks) {
  LayerMix sum;
  for (const StageChunk& chunk : chunks) {
    const LayerMix mix = layer_mix(model, chunk.layers);
    sum.dense += mix.dense;
    sum.moe += mix.moe;
  }
  return sum;
}

ModelPiece model_piece(const spec::ModelConfig& model, const StageChunk& chunk) {
  return {layer_mix(model, chunk.layers), chunk.has_embedding, chunk.has_head};
}

bool shares_embedding(const spec::ModelConfig& model) {
  return model.tie_embeddings || model.num_mtp_layers > 0;
}

bool copies_embedding(const spec::ModelConfig& model, const std::vector<StageChunk>& chunks) {
  const auto any = [&chunks](bool StageChunk::*has) {
    return std::any_of(chunks.begin(), chunks.end(),
                       [has](const StageChunk& chunk) { return chunk.*has; });
  };
  return shares_embedding(model) && any(&StageChunk::has_head) && !any(&StageChunk::has_embedding);
}

bool is_held(const ParamSpec& param,
             const spec::ModelConfig& model,
             const std::vector<StageChunk>& chunks) {
  const int layer = param.layer;
  return std::any_of(chunks.begin(), chunks.end(), [&](const StageChunk& chunk) {
    if (layer >= model.num_layers) return chunk.has_head;
    if (layer >= 0) return layer >= chunk.layers.first && layer < chunk.layers.last;
    return param.kind == ParamKind::embedding ? chunk.has_embedding : chunk.has_head;
  });
}

int layer_of_kind(const spec::ModelConfig& model, bool moe) {
  return moe ? model.num_dense_layers + model.moe_layer_interval - 1 : 0;
}

double local_elements(const ParamSpec& param, const spec::RunSpec& spec) {
  auto elements = static_cast<double>(param.num_elements());
  for (const ParamSplit& split : param.splits) {
    const double whole = static_cast<double>(param.shape[static_cast<std::size_t>(split.dim)]);
    const int ranks = axis_size(spec.layout, split.axis);
    elements = elements / whole * static_cast<double>(split.local_extent(ranks));
  }
  return elements;
}

double local_tokens(const spec::RunSpec& spec) {
  return double{1} * spec.layout.micro_batch_size * spec.training.seq_length /
         spec.layout.context_parallel_size;
}

double ranks_per_device(const spec::RunSpec& spec) {
  if (!spec.cluster.device.is_cpu) return 1;
  return std::max(1.0, std::ceil(static_cast<double>(spec.layout.world_size()) /
                                 static_cast<double>(spec.cluster.num_devices())));
}

GroupShape group_shape(const RankGroup& group, const spec::RunSpec& spec) {
  const double ranks_per_node = ranks_per_device(spec) * spec.cluster.devices_per_node;
  GroupShape shape{.size = double{1} * group.size};
  // Where members lie unevenly over runs: as many in each as in the mean.
  const double run =
      group.run == 0 ? shape.size : std::max(1.0, double{1} * group.run / group.step);
  const double runs = std::ceil(shape.size / run);
  shape.per_node = std::clamp(std::floor(ranks_per_node / (group.stride * group.step)), 1.0, run);
  if (runs > 1 && shape.per_node == run) {
    const double jump = group.jump * std::max(1.0, double{1} * group.step / group.run);
    shape.per_node *= std::clamp(std::floor(ranks_per_node / jump), 1.0, runs);
  }
  shape.num_nodes = std::ceil(shape.size / shape.per_node);
  const double reach = std::floor((group[group.size - 1] - group.first) / ranks_per_node) + 1;
  const int most = spec.cluster.nodes_per_switch;
  shape.crosses_switch = most > 0 && std::max(shape.num_nodes, reach) > most;
  return shape;
}

std::string group_text(const GroupShape& group) {
  return fmt::format("{:.0f} ranks, {:.0f} in a node", group.size, group.per_node);
}

bool places_alike(const spec::RunSpec& spec, spec::RankOrder a, spec::RankOrder b) {
  const auto shapes = [&spec](spec::RankOrder order) {
    spec::ParallelLayout layout = spec.layout;
    layout.rank_order = order;
    const RankMesh mesh = *RankMesh::make(layout);
    std::vector<GroupShape> found;
    for (int axis = 0; axis < kNumAxes; ++axis)
      found.push_back(group_shape(mesh.group(0, static_cast<Axis>(axis)), spec));
    for (const bool experts : {false, true}) {
      for (const RankGroup& group :
           {mesh.replicas(0, experts), mesh.shards(0, experts), mesh.copies(0, experts)})
        found.push_back(group_shape(group, spec));
    }
    return found;
  };
  return shapes(a) == shapes(b);
}

}  // namespace tera::plan
