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
// of the pipeline; alone between them). Arithmetic alone.
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
    return experts ? (*this)[plan::Axis::expert_data] : *groups_[plan::kNumAxes];
  }
  // First and last stage, where both may hold the embedding matrix.
  Communicator& embedding() { return *groups_.back(); }

  const plan::RankMesh& mesh() const { return mesh_; }
  int rank() const { return world_->rank(); }
  int coordinate(plan::Axis axis) const { return mesh_.coordinate(rank(), axis); }

 private:
  plan::RankMesh mesh_;
  Communicator* world_;
  std::vector<std::unique_ptr<Communicator>> groups_;  // as mesh_groups() lists them
};

}  // namespace tera::comm
