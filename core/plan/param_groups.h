// Parameters of a stage, in groups for people: elements, bytes and update work of one rank.
#pragma once
#include <array>
#include <cstddef>
#include <string_view>

#include "core/plan/optimizer_state.h"
#include "core/plan/placement.h"
#include "core/plan/rank_mesh.h"
#include "core/plan/state_bytes.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

inline constexpr std::array<std::string_view, 8> kParamGroups = {
    "embedding",      "attention", "dense feed-forward", "experts",
    "shared experts", "router",    "norms and biases",   "head"};
inline constexpr std::size_t kExpertGroup = 3;
inline constexpr std::size_t kRouterGroup = 5;
inline constexpr std::size_t kNormGroup = 6;

struct ParamGroup {
  double all = 0;         // elements of the stage over all its ranks, each counted once
  double local = 0;       // on one rank, before ZeRO
  double trainable = 0;   // of those
  StateBytes state = {};  // of local
  UpdateWork update = {};
  double update_workspace = 0;  // bytes, of the tensor that needs the most
  double shards = 1;            // of which ZeRO gives a rank one
};
using ParamGroups = std::array<ParamGroup, kParamGroups.size()>;

// What a stage holds of the model. Most stages are alike, and what follows from the parts alone is
// the same for them.
struct StageParts {
  LayerMix layers;
  bool has_embedding = false;
  bool has_head = false;  // and multi-token prediction
  bool copies_embedding = false;
  bool operator==(const StageParts&) const = default;
};
StageParts stage_parts(const spec::RunSpec& spec, int stage);

// Of each part that a stage may hold, once.
struct ModelGroups {
  ParamGroups dense_layer = {};
  ParamGroups moe_layer = {};
  ParamGroups embedding = {};
  ParamGroups embedding_copy = {};
  ParamGroups head = {};
};
ModelGroups model_groups(const spec::RunSpec& spec, const RankMesh& mesh);
ParamGroups stage_groups(const ModelGroups& model, const StageParts& parts);

// Trainable elements one rank keeps gradients for, those it updates (its ZeRO shard), and the work
// of the update.
struct LocalParams {
  double dense = 0;
  double experts = 0;
  double updated = 0;
  double update_bytes = 0;
  double update_flops = 0;
};
LocalParams local_params(const ParamGroups& groups, int zero_stage);

}  // namespace tera::plan
