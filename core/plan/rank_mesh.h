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
// lie between.
struct RankGroup {
  int first = 0;
  int stride = 1;
  int size = 1;
  int runs = 1;  // of size / runs ranks each
  int jump = 0;  // from the first rank of a run to that of the next
  int operator[](int i) const {
    const int run = size / runs;
    return first + i % run * stride + i / run * jump;
  }
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
};

}  // namespace tera::plan
