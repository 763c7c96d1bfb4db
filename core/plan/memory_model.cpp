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
#include "core/plan/stash_table.h"

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
  double replicas = 1;  // ZeRO's group
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
          4 * share * static_cast<double>(optimizer_state_elements(param, spec.training));
      group.update.bytes += share * update.bytes;
      group.update.flops += share * update.flops;
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

// Bytes of one micro-batch's stash on one rank, of entries whose name holds `part` (all if empty).
double stash_bytes(const RunSpec& spec,
                   const std::vector<StashEntry>& entries,
                   std::string_view part) {
  double bytes = 0;
  for (const StashEntry& entry : entries) {
    const bool counted = part.empty() || entry.name.find(part) != std::string::npos;
    if (counted) bytes += static_cast<double>(entry.num_bytes()) * stash_share(entry.name, spec);
  }
  return bytes;
}

std::vector<StashEntry> layer_stash(const RunSpec& spec, bool moe) {
  const int layer = layer_of_kind(spec.model, moe);
  return make_stash_table(spec, layer, layer + 1, false);
}

Term activation_part(const RunSpec& spec,
                     std::string label,
                     const std::vector<StashEntry>& entries,
                     std::string_view part,
                     int layers,
                     int in_flight) {
  const double bytes = stash_bytes(spec, entries, part);
  return {.label = std::move(label),
          .value = bytes * layers * in_flight,
          .unit = "B",
          .formula = fmt::format("{} per layer and micro-batch x {} layer{} x {} in flight",
                                 format_bytes(bytes), layers, layers == 1 ? "" : "s", in_flight),
          .source = "list of kept tensors (stash table); Korthikanti et al. 2022, section 4",
          .children = {}};
}

Term activations(const RunSpec& spec, int stage, int in_flight) {
  const int num_stages = spec.layout.pipeline_parallel_size;
  const LayerMix mix =
      layer_mix(spec.model, stage_layers(spec.model.num_layers, num_stages, stage));
  std::vector<Term> children;
  if (mix.dense > 0) {
    const auto entries = layer_stash(spec, false);
    children.push_back(activation_part(spec, "attention of dense layers", entries, ".attention.",
                                       mix.dense, in_flight));
    children.push_back(
        activation_part(spec, "dense feed-forward", entries, ".ffn.", mix.dense, in_flight));
  }
  if (mix.moe > 0) {
    const auto entries = layer_stash(spec, true);
    children.push_back(activation_part(spec, "attention of expert layers", entries, ".attention.",
                                       mix.moe, in_flight));
    children.push_back(
        activation_part(spec, "expert layer input", entries, ".ffn.", mix.moe, in_flight));
    children.push_back(activation_part(spec, "experts", entries, ".moe.", mix.moe, in_flight));
  }
  if (stage == num_stages - 1) {
    std::vector<StashEntry> head = make_stash_table(spec, 0, 0, true);
    const auto ahead = std::stable_partition(head.begin(), head.end(), [](const StashEntry& entry) {
      return entry.name.compare(0, 7, "layers.") != 0;
    });
    const std::vector<StashEntry> predictions(ahead, head.end());
    head.erase(ahead, head.end());
    const auto add = [&](const char* label, const std::vector<StashEntry>& entries) {
      Term part = activation_part(spec, label, entries, {}, 1, in_flight);
      part.formula = fmt::format("{} per micro-batch x {} in flight",
                                 format_bytes(stash_bytes(spec, entries, {})), in_flight);
      children.push_back(std::move(part));
    };
    add("head", head);
    add("multi-token prediction", predictions);
  }
  std::erase_if(children, [](const Term& term) { return term.value <= 0; });
  return sum_term("activations", "B", std::move(children));
}

// Everything one layer's backward touches, with nothing recomputed.
double largest_layer_bytes(const RunSpec& spec, const LayerMix& mix) {
  RunSpec keep_all = spec;
  keep_all.layout.recompute = spec::RecomputeKind::none;
  double bytes = 0;
  if (mix.dense > 0)
    bytes = std::max(bytes, stash_bytes(keep_all, layer_stash(keep_all, false), {}));
  if (mix.moe > 0) bytes = std::max(bytes, stash_bytes(keep_all, layer_stash(keep_all, true), {}));
  return bytes;
}

