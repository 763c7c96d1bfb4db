#include "core/plan/layout_bounds.h"

#include <algorithm>
#include <limits>
#include <set>

#include "core/plan/layer_cost.h"
#include "core/plan/offload_memory.h"
#include "core/plan/schedule_bound.h"
#include "core/plan/state_bytes.h"

namespace tera::plan {
namespace {

using spec::OffloadTier;
using spec::ParallelLayout;
using spec::RunSpec;
using spec::ScheduleKind;

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr LayoutBound kNever{kInfinite, kInfinite, kInfinite, kInfinite};

bool has(const std::vector<ExpertSizes>& sizes, const ExpertSizes& one) {
  return std::find(sizes.begin(), sizes.end(), one) != sizes.end();
}

std::size_t at(int zero_stage) {
  return static_cast<std::size_t>(zero_stage);
}

// Sharding gradients may take time within the passes.
bool passes_feel_zero(RunSpec spec) {
  spec.layout = ParallelLayout{};
  const RankMesh mesh = *RankMesh::make(spec.layout);
  const auto weight_s = [&](int zero_stage) {
    spec.layout.zero_stage = zero_stage;
    return LayerCost(spec, mesh).layer(false).weight.total();
  };
  return weight_s(1) != weight_s(0);
}

}  // namespace

std::vector<LayoutFamily> layout_families(const SearchSpace& space) {
  std::set<std::tuple<int, int, int, bool, int>> keys;
  for (const MeshSizes& mesh : space.meshes()) {
    for (const ExpertSizes& experts : space.experts(mesh.pipeline)) {
      keys.insert({mesh.tensor, experts.expert, experts.expert_tensor, mesh.sequence_parallel,
                   mesh.context});
    }
  }
  std::vector<LayoutFamily> families;
  for (const auto& [tensor, expert, inner, sequence_parallel, context] : keys)
    families.push_back({tensor, context, sequence_parallel, {expert, inner}});
  return families;
}

LayoutBounds::LayoutBounds(const SearchSpace& space)
    : space_(space),
      spec_(space.spec()),
      fragmentation_(fragmentation_of(spec_.software).expected),
      passes_feel_zero_(passes_feel_zero(spec_)) {
  list_ways();
}

void LayoutBounds::visit(const LayoutFamily& family, const Visit& visit) {
  parts_.clear();
  for (const MeshSizes& mesh : space_.meshes()) {
    if (mesh.tensor != family.tensor || mesh.context != family.context ||
        mesh.sequence_parallel != family.sequence_parallel ||
        !has(space_.experts(mesh.pipeline), family.experts))
      continue;
    ParallelLayout& layout = spec_.layout;
    layout = space_.layout_of(mesh);
    layout.expert_parallel_size = family.experts.expert;
    layout.expert_tensor_parallel_size = family.experts.expert_tensor;
    placements_.clear();
    for (const spec::RankOrder order : space_.rank_orders(mesh, family.experts)) {
      layout.rank_order = order;
      placements_.push_back({order, *RankMesh::make(layout)});
    }
    if (placements_.empty()) continue;
    all_zeros_ = &space_.zero_stages(mesh, family.experts);
    visit_mesh(mesh, visit);
  }
}

void LayoutBounds::visit_mesh(const MeshSizes& mesh, const Visit& visit) {
  const std::int64_t per_replica = spec_.training.global_batch_size / mesh.data;
  // How the pipeline may be cut (chunks, in a V, ends), and then what runs on it, by micro-batch.
  std::map<std::tuple<int, bool, bool>, std::map<int, std::vector<ScheduleKind>>> cuts;
  for (const int size : space_.micro_batch_sizes(mesh.data)) {
    for (const ScheduleChoice& choice : space_.schedules(mesh.pipeline, per_replica / size)) {
      cuts[{choice.virtual_stages, spec::runs_in_v(choice.kind), choice.ends_count_as_layers}][size]
          .push_back(choice.kind);
    }
  }
  ParallelLayout& layout = spec_.layout;
  for (const auto& [cut, by_size] : cuts) {
    layout.virtual_stages = std::get<0>(cut);
    layout.ends_count_as_layers = std::get<2>(cut);
    layout.schedule = by_size.begin()->second.front();
    set_cut();
    for (const auto& [size, kinds] : by_size) {
      layout.micro_batch_size = size;
      visit_passes(kinds, visit);
    }
  }
}

void LayoutBounds::set_cut() {
  const ParallelLayout& layout = spec_.layout;
  const std::tuple<int, int, bool, bool> key{layout.pipeline_parallel_size, layout.virtual_stages,
                                             spec::runs_in_v(layout.schedule),
                                             layout.ends_count_as_layers};
  auto found = cuts_.find(key);
  if (found == cuts_.end()) found = cuts_.emplace(key, cut_pipeline(spec_)).first;
  cut_.cut = &found->second;
  cut_.kinds.clear();
  const ModelGroups& model = model_groups_of_mesh();
  for (const PipelineCut::StageKind& kind : cut_.cut->stage_kinds) {
    CutStage& stage = cut_.kinds.emplace_back();
    stage.parts = kind.parts;
    stage.num_layers = kind.num_layers;
    stage.groups = stage_groups(model, kind.parts);
    for (const int zero : *all_zeros_) {
      spec_.layout.zero_stage = zero;
      stage.local[at(zero)] = local_params(stage.groups, zero);
    }
  }
}

void LayoutBounds::visit_passes(const std::vector<ScheduleKind>& kinds, const Visit& visit) {
  stages_.resize(cut_.kinds.size());
  for (const spec::RecomputeKind recompute : space_.recomputes()) {
    spec_.layout.recompute = recompute;
    for (const std::vector<int>& zeros : {zeros_of_passes(false), zeros_of_passes(true)}) {
      if (zeros.empty()) continue;
      zeros_ = zeros;
      figures_ = nullptr;
      for (const ScheduleKind kind : kinds) {
        spec_.layout.schedule = kind;
        const PartFigures& figures = part_figures();
        if (&figures != figures_) {
          figures_ = &figures;
          set_passes();
          set_bytes();
        }
        visit_schedule(visit);
      }
    }
  }
}

// Stages of ZeRO that have their passes in common: all, or without and with sharding.
std::vector<int> LayoutBounds::zeros_of_passes(bool sharded) const {
  if (!passes_feel_zero_) return sharded ? std::vector<int>{} : *all_zeros_;
  std::vector<int> zeros = *all_zeros_;
  std::erase_if(zeros, [sharded](int zero) { return (zero > 0) != sharded; });
  return zeros;
}

void LayoutBounds::set_passes() {
  const PartCosts& costs = figures_->costs;
  busy_s_ = 0;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const StageParts& parts = cut_.kinds[i].parts;
    stages_[i].pass = piece_pass(costs, {parts.layers, parts.has_embedding, parts.has_head});
    busy_s_ = std::max(busy_s_, stages_[i].pass.total());
  }
  for (StageAtHand& stage : stages_)
    stage.is_busiest = stage.pass.total() >= busy_s_ * kBoundRounding;
  kind_seconds_.clear();
  for (const ModelPiece& piece : cut_.cut->link_kinds)
    kind_seconds_.push_back(link_seconds(piece_pass(costs, piece)));
  links_.clear();
  for (const int kind : cut_.cut->kind_of_link)
    links_.push_back(kind_seconds_[static_cast<std::size_t>(kind)]);
  if (spec_.layout.pipeline_parallel_size == 1) return;
  for (Placement& placement : placements_)
    placement.send_s = LayerCost(spec_, placement.mesh).stage_send_s();
}

