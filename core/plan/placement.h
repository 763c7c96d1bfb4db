// Where a layout puts things: layers of a stage, the part of a tensor one rank holds, and how many
// ranks of a group sit in one node. Arithmetic shared by the memory and the time model.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/plan/param_table.h"
#include "core/plan/pipeline_schedule.h"
#include "core/plan/rank_mesh.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Layers [first, last) of a part of the model; when they do not divide, the first parts hold one
// more.
struct LayerRange {
  int first = 0;
  int last = 0;
  int size() const { return last - first; }
};
LayerRange part_layers(int num_layers, int num_parts, int part);

// What one chunk of a pipeline stage holds: a link of the chain. Stages hold virtual_stages of
// them.
struct StageChunk {
  int link = 0;
  LayerRange layers;
  bool has_embedding = false;  // first link
  bool has_head = false;       // last link, multi-token prediction with it
};
std::vector<StageChunk> stage_chunks(const spec::RunSpec& spec, int stage);
int num_stage_layers(const std::vector<StageChunk>& chunks);

// Of the layers of a range, how many are dense and how many have experts.
struct LayerMix {
  int dense = 0;
  int moe = 0;
  bool operator==(const LayerMix&) const = default;
};
LayerMix layer_mix(const spec::ModelConfig& model, const LayerRange& range);
LayerMix layer_mix(const spec::ModelConfig& model, const std::vector<StageChunk>& chunks);
// What of the model a chunk, or a whole stage, computes.
struct ModelPiece {
  LayerMix layers;
  bool has_embedding = false;
  bool has_head = false;
  bool operator==(const ModelPiece&) const = default;
};
ModelPiece model_piece(const spec::ModelConfig& model, const StageChunk& chunk);
// Whether the head, or multi-token prediction, reads the embedding matrix too.
bool shares_embedding(const spec::ModelConfig& model);
// Whether a stage holds a copy of its own of the embedding matrix: it has the head and reads it,
// but the embedding is on another stage.
bool copies_embedding(const spec::ModelConfig& model, const std::vector<StageChunk>& chunks);
// Whether one of the chunks computes with the tensor for itself, which a copy of the embedding is
// not.
bool is_held(const ParamSpec& param,
             const spec::ModelConfig& model,
             const std::vector<StageChunk>& chunks);
// A layer of the kind; the model must have one. Layers of one kind are alike.
int layer_of_kind(const spec::ModelConfig& model, bool moe);

// Elements of a tensor on one rank of its stage, before ZeRO. Split dims are rounded up; key and
// value heads are replicated when there are fewer than tensor-parallel ranks.
double local_elements(const ParamSpec& param, const spec::RunSpec& spec);
// Tokens of a micro-batch on one rank.
double local_tokens(const spec::RunSpec& spec);

// Ranks that share one device: 1 on accelerators, more when a processor runs several ranks.
double ranks_per_device(const spec::RunSpec& spec);

// How a group of ranks lies over nodes.
struct GroupShape {
  double size = 1;
  double per_node = 1;  // members in one node
  double num_nodes = 1;
  bool crosses_switch = false;  // from its first member to its last are more nodes than it has
  bool operator==(const GroupShape&) const = default;
};
GroupShape group_shape(const RankGroup& group, const spec::RunSpec& spec);
// "16 ranks, 4 in a node"
std::string group_text(const GroupShape& group);
// Whether two orders of ranks give every axis of the layout groups of the same shape: then nothing
// that is planned differs.
bool places_alike(const spec::RunSpec& spec, spec::RankOrder a, spec::RankOrder b);

}  // namespace tera::plan
