#include "core/plan/memory_model.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/adapter_table.h"
#include "core/plan/optimizer_state.h"
#include "core/plan/param_table.h"
#include "core/plan/placement.h"
#include "core/plan/working_memory.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

constexpr std::string_view kZeroSource = "Rajbhandari et al. 2020, ZeRO, section 3";

// What the parameters of a stage are grouped into for people.
constexpr std::array<std::string_view, 8> kGroups = {
    "embedding",      "attention", "dense feed-forward", "experts",
    "shared experts", "router",    "norms and biases",   "head"};

std::size_t group_of(const ParamSpec& param) {
  switch (param.kind) {
    case ParamKind::embedding:
      return 0;
    case ParamKind::expert:
      return 3;
    case ParamKind::router:
    case ParamKind::router_bias:
      return 5;
    case ParamKind::norm:
    case ParamKind::bias:
      return 6;
    case ParamKind::matrix:
      break;
  }
  if (param.name.find(".mtp.") != std::string::npos) return 7;
  if (param.name.find(".attention.") != std::string::npos) return 1;
  if (param.name.find(".shared.") != std::string::npos) return 4;
  return param.layer < 0 ? 7 : 2;
}

struct Group {
  double all = 0;           // elements of the stage over all its ranks, each counted once
  double local = 0;         // on one rank, before ZeRO
  double trainable = 0;     // of those
  double weight_bytes = 0;  // of local
  double optimizer_bytes = 0;
  UpdateWork update = {};
  double update_workspace = 0;  // bytes, of the tensor that needs the most
  double replicas = 1;          // ZeRO's group
};
using Groups = std::array<Group, kGroups.size()>;

void add_rows(Groups& groups,
              const ParamTable& rows,
              double count,
              const RunSpec& spec,
              const RankMesh& mesh) {
  for (const ParamSpec& param : rows) {
    Group& group = groups[group_of(param)];
    const double local = count * local_elements(param, spec);
    const DType dtype = weight_dtype(param, spec.training.precision);
    group.all += count * static_cast<double>(param.num_elements());
    group.local += local;
    group.weight_bytes += local * static_cast<double>(dtype_bytes(dtype));
    if (param.trainable) {
      const double share = local / static_cast<double>(param.num_elements());
      const UpdateWork update = update_work(param, spec.training);
      group.trainable += local;
      group.optimizer_bytes +=
          share * static_cast<double>(optimizer_state_bytes(param, spec.training));
      group.update.bytes += share * update.bytes;
      group.update.flops += share * update.flops;
      group.update_workspace =
          std::max(group.update_workspace,
                   static_cast<double>(update_workspace_bytes(param, spec.training)));
    }
    group.replicas = num_replicas(param, mesh);
  }
}

ParamTable part_rows(const RunSpec& spec, ModelPart part, int layer = 0) {
  return with_adapters(make_part_table(spec.model, part, layer), spec.lora);
}

ParamTable layer_rows(const RunSpec& spec, bool moe) {
  return part_rows(spec, ModelPart::layer, layer_of_kind(spec.model, moe));
}

Groups stage_groups(const RunSpec& spec, const RankMesh& mesh, int stage) {
  const spec::ModelConfig& model = spec.model;
  const int num_stages = spec.layout.pipeline_parallel_size;
  const LayerMix mix = layer_mix(model, stage_layers(model.num_layers, num_stages, stage));
  Groups groups{};
  if (stage == 0) add_rows(groups, part_rows(spec, ModelPart::embedding), 1, spec, mesh);
  if (mix.dense > 0) add_rows(groups, layer_rows(spec, false), mix.dense, spec, mesh);
  if (mix.moe > 0) add_rows(groups, layer_rows(spec, true), mix.moe, spec, mesh);
  if (stage == num_stages - 1) {
    add_rows(groups, part_rows(spec, ModelPart::head), 1, spec, mesh);
    for (int layer = model.num_layers; layer < model.num_all_layers(); ++layer)
      add_rows(groups, part_rows(spec, ModelPart::prediction, layer), 1, spec, mesh);
    if (stage > 0 && shares_embedding(model)) {  // the last stage's own copy
      ParamTable tied = part_rows(spec, ModelPart::embedding);
      tied.resize(1);
      add_rows(groups, tied, 1, spec, mesh);
    }
  }
  return groups;
}

// " / 4 (tensor)": nothing for 1.
std::string over(double size, std::string_view what) {
  return size > 1 ? fmt::format(" / {:.0f} ({})", size, what) : std::string();
}

std::string shards(const RunSpec& spec, std::size_t group) {
  const spec::ParallelLayout& layout = spec.layout;
  if (group == 3) {
    return over(double{1} * layout.expert_parallel_size, "expert parallel") +
           over(double{1} * layout.expert_tensor_parallel_size, "expert tensor parallel");
  }
  const bool split = group != 5 && group != 6;  // router and most norms are on every rank
  return split ? over(double{1} * layout.tensor_parallel_size, "tensor parallel") : std::string();
}