void LayoutBounds::set_bytes() {
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    CutStage& of_cut = cut_.kinds[i];
    StageAtHand& stage = stages_[i];
    auto& states = of_cut.states[keeps_whole_gradients(spec_) ? 1 : 0];
    for (const int zero : zeros_) {
      spec_.layout.zero_stage = zero;
      StageBytes& bytes = stage.bytes[at(zero)];
      if (!states[at(zero)]) states[at(zero)] = state_part(spec_, of_cut.groups);
      bytes = *states[at(zero)];
      add_passing_part(spec_, figures_->bytes, of_cut.parts, of_cut.groups, bytes);
      const auto settled = [&] {
        StageBytes here = bytes;
        settle(spec_, figures_->bytes, of_cut.parts, of_cut.groups, here);
        return here.total();
      };
      stage.staying[at(zero)] = settled();
      spec_.layout.offload = all_off_;
      stage.offloaded[at(zero)] = settled();
      spec_.layout.offload = {};
    }
  }
}

void LayoutBounds::set_activations() {
  const HeldMoments& held = moments();
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    stages_[i].activations = 0;
    for (const HeldLayers& moment : held[i])
      stages_[i].activations =
          std::max(stages_[i].activations, held_bytes(figures_->bytes, moment));
  }
}

void LayoutBounds::visit_schedule(const Visit& visit) {
  const PipelineShape shape = pipeline_shape(spec_);
  const ScheduleKind kind = spec_.layout.schedule;
  const double apart_s = std::max(static_cast<double>(shape.num_micro_batches) * busy_s_,
                                  least_played_s(kind, shape, links_, 0));
  set_activations();
  for (const Placement& placement : placements_) {
    spec_.layout.rank_order = placement.order;
    PlayedSchedule least{.apart_s = apart_s, .step_s = apart_s};
    if (placement.send_s > 0)
      least.step_s = std::max(apart_s, least_played_s(kind, shape, links_, placement.send_s));
    visit_placed(placement, least, visit);
  }
}

