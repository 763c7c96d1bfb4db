// The legal layouts of a model on a cluster, every device used, as the product of a few lists.
// spec::validate decides what is legal; it is asked for each part alone, since its rules join
// only the axes of a part: sizes of the mesh, experts with a pipeline stage, schedule with
// micro-batches, the order of the ranks with sizes and experts (a test asks it about whole
// layouts). Of layouts that are the same under different names, such as ZeRO 1 and 0 where a copy
// is one rank, or orders of the ranks that put as many of each group into a node, one is here.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/plan/fixed_axes.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Sizes with tensor x context x data x pipeline devices.
struct MeshSizes {
  int tensor = 1;
  int context = 1;
  int data = 1;
  int pipeline = 1;
  bool sequence_parallel = false;
};
struct ExpertSizes {
  int expert = 1;
  int expert_tensor = 1;
  bool operator==(const ExpertSizes&) const = default;
};
struct ScheduleChoice {
  spec::ScheduleKind kind = spec::ScheduleKind::one_f_one_b;
  int virtual_stages = 1;
  bool ends_count_as_layers = false;
  bool operator==(const ScheduleChoice&) const = default;
};

class SearchSpace {
 public:
  // Layouts use all devices of spec.cluster.
  SearchSpace(const spec::RunSpec& spec, const FixedAxes& fixed);

  const spec::RunSpec& spec() const { return spec_; }
  const std::vector<MeshSizes>& meshes() const { return meshes_; }
  const std::vector<int>& micro_batch_sizes(int data) const;
  const std::vector<ExpertSizes>& experts(int pipeline) const;
  const std::vector<ScheduleChoice>& schedules(int pipeline, std::int64_t num_micro_batches) const;
  const std::vector<spec::RecomputeKind>& recomputes() const { return recomputes_; }
  const std::vector<int>& zero_stages(const MeshSizes& mesh, const ExpertSizes& experts) const;
  const std::vector<spec::RankOrder>& rank_orders(const MeshSizes& mesh,
                                                  const ExpertSizes& experts) const;
  // Ways to offload, nothing first where that is allowed. Every layout may have each of them.
  const std::vector<spec::Offload>& offloads() const { return offloads_; }

  // Each counted once, whatever it offloads.
  std::int64_t num_layouts() const { return num_layouts_; }
  // Parts that validation refused, by the field it names first: "refused: layout.schedule".
  const std::map<std::string, std::int64_t>& refused() const { return refused_; }
  bool contains(const spec::ParallelLayout& layout) const;
  // The mesh in the layout of the spec, and one of everything else, nothing offloaded.
  spec::ParallelLayout layout_of(const MeshSizes& mesh) const;

 private:
  bool is_legal(const spec::ParallelLayout& layout);
  int max_links() const;
  bool ends_matter(const spec::ParallelLayout& layout);
  void list_meshes();
  void list_parts(const MeshSizes& mesh);
  void list_experts(const MeshSizes& mesh);
  void list_schedules(const spec::ParallelLayout& layout);
  void list_rank_orders(const MeshSizes& mesh);
  void list_offloads();
  void count_layouts();

  spec::RunSpec spec_;
  spec::RunSpec tried_;  // spec_ with the layout that is asked about
  FixedAxes fixed_;
  std::vector<MeshSizes> meshes_;
  std::map<int, std::vector<int>> micro_batch_sizes_;  // of data_parallel_size
  std::map<int, std::vector<ExpertSizes>> experts_;    // of pipeline_parallel_size
  std::map<std::pair<int, std::int64_t>, std::vector<ScheduleChoice>> schedules_;
  // tensor, context and pipeline sizes, expert sizes
  using GroupSizes = std::tuple<int, int, int, int, int>;
  static GroupSizes group_sizes(const MeshSizes& mesh, const ExpertSizes& experts) {
    return {mesh.tensor, mesh.context, mesh.pipeline, experts.expert, experts.expert_tensor};
  }
  std::map<GroupSizes, std::vector<spec::RankOrder>> rank_orders_;
  std::vector<spec::RecomputeKind> recomputes_;
  std::vector<int> zero_stages_;
  std::vector<int> zero_stages_of_one_;  // replica
  std::vector<spec::Offload> offloads_;
  std::map<std::tuple<int, int, bool>, bool> ends_matter_;  // of stages, chunks, in a V
  std::map<std::string, std::int64_t> refused_;
  std::int64_t num_layouts_ = 0;
};

}  // namespace tera::plan
