#include "core/plan/search_space.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/plan/pipeline_cut.h"
#include "core/plan/placement.h"
#include "core/spec/validate.h"
#include "core/spec/yaml.h"

namespace tera::plan {
namespace {

using spec::ParallelLayout;
using spec::ScheduleKind;

std::vector<int> divisors(std::int64_t whole) {
  std::vector<int> below, above;
  for (std::int64_t i = 1; i <= whole / i; ++i) {
    if (whole % i != 0) continue;
    below.push_back(static_cast<int>(i));
    if (i != whole / i) above.push_back(static_cast<int>(whole / i));
  }
  below.insert(below.end(), above.rbegin(), above.rend());
  return below;
}

}  // namespace

SearchSpace::SearchSpace(const spec::RunSpec& spec, const FixedAxes& fixed)
    : spec_(spec), fixed_(fixed) {
  for (const std::string_view axis : kHeldAxes) {
    const auto held = fixed.texts().find(axis);
    if (held == fixed.texts().end()) continue;
    TERA_CHECK(spec::set_field(spec_, "layout." + held->first, held->second), "{}: {}", held->first,
               held->second);
  }
  tried_ = spec_;
  recomputes_ = fixed.allowed<spec::RecomputeKind>(
      "recompute",
      {spec::RecomputeKind::none, spec::RecomputeKind::selective, spec::RecomputeKind::full},
      &ParallelLayout::recompute);
  zero_stages_ = fixed.allowed<int>("zero_stage", {0, 1, 2, 3}, &ParallelLayout::zero_stage);
  if (!zero_stages_.empty()) zero_stages_of_one_ = {zero_stages_.front()};
  list_meshes();
  for (const MeshSizes& mesh : meshes_)
    list_parts(mesh);
  list_offloads();
  count_layouts();
}

void SearchSpace::count_layouts() {
  if (offloads_.empty()) return;
  for (const MeshSizes& mesh : meshes_) {
    std::int64_t in_steps = 0;  // choices of micro-batches and schedule
    for (const int size : micro_batch_sizes(mesh.data)) {
      const std::int64_t count =
          spec_.training.global_batch_size / (std::int64_t{size} * mesh.data);
      in_steps += static_cast<std::int64_t>(schedules(mesh.pipeline, count).size());
    }
    std::int64_t sharded = 0;  // choices of experts, order of ranks and ZeRO
    for (const ExpertSizes& sizes : experts(mesh.pipeline))
      sharded += std::ssize(zero_stages(mesh, sizes)) * std::ssize(rank_orders(mesh, sizes));
    num_layouts_ += in_steps * sharded * static_cast<std::int64_t>(recomputes_.size());
  }
}

bool SearchSpace::is_legal(const ParallelLayout& layout) {
  tried_.layout = layout;
  for (const Diagnostic& found : spec::validate(tried_)) {
    if (found.severity != Severity::error) continue;
    ++refused_["refused: " + found.field];
    return false;
  }
  return true;
}

// Links of a pipeline have a layer each, or an end of the model.
int SearchSpace::max_links() const {
  // with the ends as parts: RunSpec::pipeline_parts
  const int predictions = spec_.model.num_mtp_layers;
  return spec_.model.num_layers + (predictions > 0 ? 1 + 2 * predictions : 2);
}

bool SearchSpace::ends_matter(const ParallelLayout& layout) {
  const std::tuple<int, int, bool> key{layout.pipeline_parallel_size, layout.virtual_stages,
                                       spec::runs_in_v(layout.schedule)};
  const auto found = ends_matter_.find(key);
  if (found != ends_matter_.end()) return found->second;
  tried_.layout = layout;
  tried_.layout.ends_count_as_layers = false;
  const PipelineCut without = cut_pipeline(tried_);
  tried_.layout.ends_count_as_layers = true;
  return ends_matter_.emplace(key, cut_pipeline(tried_) != without).first->second;
}

ParallelLayout SearchSpace::layout_of(const MeshSizes& mesh) const {
  ParallelLayout layout = spec_.layout;
  layout.tensor_parallel_size = mesh.tensor;
  layout.context_parallel_size = mesh.context;
  layout.data_parallel_size = mesh.data;
  layout.pipeline_parallel_size = mesh.pipeline;
  layout.sequence_parallel = mesh.sequence_parallel;
  layout.expert_parallel_size = layout.expert_tensor_parallel_size = 1;
  layout.rank_order = spec::RankOrder::tp_cp_ep_dp_pp;
  layout.virtual_stages = layout.micro_batch_size = 1;
  layout.ends_count_as_layers = mesh.pipeline > spec_.model.num_layers;
  layout.offload = {};
  layout.schedule = ScheduleKind::one_f_one_b;
  layout.schedule_file.clear();  // of one layout alone
  layout.recompute = spec::RecomputeKind::none;
  layout.zero_stage = 0;
  return layout;
}

void SearchSpace::list_meshes() {
  const auto sizes = [this](std::int64_t whole, std::string_view axis, int ParallelLayout::*field) {
    return fixed_.allowed<int>(axis, divisors(whole), field);
  };
  const std::int64_t devices = spec_.cluster.num_devices();
  for (const int tensor :
       sizes(devices, "tensor_parallel_size", &ParallelLayout::tensor_parallel_size)) {
    // Without tensor parallelism it changes nothing.
    std::vector<bool> sequence = fixed_.allowed<bool>("sequence_parallel", {false, true},
                                                      &ParallelLayout::sequence_parallel);
    if (tensor == 1) sequence.resize(1);
    const std::int64_t rest = devices / tensor;
    for (const int context :
         sizes(rest, "context_parallel_size", &ParallelLayout::context_parallel_size)) {
      for (const int pipeline : sizes(rest / context, "pipeline_parallel_size",
                                      &ParallelLayout::pipeline_parallel_size)) {
        if (pipeline > max_links()) continue;
        const auto data = static_cast<int>(rest / context / pipeline);
        if (!fixed_.allows("data_parallel_size", data, &ParallelLayout::data_parallel_size))
          continue;
        for (const bool parallel : sequence) {
          const MeshSizes mesh{tensor, context, data, pipeline, parallel};
          if (is_legal(layout_of(mesh))) meshes_.push_back(mesh);
        }
      }
    }
  }
}

void SearchSpace::list_parts(const MeshSizes& mesh) {
  const std::int64_t per_replica = spec_.training.global_batch_size / mesh.data;
  ParallelLayout layout = layout_of(mesh);
  if (micro_batch_sizes_.count(mesh.data) == 0) {
    std::vector<int>& found = micro_batch_sizes_[mesh.data];
    for (const int size : fixed_.allowed<int>("micro_batch_size", divisors(per_replica),
                                              &ParallelLayout::micro_batch_size)) {
      layout.micro_batch_size = size;
      if (is_legal(layout)) found.push_back(size);
    }
  }
  if (experts_.count(mesh.pipeline) == 0) list_experts(mesh);
  for (const int size : micro_batch_sizes_[mesh.data]) {
    if (schedules_.count({mesh.pipeline, per_replica / size}) > 0) continue;
    layout.micro_batch_size = size;
    list_schedules(layout);
  }
  list_rank_orders(mesh);
}

void SearchSpace::list_rank_orders(const MeshSizes& mesh) {
  using spec::RankOrder;
  const std::vector<RankOrder> held = fixed_.allowed<RankOrder>(
      "rank_order", {RankOrder::tp_cp_ep_dp_pp, RankOrder::tp_cp_ep_pp_dp},
      &ParallelLayout::rank_order);
  ParallelLayout layout = layout_of(mesh);
  for (const ExpertSizes& sizes : experts(mesh.pipeline)) {
    const auto [at, is_new] = rank_orders_.try_emplace(group_sizes(mesh, sizes));
    if (!is_new) continue;
    layout.expert_parallel_size = sizes.expert;
    layout.expert_tensor_parallel_size = sizes.expert_tensor;
    for (const RankOrder order : held) {
      tried_.layout = layout;
      if (!at->second.empty() && places_alike(tried_, at->second.front(), order)) continue;
      layout.rank_order = order;
      if (order == RankOrder::tp_cp_ep_dp_pp || is_legal(layout)) at->second.push_back(order);
    }
  }
}

void SearchSpace::list_experts(const MeshSizes& mesh) {
  const bool has_experts = spec_.model.num_experts > 0;
  std::vector<ExpertSizes>& found = experts_[mesh.pipeline];
  ParallelLayout layout = layout_of(mesh);
  for (const int size : fixed_.allowed<int>("expert_parallel_size",
                                            divisors(has_experts ? spec_.model.num_experts : 1),
                                            &ParallelLayout::expert_parallel_size)) {
    for (const int inner :
         fixed_.allowed<int>("expert_tensor_parallel_size",
                             divisors(has_experts ? spec_.model.moe_ffn_hidden_size : 1),
                             &ParallelLayout::expert_tensor_parallel_size)) {
      layout.expert_parallel_size = size;
      layout.expert_tensor_parallel_size = inner;
      if (is_legal(layout)) found.push_back({size, inner});
    }
  }
}

void SearchSpace::list_schedules(const ParallelLayout& mesh) {
  ParallelLayout layout = mesh;
  const int pipeline = layout.pipeline_parallel_size;
  const std::int64_t count = spec_.training.global_batch_size /
                             (std::int64_t{layout.micro_batch_size} * layout.data_parallel_size);
  std::vector<ScheduleChoice>& found = schedules_[{pipeline, count}];
  const std::vector<bool> ends = fixed_.allowed<bool>("ends_count_as_layers", {false, true},
                                                      &ParallelLayout::ends_count_as_layers);
  const auto add = [&](ScheduleKind kind, int chunks) {
    if (!fixed_.allows("virtual_stages", chunks, &ParallelLayout::virtual_stages)) return;
    layout.schedule = kind;
    layout.virtual_stages = chunks;
    const auto first = std::ssize(found);
    for (const bool counted : ends) {
      layout.ends_count_as_layers = counted;
      if (std::ssize(found) > first && !ends_matter(layout)) continue;
      if (is_legal(layout)) found.push_back({kind, chunks, counted});
    }
  };
  std::vector<ScheduleKind> kinds = fixed_.allowed<ScheduleKind>(
      "schedule",
      {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::zb_h1, ScheduleKind::zb_h2,
       ScheduleKind::zb_v, ScheduleKind::dualpipe_v, ScheduleKind::interleaved},
      &ParallelLayout::schedule);
  // With one micro-batch, gpipe is 1F1B.
  if (count == 1 && kinds.size() > 1 && kinds[1] == ScheduleKind::one_f_one_b)
    std::erase(kinds, ScheduleKind::gpipe);
  for (const ScheduleKind kind : kinds) {
    if (kind != ScheduleKind::interleaved) {
      add(kind, spec::runs_in_v(kind) ? 2 : 1);
    } else if (pipeline > 1 && count % pipeline == 0) {
      for (int chunks = 2; chunks * pipeline <= max_links(); ++chunks)
        add(kind, chunks);
    }
  }
}

void SearchSpace::list_offloads() {
  if (meshes_.empty()) return;
  using spec::Offload;
  using spec::OffloadTier;
  const auto tiers = [this](std::string_view axis, OffloadTier Offload::*field) {
    return fixed_.allowed<OffloadTier>(
        axis, {OffloadTier::none, OffloadTier::host, OffloadTier::nvme},
        [field](const ParallelLayout& layout) { return layout.offload.*field; });
  };
  ParallelLayout layout = layout_of(meshes_.front());
  for (const OffloadTier weights : tiers("offload.weights", &Offload::weights)) {
    for (const OffloadTier gradients : tiers("offload.gradients", &Offload::gradients)) {
      for (const OffloadTier optimizer : tiers("offload.optimizer", &Offload::optimizer)) {
        for (const OffloadTier activations : tiers("offload.activations", &Offload::activations)) {
          layout.offload = {weights, gradients, optimizer, activations};
          if (is_legal(layout)) offloads_.push_back(layout.offload);
        }
      }
    }
  }
}

const std::vector<int>& SearchSpace::zero_stages(const MeshSizes& mesh,
                                                 const ExpertSizes& experts) const {
  const std::int64_t replicas = std::int64_t{mesh.context} * mesh.data;
  const std::int64_t expert_replicas =
      mesh.tensor * replicas / (std::int64_t{experts.expert} * experts.expert_tensor);
  const int copies = spec_.layout.zero_replicas;  // of one rank each, where nothing is sharded
  const bool one =
      replicas == copies && (spec_.model.num_experts == 0 || expert_replicas == copies);
  return one ? zero_stages_of_one_ : zero_stages_;
}

const std::vector<spec::RankOrder>& SearchSpace::rank_orders(const MeshSizes& mesh,
                                                             const ExpertSizes& experts) const {
  return rank_orders_.at(group_sizes(mesh, experts));
}

const std::vector<int>& SearchSpace::micro_batch_sizes(int data) const {
  return micro_batch_sizes_.at(data);
}
const std::vector<ExpertSizes>& SearchSpace::experts(int pipeline) const {
  return experts_.at(pipeline);
}
const std::vector<ScheduleChoice>& SearchSpace::schedules(int pipeline,
                                                          std::int64_t num_micro_batches) const {
  return schedules_.at({pipeline, num_micro_batches});
}

bool SearchSpace::contains(const ParallelLayout& layout) const {
  const auto mesh = std::find_if(meshes_.begin(), meshes_.end(), [&](const MeshSizes& m) {
    return m.tensor == layout.tensor_parallel_size && m.context == layout.context_parallel_size &&
           m.data == layout.data_parallel_size && m.pipeline == layout.pipeline_parallel_size &&
           m.sequence_parallel == layout.sequence_parallel;
  });
  if (mesh == meshes_.end()) return false;
  const auto has = [](const auto& values, const auto& value) {
    return std::find(values.begin(), values.end(), value) != values.end();
  };
  const ExpertSizes sizes{layout.expert_parallel_size, layout.expert_tensor_parallel_size};
  const std::int64_t per_pass = std::int64_t{layout.micro_batch_size} * layout.data_parallel_size;
  return has(micro_batch_sizes(mesh->data), layout.micro_batch_size) &&
         has(experts(mesh->pipeline), sizes) && has(rank_orders(*mesh, sizes), layout.rank_order) &&
         has(schedules(mesh->pipeline, spec_.training.global_batch_size / per_pass),
             ScheduleChoice{layout.schedule, layout.virtual_stages, layout.ends_count_as_layers}) &&
         has(recomputes_, layout.recompute) && has(zero_stages(*mesh, sizes), layout.zero_stage) &&
         has(offloads_, layout.offload);
}

}  // namespace tera::plan
