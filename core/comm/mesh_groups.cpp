#include "core/comm/mesh_groups.h"

#include <string>

#include "core/base/check.h"

namespace tera::comm {

std::vector<MeshGroup> mesh_groups(const plan::RankMesh& mesh, int rank) {
  constexpr std::string_view kNames[plan::kNumAxes] = {
      "tensor", "context", "data", "pipeline", "expert_tensor", "expert", "expert_data"};
  std::vector<MeshGroup> groups;
  for (int axis = 0; axis < plan::kNumAxes; ++axis)
    groups.push_back({kNames[axis], mesh.group(rank, static_cast<plan::Axis>(axis))});
  groups.push_back({"replica", mesh.replicas(rank, false)});
  const plan::RankGroup stages = mesh.group(rank, plan::Axis::pipeline);
  const int stage = mesh.coordinate(rank, plan::Axis::pipeline);
  const bool at_end = stages.size > 1 && (stage == 0 || stage == stages.size - 1);
  groups.push_back(
      {"embedding", at_end ? plan::RankGroup{.first = stages[0],
                                             .stride = stages[stages.size - 1] - stages[0],
                                             .size = 2}
                           : plan::RankGroup{.first = rank}});
  if (mesh.num_copies() == 1) return groups;
  groups.push_back({"shard", mesh.shards(rank, false)});
  groups.push_back({"expert_shard", mesh.shards(rank, true)});
  groups.push_back({"copy", mesh.copies(rank, false)});
  groups.push_back({"expert_copy", mesh.copies(rank, true)});
  return groups;
}

MeshGroups::MeshGroups(const plan::RankMesh& mesh, Communicator& world)
    : mesh_(mesh), world_(&world) {
  TERA_CHECK(world.size() == mesh.world_size(), "a world of {} ranks for a mesh of {}",
             world.size(), mesh.world_size());
  for (const MeshGroup& group : mesh_groups(mesh, world.rank())) {
    groups_.push_back(world.split(group.ranks[0], world.rank(), std::string(group.name)));
    const std::vector<int>& made = groups_.back()->group().ranks;
    TERA_CHECK(std::ssize(made) == group.ranks.size, "{} of rank {}: {} ranks, expected {}",
               group.name, world.rank(), made.size(), group.ranks.size);
  }
}

}  // namespace tera::comm