void LayoutBounds::visit_placed(const Placement& placement,
                                const PlayedSchedule& least,
                                const Visit& visit) {
  const double room =
      all_off_.activations == OffloadTier::none ? kInfinite : activation_room(figures_->bytes);
  for (const int zero : zeros_) {
    spec_.layout.zero_stage = zero;
    set_steps(placement, least);
    LayoutBound staying{.step_s = kInfinite};
    LayoutBound offloaded{.step_s = kInfinite};
    for (const StageAtHand& stage : stages_) {
      if (stage.is_busiest) {
        staying.step_s = std::min(staying.step_s, stage.step.total_s());
        offloaded.step_s = std::min(offloaded.step_s, least_offloaded_s(stage.step));
      }
      const double fragments = 1 + fragmentation_;
      staying.memory_bytes =
          std::max(staying.memory_bytes, stage.staying[at(zero)] + fragments * stage.activations);
      offloaded.memory_bytes =
          std::max(offloaded.memory_bytes,
                   stage.offloaded[at(zero)] + fragments * std::min(stage.activations, room));
    }
    for (LayoutBound* bound : {&staying, &offloaded}) {
      bound->step_s *= kBoundRounding;
      bound->memory_bytes *= kBoundRounding;
    }
    visit(spec_.layout, stays_ ? staying : kNever, ways_.empty() ? kNever : offloaded);
  }
}

// Were each of the busiest stages the one that estimate() takes.
void LayoutBounds::set_steps(const Placement& placement, const PlayedSchedule& least) {
  const LayerCost cost(spec_, placement.mesh);
  BusiestStage busiest;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    if (!stages_[i].is_busiest) continue;
    busiest.num_layers = cut_.kinds[i].num_layers;
    busiest.pass = stages_[i].pass;
    busiest.params = cut_.kinds[i].local[at(spec_.layout.zero_stage)];
    stages_[i].step = step_seconds(spec_, placement.mesh, cost, busiest, least);
  }
}

const LayoutBounds::PartFigures& LayoutBounds::part_figures() {
  const ParallelLayout& layout = spec_.layout;
  const bool is_dualpipe = layout.schedule == ScheduleKind::dualpipe_v;
  const PartKey key{.micro_batch_size = layout.micro_batch_size,
                    .recompute = layout.recompute,
                    .in_pipeline = layout.pipeline_parallel_size > 1,
                    .shards = passes_feel_zero_ && zeros_.front() > 0,
                    .overlaps_experts = spec_.overlaps_experts(),
                    .in_pairs_of_v = is_dualpipe && spec_.software.expert_overlap};
  const auto found = parts_.find(key);
  if (found != parts_.end()) return found->second;
  spec_.layout.zero_stage = zeros_.front();
  return parts_
      .emplace(key,
               PartFigures{.costs = part_costs(spec_, LayerCost(spec_, placements_.front().mesh)),
                           .bytes = activation_bytes(spec_)})
      .first->second;
}

const HeldMoments& LayoutBounds::moments() {
  const PipelineShape shape = pipeline_shape(spec_);
  const std::tuple<ScheduleKind, int, int, std::int64_t, bool, bool> key{
      spec_.layout.schedule,   shape.num_stages, shape.num_chunks,
      shape.num_micro_batches, shape.in_pairs,   spec_.layout.ends_count_as_layers};
  const auto found = moments_.find(key);
  if (found != moments_.end()) return found->second;
  return moments_.emplace(key, held_moments(spec_, *cut_.cut)).first->second;
}

const ModelGroups& LayoutBounds::model_groups_of_mesh() {
  const ParallelLayout& layout = spec_.layout;
  const std::tuple<int, int, int, int> key{layout.tensor_parallel_size, layout.expert_parallel_size,
                                           layout.expert_tensor_parallel_size,
                                           layout.pipeline_parallel_size};
  const auto found = groups_.find(key);
  if (found != groups_.end()) return found->second;
  // Families of other sizes are not asked about again.
  if (!groups_.empty() && std::get<0>(groups_.begin()->first) != layout.tensor_parallel_size)
    groups_.clear();
  return groups_.emplace(key, model_groups(spec_, placements_.front().mesh)).first->second;
}

}  // namespace tera::plan
