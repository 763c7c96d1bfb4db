// Step time and memory of many layouts in closed form: all of estimate() but the played schedule,
// of which it has the least time (schedule_bound.h). What layouts have in common is worked out
// once.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "core/plan/param_groups.h"
#include "core/plan/pipeline_cut.h"
#include "core/plan/search_space.h"
#include "core/plan/stage_bytes.h"
#include "core/plan/stage_times.h"
#include "core/plan/step_seconds.h"
#include "core/plan/working_memory.h"

namespace tera::plan {

// Layouts that differ in data and pipeline size, order of the ranks, micro-batches, schedule,
// recomputation and ZeRO stage alone.
struct LayoutFamily {
  int tensor = 1;
  int context = 1;
  bool sequence_parallel = false;
  ExpertSizes experts;
};
// All families of a space, in a stated order: by tensor size, expert sizes, context size.
std::vector<LayoutFamily> layout_families(const SearchSpace& space);

// Sums in another order may differ in the last digits: bounds stay below by as much.
inline constexpr double kBoundRounding = 1 - 1e-12;

// From below: never more than what estimate() says.
struct LayoutBound {
  double step_s = 0;
  double memory_bytes = 0;  // of a device
  double host_bytes = 0;    // of a node, off its devices
  double nvme_bytes = 0;
};

class LayoutBounds {
 public:
  // The space must outlive it. One for each thread.
  explicit LayoutBounds(const SearchSpace& space);

  // layout: nothing offloaded. staying: its bound, infinite where the space wants something
  // offloaded. offloaded: below the bound of every way to offload of the space, infinite where it
  // has none: nothing takes time, and all that may leave the device has left it.
  using Visit = std::function<void(const spec::ParallelLayout& layout,
                                   const LayoutBound& staying,
                                   const LayoutBound& offloaded)>;
  // Every legal layout of the family, always in the same order.
  void visit(const LayoutFamily& family, const Visit& visit);

  using VisitOffload = std::function<void(const spec::ParallelLayout&, const LayoutBound&)>;
  // While a layout is visited: its ways to offload. Left out are those with more on disks than
  // another that moves the same from the device and fits into the host: they take no less time, and
  // as much of the device (tested).
  void visit_offloads(const VisitOffload& visit);
  // All that any way to offload moves.
  const spec::Offload& all_off() const { return all_off_; }

 private:
  // Of a micro-batch in the parts of the model.
  struct PartFigures {
    PartCosts costs;
    ActivationBytes bytes;
  };
  // A stage of a kind, with what does not depend on micro-batches; [ZeRO stage].
  struct CutStage {
    StageParts parts;
    int num_layers = 0;
    ParamGroups groups = {};
    std::array<LocalParams, 4> local = {};
    // [gradients are whole][stage of ZeRO], once asked for.
    std::array<std::array<std::optional<StageBytes>, 4>, 2> states = {};
  };
  struct CutStages {
    const PipelineCut* cut = nullptr;
    std::vector<CutStage> kinds;
  };
  // Of a stage kind with the passes at hand; [ZeRO stage]. All but activations.
  struct StageAtHand {
    PassCost pass;
    std::array<StageBytes, 4> bytes = {};
    std::array<double, 4> staying = {};    // bytes on the device, nothing offloaded
    std::array<double, 4> offloaded = {};  // and everything
    double activations = 0;                // at the fullest moment of the schedule
    StepSeconds step;                      // of the layout at hand, were this the busiest stage
    bool is_busiest = false;
  };
  // An order of the ranks. Groups of tensor, context and expert axes lie alike in all orders, and
  // so do passes and memory: messages between stages and between replicas differ.
  struct Placement {
    spec::RankOrder order = spec::RankOrder::tp_cp_ep_dp_pp;
    RankMesh mesh;
    double send_s = 0;  // of the passes at hand, to the next stage
  };
  struct OffloadWay {
    spec::Offload offload;
    unsigned moved = 0;     // a bit for each kind that leaves the device
    unsigned on_disks = 0;  // of those
  };

  void list_ways();
  void visit_mesh(const MeshSizes& mesh, const Visit& visit);
  void visit_passes(const std::vector<spec::ScheduleKind>& kinds, const Visit& visit);
  void visit_schedule(const Visit& visit);
  void visit_placed(const Placement& placement, const PlayedSchedule& least, const Visit& visit);
  std::vector<int> zeros_of_passes(bool sharded) const;
  void set_cut();
  void set_passes();
  void set_bytes();
  void set_activations();
  void set_steps(const Placement& placement, const PlayedSchedule& least);
  LayoutBound offload_bound() const;
  double least_offloaded_s(const StepSeconds& step) const;
  const PartFigures& part_figures();
  const HeldMoments& moments();
  const ModelGroups& model_groups_of_mesh();

  const SearchSpace& space_;
  spec::RunSpec spec_;  // with the layout at hand
  bool stays_ = false;  // a layout may offload nothing
  std::vector<OffloadWay> ways_;
  spec::Offload all_off_;          // what any way moves
  double fragmentation_ = 0;       // share of activations
  bool passes_feel_zero_ = false;  // passes depend on the stage of ZeRO

  // Of a family, what figures of parts depend on.
  struct PartKey {
    int micro_batch_size = 0;
    spec::RecomputeKind recompute = spec::RecomputeKind::none;
    bool in_pipeline = false;
    bool shards = false;  // ZeRO, where passes depend on it
    bool overlaps_experts = false;
    bool in_pairs_of_v = false;  // dualpipe-v
    auto operator<=>(const PartKey&) const = default;
  };
  std::map<PartKey, PartFigures> parts_;
  std::map<std::tuple<int, int, bool, bool>, PipelineCut> cuts_;  // stages, chunks, V, ends
  std::map<std::tuple<spec::ScheduleKind, int, int, std::int64_t, bool, bool>, HeldMoments>
      moments_;
  std::map<std::tuple<int, int, int, int>, ModelGroups> groups_;  // tensor, expert sizes, stages

  // Of the mesh at hand.
  const std::vector<int>* all_zeros_ = nullptr;  // stages of ZeRO
  std::vector<Placement> placements_;
  CutStages cut_;
  // Of the passes at hand.
  std::vector<int> zeros_;  // stages of ZeRO that have them in common
  const PartFigures* figures_ = nullptr;
  std::vector<StageAtHand> stages_;        // [stage kind]
  std::vector<LinkSeconds> kind_seconds_;  // [link kind]
  std::vector<LinkSeconds> links_;         // [link]
  double busy_s_ = 0;                      // of the busiest stage
};

}  // namespace tera::plan
