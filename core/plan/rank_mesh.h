// RankMesh: rank <-> coordinates, by arithmetic. The same object on a laptop and on 16,384 GPUs.
//
// Rank order, fastest first: dense view tensor, context, data, pipeline; the same ranks of a stage
// seen by experts: expert_tensor, expert, expert_data (Megatron's parallel folding).
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

struct RankGroup {  // every group the engine needs is an arithmetic progression of ranks
  int first = 0;
  int stride = 1;
  int size = 1;
  int operator[](int i) const { return first + stride * i; }
  bool operator==(const RankGroup&) const = default;
};

class RankMesh {
 public:
  static Result<RankMesh> make(const spec::ParallelLayout& layout);

  int size(Axis axis) const { return axes_[static_cast<std::size_t>(axis)].size; }
  int stride(Axis axis) const { return axes_[static_cast<std::size_t>(axis)].stride; }
  int coordinate(int rank, Axis axis) const { return rank / stride(axis) % size(axis); }
  RankGroup group(int rank, Axis axis) const;
  // Group over adjacent axes, inner first, e.g. (context, data): still an arithmetic progression.
  RankGroup group(int rank, Axis inner, Axis outer) const;
  int world_size() const { return world_size_; }
  // "rank 37 (tp 1 cp 0 dp 4 pp 2 | ep 9)"
  std::string describe(int rank) const;

 private:
  struct AxisSize {
    int size = 1;
    int stride = 1;
  };
  std::array<AxisSize, kNumAxes> axes_;
  int world_size_ = 1;
};

}  // namespace tera::plan
