#include "core/plan/rank_mesh.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include <fmt/format.h>

namespace tera::plan {

RankGroup RankGroup::part(int begin, int every, int count) const {
  const int last = begin + (count - 1) * every;
  if (run == 0 || begin / run == last / run) return {(*this)[begin], stride * every, count};
  if (every % run == 0) return {(*this)[begin], every / run * jump, count};
  if (run % every == 0 && begin % run < every)
    return {(*this)[begin], stride * every, count, run / every, jump};
  return {first, stride, count, run, jump, begin, every};
}

int axis_size(const spec::ParallelLayout& layout, Axis axis) {
  switch (axis) {
    case Axis::tensor:
      return layout.tensor_parallel_size;
    case Axis::context:
      return layout.context_parallel_size;
    case Axis::data:
      return layout.data_parallel_size;
    case Axis::pipeline:
      return layout.pipeline_parallel_size;
    case Axis::expert_tensor:
      return layout.expert_tensor_parallel_size;
    case Axis::expert:
      return layout.expert_parallel_size;
    case Axis::expert_data:
      break;
  }
  return layout.tensor_parallel_size * layout.context_parallel_size * layout.data_parallel_size /
         (layout.expert_parallel_size * layout.expert_tensor_parallel_size);
}

Result<RankMesh> RankMesh::make(const spec::ParallelLayout& layout) {
  const std::int64_t sizes[] = {layout.tensor_parallel_size, layout.context_parallel_size,
                                layout.data_parallel_size,   layout.pipeline_parallel_size,
                                layout.expert_parallel_size, layout.expert_tensor_parallel_size};
  std::int64_t product = 1;
  for (const std::int64_t size : sizes) {
    if (size < 1) return fail(ErrorCode::invalid_input, "layout: every size must be at least 1");
  }
  for (int axis = 0; axis < 4; ++axis) {
    product *= sizes[axis];
    if (product > std::numeric_limits<int>::max()) {
      return fail(ErrorCode::invalid_input, "layout: more than 2,147,483,647 ranks",
                  "lower layout.data_parallel_size");
    }
  }
  const std::int64_t inner =
      std::int64_t{layout.tensor_parallel_size} * layout.context_parallel_size;
  const std::int64_t stage = inner * layout.data_parallel_size;
  const std::int64_t folded =
      std::int64_t{layout.expert_tensor_parallel_size} * layout.expert_parallel_size;
  if (stage % folded != 0) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("layout.expert_parallel_size: expert_tensor x expert parallel size = {} "
                    "does not divide the {} ranks of a pipeline stage",
                    folded, stage),
        "use a divisor of tensor x context x data parallel size");
  }
  for (const std::int64_t replicas :
       {std::int64_t{layout.context_parallel_size} * layout.data_parallel_size, stage / folded}) {
    if (layout.zero_replicas >= 1 && replicas % layout.zero_replicas == 0) continue;
    return fail(ErrorCode::invalid_input,
                fmt::format("layout.zero_replicas: {} does not divide {} replicas",
                            layout.zero_replicas, replicas),
                "use 1");
  }
  RankMesh mesh;
  mesh.num_copies_ = layout.zero_replicas;
  const auto set = [&mesh](Axis axis, std::int64_t size, std::int64_t stride) {
    mesh.axes_[static_cast<std::size_t>(axis)] = {static_cast<int>(size), static_cast<int>(stride)};
  };
  set(Axis::tensor, layout.tensor_parallel_size, 1);
  set(Axis::context, layout.context_parallel_size, layout.tensor_parallel_size);
  set(Axis::data, layout.data_parallel_size, inner);
  // Neighbours of one stage. Both views of them are whole in a block, whatever lies between blocks.
  const bool in_turns = layout.rank_order == spec::RankOrder::tp_cp_ep_pp_dp;
  set(Axis::pipeline, layout.pipeline_parallel_size,
      in_turns && layout.pipeline_parallel_size > 1 ? std::lcm(inner, folded) : stage);
  set(Axis::expert_tensor, layout.expert_tensor_parallel_size, 1);
  set(Axis::expert, layout.expert_parallel_size, layout.expert_tensor_parallel_size);
  set(Axis::expert_data, stage / folded, folded);
  mesh.world_size_ = static_cast<int>(product);
  return mesh;
}

int RankMesh::stage_rank(int rank) const {
  return rank % block() + rank / (block() * size(Axis::pipeline)) * block();
}

// The ranks stage_first, stage_first + stride, ... of the stage of `rank`.
RankGroup RankMesh::placed(int rank, int stage_first, int stride, int size) const {
  const int next = block() * this->size(Axis::pipeline);  // block of the stage
  const int first = coordinate(rank, Axis::pipeline) * block() + stage_first % block() +
                    stage_first / block() * next;
  const int run = std::clamp(block() / stride, 1, size);
  if (run == size) return {first, stride, size};
  if (run == 1) return {first, stride / block() * next, size};
  return {first, stride, size, run, next};
}

RankGroup RankMesh::group(int rank, Axis axis) const {
  const int before = coordinate(rank, axis) * stride(axis);
  if (axis == Axis::pipeline) return {rank - before, stride(axis), size(axis)};
  return placed(rank, stage_rank(rank) - before, stride(axis), size(axis));
}

RankGroup RankMesh::group(int rank, Axis inner, Axis outer) const {
  const int before =
      coordinate(rank, inner) * stride(inner) + coordinate(rank, outer) * stride(outer);
  return placed(rank, stage_rank(rank) - before, stride(inner), size(inner) * size(outer));
}

int RankMesh::num_replicas(bool experts) const {
  return experts ? size(Axis::expert_data) : size(Axis::context) * size(Axis::data);
}

int RankMesh::replica(int rank, bool experts) const {
  if (experts) return coordinate(rank, Axis::expert_data);
  return coordinate(rank, Axis::context) + size(Axis::context) * coordinate(rank, Axis::data);
}

RankGroup RankMesh::replicas(int rank, bool experts) const {
  return experts ? group(rank, Axis::expert_data) : group(rank, Axis::context, Axis::data);
}

RankGroup RankMesh::shards(int rank, bool experts) const {
  const int size = num_shards(experts);
  return replicas(rank, experts).part(replica(rank, experts) / size * size, 1, size);
}

RankGroup RankMesh::copies(int rank, bool experts) const {
  const int step = num_shards(experts);
  return replicas(rank, experts).part(replica(rank, experts) % step, step, num_copies_);
}

std::string RankMesh::describe(int rank) const {
  return fmt::format("rank {} (tp {} cp {} dp {} pp {} | ep {})", rank,
                     coordinate(rank, Axis::tensor), coordinate(rank, Axis::context),
                     coordinate(rank, Axis::data), coordinate(rank, Axis::pipeline),
                     coordinate(rank, Axis::expert));
}

}  // namespace tera::plan
