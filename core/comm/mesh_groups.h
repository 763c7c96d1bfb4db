// The communicators of a rank: one for each axis of the mesh, and for the ranks that hold the same
// dense parameters. Groups of one are there too, so that no caller asks whether an axis is used.
#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "core/comm/communicator.h"
#include "core/plan/rank_mesh.h"

namespace tera::comm {

struct MeshGroup {
  std::string_view name;  // of the axis, as traffic counts it
  plan::RankGroup ranks;  // of the world
};
// Of one rank, in the order in which every rank makes them: the axes as plan::Axis lists them,
// "tensor" to "expert_data", then "replica" (context and data together) and "embedding" (the ends
// of the pipeline; alone between them). With several copies of what ZeRO shards also "shard" and
// "expert_shard" (one copy), "copy" and "expert_copy" (one shard of each). Arithmetic alone.
std::vector<MeshGroup> mesh_groups(const plan::RankMesh& mesh, int rank);

class MeshGroups {
 public:
  // Collective over the world, which has as many ranks as the mesh and outlives this.
  MeshGroups(const plan::RankMesh& mesh, Communicator& world);

  Communicator& world() { return *world_; }
  Communicator& operator[](plan::Axis axis) { return *groups_[static_cast<std::size_t>(axis)]; }
  // Ranks that hold the same parameters: dense ones over context and data, experts over
  // expert_data.
  Communicator& replicas(bool experts) {
    return experts ? (*this)[plan::Axis::expert_data] : *groups_[kReplica];
  }
  // Of those, the ranks that share one copy among them; the replicas where there is one.
  Communicator& shards(bool experts) {
    return has_copies() ? *groups_[kShard + (experts ? 1 : 0)] : replicas(experts);
  }
  // And those that hold the same shard, where there are several copies.
  bool has_copies() const { return mesh_.num_copies() > 1; }
  Communicator& copies(bool experts) { return *groups_.at(kCopy + (experts ? 1 : 0)); }
  // First and last stage, where both may hold the embedding matrix.
  Communicator& embedding() { return *groups_[kEmbedding]; }

  const plan::RankMesh& mesh() const { return mesh_; }
  int rank() const { return world_->rank(); }
  int coordinate(plan::Axis axis) const { return mesh_.coordinate(rank(), axis); }

 private:
  // Places of groups, dense ones before experts.
  static constexpr std::size_t kReplica = plan::kNumAxes;
  static constexpr std::size_t kEmbedding = kReplica + 1;
  static constexpr std::size_t kShard = kEmbedding + 1;
  static constexpr std::size_t kCopy = kShard + 2;

  plan::RankMesh mesh_;
  Communicator* world_;
  std::vector<std::unique_ptr<Communicator>> groups_;  // as mesh_groups() lists them
};

}  // namespace tera::comm