Term leaf(std::string label, double bytes, std::string formula, std::string source) {
  return {.label = std::move(label),
          .value = bytes,
          .unit = "B",
          .formula = std::move(formula),
          .source = std::move(source),
          .children = {}};
}

Term workspace(const RunSpec& spec, const Groups& groups, int stage) {
  const spec::ModelConfig& model = spec.model;
  const spec::ParallelLayout& layout = spec.layout;
  const LayerRange range = stage_layers(model.num_layers, layout.pipeline_parallel_size, stage);
  const LayerMix mix = layer_mix(model, range);
  const double tokens =
      double{1} * layout.micro_batch_size * spec.training.seq_length / layout.context_parallel_size;
  const auto compute_bytes =
      static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision)));
  std::vector<Term> children;
  const double layer_bytes = largest_layer_bytes(spec, mix);
  children.push_back(
      leaf("gradients of one layer", layer_bytes,
           fmt::format("as large as what one layer keeps: {}", format_bytes(layer_bytes)),
           "upper bound: each kept tensor has a gradient while its layer runs backward"));
  if (layout.recompute != spec::RecomputeKind::none) {
    children.push_back(
        leaf("recomputed layer", layer_bytes,
             fmt::format("everything one layer keeps: {}", format_bytes(layer_bytes)),
             "Chen et al. 2016, training with sublinear memory"));
  }
  if (stage == layout.pipeline_parallel_size - 1) {
    const double chunk = std::min(tokens, static_cast<double>(kLogitsChunkTokens));
    const double vocab = double{1} * model.vocab_size / layout.tensor_parallel_size;
    const double word_bytes = compute_bytes < 4 ? 4 + compute_bytes : 4;
    children.push_back(leaf(
        "logits", chunk * vocab * word_bytes,
        fmt::format("{:.0f} tokens at a time x {:.0f} words x {:.0f} B", chunk, vocab, word_bytes),
        "the head works through the micro-batch in chunks: f32 logits, and their gradient where it "
        "is bf16"));
  }
  const double exchange =
      double{1} * layout.expert_parallel_size * layout.expert_tensor_parallel_size;
  if (exchange > 1 && mix.moe > 0) {
    const std::int64_t micro_batch =
        std::int64_t{layout.micro_batch_size} * spec.training.seq_length;
    const double rows = static_cast<double>(model.routed_rows(micro_batch)) /
                        layout.context_parallel_size *
                        (layout.sequence_parallel ? 1.0 / layout.tensor_parallel_size : 1);
    children.push_back(leaf("expert exchange", 2 * rows * model.hidden_size * compute_bytes,
                            fmt::format("sent and received: 2 x {} rows x {} x {:.0f} B",
                                        format_count(rows), model.hidden_size, compute_bytes),
                            "buffers of the all-to-all"));
  }
  if (layout.zero_stage >= 3) {
    double weights = 0;
    for (const Group& group : groups)
      weights += group.weight_bytes;
    const double bytes = 2 * weights / std::max(1, range.size());
    children.push_back(leaf("gathered layers", bytes,
                            "the layer that runs and the next one, in full",
                            std::string(kZeroSource)));
  }
  return sum_term("workspace", "B", std::move(children));
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
  const bool master = half && precision != spec::Precision::bf16_stochastic;
  std::vector<Term> kinds;
  kinds.push_back(state_term(
      "weights", groups, spec, 3,
      half ? fmt::format("{} weights; routers stay in f32", dtype_name(compute_dtype(precision)))
           : std::string("f32 weights"),
      [](const Group& group) { return group.weight_bytes; }));
  kinds.push_back(state_term("gradients", groups, spec, 2, "gradients are summed in f32",
                             [](const Group& group) { return 4 * group.trainable; }));
  kinds.push_back(state_term("optimizer", groups, spec, 1,
                             fmt::format("{}{}", optimizer_source(spec.training.optimizer),
                                         master ? "; f32 master weights" : ""),
                             [](const Group& group) { return group.optimizer_bytes; }));
  kinds.push_back(activations(spec, stage, in_flight));
  kinds.push_back(workspace(spec, groups, stage));
  const double sharing = ranks_per_device(spec);
  const double reserved = spec.cluster.device.reserved_bytes / sharing;
  kinds.push_back(leaf("reserved", reserved,
                       fmt::format("{}{}", format_bytes(spec.cluster.device.reserved_bytes),
                                   over(sharing, "ranks per device")),
                       "cluster.device.reserved_bytes: driver, context, system"));
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
