// RankMesh: rank <-> coordinates, by arithmetic. The same object on a laptop and on 16,384 GPUs.
//
// The ranks of a stage, fastest first: dense view tensor, context, data; the same ranks seen by
// experts: expert_tensor, expert, expert_data (Megatron's parallel folding). layout.rank_order says
// how stages lie among each other: one behind the other, or in turns, a block of neighbours each,
// as small as tensor, context and expert groups allow.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "core/base/result.h"
#include "core/spec/parallel_layout.h"

namespace tera::plan {

enum class Axis : std::uint8_t {
  tensor,
  context,
  data,
  pipeline,
  expert_tensor,
  expert,
  expert_data
};
inline constexpr int kNumAxes = 7;
// Ranks along an axis of a layout that is valid.
int axis_size(const spec::ParallelLayout& layout, Axis axis);

// Every group is a run of equally spaced ranks, or several such runs where blocks of other stages
// lie between; or every so many of those.
struct RankGroup {
  int first = 0;
  int stride = 1;
  int size = 1;
  int run = 0;   // ranks side by side; 0: all of them
  int jump = 0;  // from the first rank of a run to that of the next
  int skip = 0;  // places left out before the first member
  int step = 1;  // from a member's place to the next one's
  int operator[](int i) const {
    const int place = skip + i * step;
    return run == 0 ? first + place * stride : first + place % run * stride + place / run * jump;
  }
  // Members begin, begin + every, ... of a group that leaves none out.
  RankGroup part(int begin, int every, int count) const;
  bool operator==(const RankGroup&) const = default;
};

class RankMesh {
 public:
  static Result<RankMesh> make(const spec::ParallelLayout& layout);

  int size(Axis axis) const { return axes_[static_cast<std::size_t>(axis)].size; }
  // Of neighbours along an axis: among the ranks of a stage, or of stages among all ranks.
  int stride(Axis axis) const { return axes_[static_cast<std::size_t>(axis)].stride; }
  int coordinate(int rank, Axis axis) const {
    return (axis == Axis::pipeline ? rank : stage_rank(rank)) / stride(axis) % size(axis);
  }
  RankGroup group(int rank, Axis axis) const;
  // Group over adjacent axes of a stage, inner first, e.g. (context, data).
  RankGroup group(int rank, Axis inner, Axis outer) const;
  // Ranks that hold the same parameters: dense ones over context and data, experts over
  // expert_data.
  RankGroup replicas(int rank, bool experts) const;
  // Runs of neighbours among them hold a copy each of what ZeRO shards: layout.zero_replicas.
  int num_copies() const { return num_copies_; }
  int num_shards(bool experts) const { return num_replicas(experts) / num_copies_; }
  RankGroup shards(int rank, bool experts) const;  // of the copy of this rank
  RankGroup copies(int rank, bool experts) const;  // of the shard of this rank
  int num_replicas(bool experts) const;
  int replica(int rank, bool experts) const;  // which of them it is
  int world_size() const { return world_size_; }
  // "rank 37 (tp 1 cp 0 dp 4 pp 2 | ep 9)"
  std::string describe(int rank) const;

 private:
  struct AxisSize {
    int size = 1;
    int stride = 1;
  };
  int block() const { return stride(Axis::pipeline); }
  int stage_rank(int rank) const;  // which of the ranks of its stage it is
  RankGroup placed(int rank, int stage_first, int stride, int size) const;

  std::array<AxisSize, kNumAxes> axes_;
  int world_size_ = 1;
  int num_copies_ = 1;
};

}  // namespace tera::plan