// One kind of state: a child per group; bytes_of(group) before sharding by ZeRO.
template <class BytesOf>
Term state_term(std::string label,
                const Groups& groups,
                const RunSpec& spec,
                int zero_from,
                std::string_view source,
                const BytesOf& bytes_of) {
  std::vector<Term> children;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const Group& group = groups[i];
    if (group.local <= 0) continue;
    const double bytes = bytes_of(group);
    const bool sharded = spec.layout.zero_stage >= zero_from && group.replicas > 1;
    children.push_back({.label = std::string(kGroups[i]),
                        .value = sharded ? bytes / group.replicas : bytes,
                        .unit = "B",
                        .formula = fmt::format("{:.4g} B x {} parameters{}{}", bytes / group.local,
                                               format_count(group.all), shards(spec, i),
                                               sharded ? over(group.replicas, "ZeRO") : ""),
                        .source = std::string(sharded ? kZeroSource : source),
                        .children = {}});
  }
  return sum_term(std::move(label), "B", std::move(children));
}

std::string_view optimizer_source(spec::OptimizerKind kind) {
  switch (kind) {
    case spec::OptimizerKind::adamw:
      return "Loshchilov and Hutter 2019, AdamW: two moments";
    case spec::OptimizerKind::muon:
      return "Jordan et al. 2024, Muon: momentum of matrices; AdamW: two moments of the rest";
    case spec::OptimizerKind::lion:
      return "Chen et al. 2023, Lion: momentum";
    case spec::OptimizerKind::adafactor:
      return "Shazeer and Stern 2018, Adafactor: a factor per row and per column";
    case spec::OptimizerKind::sgd:
      return "Sutskever et al. 2013: momentum";
  }
  return {};
}

StageMemory stage_memory(const RunSpec& spec, const RankMesh& mesh, int stage, int in_flight) {
  const Groups groups = stage_groups(spec, mesh, stage);
  const spec::Precision precision = spec.training.precision;
  const bool half = precision != spec::Precision::fp32;
  const std::string_view master = precision == spec::Precision::bf16
                                      ? "; lower halves of f32 master weights"
                                  : precision == spec::Precision::fp16 ? "; f32 master weights"
                                                                       : "";
  std::vector<Term> kinds;
  kinds.push_back(state_term(
      "weights", groups, spec, 3,
      half ? fmt::format("{} weights; routers stay in f32", dtype_name(compute_dtype(precision)))
           : std::string("f32 weights"),
      [](const Group& group) { return group.weight_bytes; }));
  kinds.push_back(state_term("gradients", groups, spec, 2, "gradients are summed in f32",
                             [](const Group& group) { return 4 * group.trainable; }));
  kinds.push_back(state_term("optimizer", groups, spec, 1,
                             fmt::format("{}{}", optimizer_source(spec.training.optimizer), master),
                             [](const Group& group) { return group.optimizer_bytes; }));
  kinds.push_back(activations(spec, stage, in_flight));
  double weight_bytes = 0;
  double update_bytes = 0;
  for (const Group& group : groups) {
    weight_bytes += group.weight_bytes;
    update_bytes = std::max(update_bytes, group.update_workspace);
  }
  kinds.push_back(workspace(spec, stage, weight_bytes, update_bytes));
  const double sharing = ranks_per_device(spec);
  const double reserved = spec.cluster.device.reserved_bytes / sharing;
  kinds.push_back({.label = "reserved",
                   .value = reserved,
                   .unit = "B",
                   .formula = fmt::format("{}{}", format_bytes(spec.cluster.device.reserved_bytes),
                                          over(sharing, "ranks per device")),
                   .source = "cluster.device.reserved_bytes: driver, context, system",
                   .children = {}});
  return {.stage = stage,
          .memory = sum_term(fmt::format("stage {}", stage), "B", std::move(kinds))};
}

}  // namespace

std::vector<StageMemory> plan_memory(const RunSpec& spec,
                                     const RankMesh& mesh,
                                     const std::vector<int>& in_flight) {
  std::vector<StageMemory> stages;
  stages.reserve(in_flight.size());
  for (std::size_t stage = 0; stage < in_flight.size(); ++stage) {
    stages.push_back(stage_memory(spec, mesh, static_cast<int>(stage), in_flight[stage]));
  }
  return stages;
}

LocalParams local_params(const RunSpec& spec, const RankMesh& mesh, int stage) {
  LocalParams params;
  const Groups groups = stage_groups(spec, mesh, stage);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const Group& group = groups[i];
    (i == 3 ? params.experts : params.dense) += group.trainable;
    const double share = spec.layout.zero_stage >= 1 ? 1 / group.replicas : 1;
    params.updated += share * group.trainable;
    params.update_bytes += share * group.update.bytes;
    params.update_flops += share * group.update.flops;
  }
  return params;
}

}  // namespace tera::plan
