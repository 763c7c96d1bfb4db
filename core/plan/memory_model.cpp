#include "core/plan/memory_model.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/param_groups.h"
#include "core/plan/stage_bytes.h"
#include "core/plan/working_memory.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

constexpr std::string_view kZeroSource = "Rajbhandari et al. 2020, ZeRO, section 3";

// " / 4 (tensor)": nothing for 1.
std::string over(double size, std::string_view what) {
  return size > 1 ? fmt::format(" / {:.0f} ({})", size, what) : std::string();
}

std::string shards(const RunSpec& spec, std::size_t group) {
  const spec::ParallelLayout& layout = spec.layout;
  if (group == kExpertGroup) {
    return over(double{1} * layout.expert_parallel_size, "expert parallel") +
           over(double{1} * layout.expert_tensor_parallel_size, "expert tensor parallel");
  }
  const bool split =
      group != kRouterGroup && group != kNormGroup;  // router and most norms are on every rank
  return split ? over(double{1} * layout.tensor_parallel_size, "tensor parallel") : std::string();
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

// Of what state_rule leaves to the run's own settings.
std::string item_source(StateItem item, const RunSpec& spec) {
  if (item == StateItem::moments) return std::string(optimizer_source(spec.training.optimizer));
  const spec::Precision precision = spec.training.precision;
  if (precision == spec::Precision::fp32) return "training.precision: f32 weights";
  return fmt::format("training.precision: {} weights; routers stay in f32",
                     dtype_name(compute_dtype(precision)));
}

// One thing kept for every element: a child per group.
Term item_term(StateItem item, const ParamGroups& groups, const RunSpec& spec) {
  const StateRule rule = state_rule(item, spec);
  const std::string source =
      rule.source.empty() ? item_source(item, spec) : std::string(rule.source);
  std::vector<Term> children;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const ParamGroup& group = groups[i];
    const double bytes = group.state[static_cast<std::size_t>(item)];
    if (bytes <= 0) continue;
    const double ranks = zero_shards(group, item, spec);
    children.push_back(
        leaf_term(std::string(kParamGroups[i]), held_state(group, item, spec), "B",
                  fmt::format("{:.4g} B x {} parameters{}{}", bytes / group.local,
                              format_count(group.all), shards(spec, i), over(ranks, "ZeRO")),
                  std::string(ranks > 1 ? kZeroSource : source)));
  }
  return sum_term(std::string(rule.label), "B", std::move(children));
}

// The items of a kind; one alone needs no level of its own.
Term kind_term(StateKind kind, const ParamGroups& groups, const RunSpec& spec) {
  const std::string label(kStateKinds[static_cast<std::size_t>(kind)]);
  std::vector<Term> items;
  for (std::size_t i = 0; i < kNumStateItems; ++i) {
    const auto item = static_cast<StateItem>(i);
    if (state_rule(item, spec).kind != kind) continue;
    Term term = item_term(item, groups, spec);
    if (term.value > 0) items.push_back(std::move(term));
  }
  return sum_term(label, "B", items.size() == 1 ? std::move(items[0].children) : std::move(items));
}

// What follows from the parts of a stage, in the order of the tree; activations come between.
std::vector<Term> states(const RunSpec& spec, const ParamGroups& groups) {
  std::vector<Term> terms;
  for (std::size_t kind = 0; kind < kStateKinds.size(); ++kind)
    terms.push_back(kind_term(static_cast<StateKind>(kind), groups, spec));
  return terms;
}

Term communication_term(const RunSpec& spec, double bytes) {
  const int count = num_communicators(spec);
  const double buckets = bytes - count * kCommunicatorBytes.value;
  std::string formula =
      fmt::format("{} communicators x {}", count, format_bytes(kCommunicatorBytes.value));
  std::string source(kCommunicatorBytes.source);
  if (spec.cluster.device.is_cpu) formula = "none: ranks of one processor exchange through memory";
  if (bytes > 0 && buckets > 0) {
    formula += fmt::format(" + {} in buckets of gradients and of weights, 2 B x at most {} each",
                           format_bytes(buckets), format_count(kGradientBucket.value));
    source += fmt::format("; {}", kGradientBucket.source);
  }
  return leaf_term("communication", bytes, "B", std::move(formula), std::move(source));
}

std::vector<Term> held_always(const RunSpec& spec, const StageBytes& bytes) {
  const double sharing = ranks_per_device(spec);
  const Fragmentation fragmentation = fragmentation_of(spec.software);
  Term fragments = leaf_term(
      "fragmentation", bytes.fragmentation, "B",
      fmt::format("{} of {} of what comes and goes{}", format_percent(fragmentation.expected),
                  format_bytes(fragmented_bytes(fragmentation, bytes)),
                  fragmentation.states > 0
                      ? fmt::format(" and {} of what stays", format_percent(fragmentation.states))
                      : std::string()),
      std::string(fragmentation.source));
  if (fragmentation.is_calibrated) fragments.origin = spec::Origin::calibrated;
  return {communication_term(spec, bytes.communication),
          leaf_term("context", bytes.context, "B",
                    fmt::format("{}{}", format_bytes(spec.cluster.device.reserved_bytes),
                                over(sharing, "ranks per device")),
                    "cluster.device.reserved_bytes: driver, context, system"),
          std::move(fragments)};
}

// What may differ from the plan: how full the busiest expert-parallel rank is, what the allocator
// cannot use, buffers of libraries, and kernels of other frameworks that keep more or less.
struct Variant {
  double load_percentile = 0;
  double Fragmentation::*fragmentation = nullptr;
  double activations = 1;  // factors
  double workspace = 1;
  double libraries = 1;
  std::string_view source;
};
double bytes_of(const Variant& variant, const RunSpec& spec, const StageBytes& bytes) {
  const bool own = spec.software.framework == spec::Framework::teragpt;
  const double workspace = own ? std::min(1.0, variant.workspace) : variant.workspace;
  const double passing = (own ? 1 : variant.activations) * bytes.activations + bytes.logits +
                         bytes.dispatch + bytes.gathered_layers + workspace * bytes.workspace;
  const Fragmentation fragmentation = fragmentation_of(spec.software);
  const double share = fragmentation.*variant.fragmentation;
  const double libraries = bytes.communication + bytes.context;
  return (1 + share * fragmentation.states) * bytes.states() + (1 + share) * passing +
         (spec.cluster.device.is_cpu ? 1 : variant.libraries) * libraries;
}
constexpr std::string_view kVariantSource =
    "workspace of TeraGPT is an upper bound, of frameworks the libraries' own comes on top; "
    "activations of frameworks lie as far from their profiles as in published runs; contexts of "
    "libraries take 0.5 to 1.6 GB, and communicators up to twice the channels";
constexpr Variant kLow{.load_percentile = 0,
                       .fragmentation = &Fragmentation::low,
                       .activations = 0.95,
                       .workspace = 0.5,
                       .libraries = 0.5,
                       .source = kVariantSource};
constexpr Variant kHigh{.load_percentile = 99,
                        .fragmentation = &Fragmentation::high,
                        .activations = 1.05,
                        .workspace = 1.5,
                        .libraries = 1.5,
                        .source = kVariantSource};

// Of what leaves the device, the room that it keeps.
void show_windows(const RunSpec& spec, const StageBytes& bytes, std::vector<Term>& kinds) {
  const spec::Offload& offload = spec.layout.offload;
  const auto show = [&kinds](const char* label, spec::OffloadTier tier, double here) {
    if (tier == spec::OffloadTier::none) return;
    Term& term = *std::find_if(kinds.begin(), kinds.end(),
                               [label](const Term& kind) { return kind.label == label; });
    term = leaf_term(label, here, "B",
                     fmt::format("room on the device; all {} are {}", format_bytes(term.value),
                                 tier == spec::OffloadTier::host ? "in the host's memory"
                                                                 : "on the host's disks"),
                     "two layers, or embedding or head: Rajbhandari et al. 2021, ZeRO-Infinity, "
                     "section 5; nothing of the optimizer: Ren et al. 2021, ZeRO-Offload");
  };
  show("weights", offload.weights, bytes.weights);
  show("gradients", offload.gradients, bytes.gradients);
  show("master", offload.optimizer, bytes.master);
  show("moments", offload.optimizer, bytes.moments);
  show("activations", offload.activations, bytes.activations);
}

ActivationBytes activations_at(RunSpec spec, double percentile) {
  spec.layout.expert_load_percentile = percentile;
  return activation_bytes(spec);
}

}  // namespace

std::vector<StageMemory> plan_memory(const RunSpec& spec,
                                     const RankMesh& mesh,
                                     const PipelineSchedule& schedule) {
  const ActivationBytes bytes = activation_bytes(spec);
  const bool routed = spec.model.num_experts > 0 && spec.layout.expert_parallel_size > 1;
  const ActivationBytes low = routed ? activations_at(spec, kLow.load_percentile) : bytes;
  const ActivationBytes high = routed ? activations_at(spec, kHigh.load_percentile) : bytes;
  const ModelGroups model = model_groups(spec, mesh);
  struct Alike {
    StageParts parts;
    ParamGroups groups;
    std::vector<Term> states, passing;
  };
  std::vector<Alike> seen;
  std::vector<StageMemory> stages;
  stages.reserve(schedule.stages.size());
  for (int stage = 0; stage < schedule.shape.num_stages; ++stage) {
    const StageParts parts = stage_parts(spec, stage);
    auto alike = std::find_if(seen.begin(), seen.end(),
                              [&parts](const Alike& other) { return other.parts == parts; });
    if (alike == seen.end()) {
      const ParamGroups groups = stage_groups(model, parts);
      const PassingBytes passing = passing_bytes(spec, bytes, parts, groups);
      alike = seen.insert(seen.end(), {parts, groups, states(spec, groups),
                                       passing_terms(spec, bytes, parts, groups, passing)});
    }
    const HeldLayers held =
        held_at_peak(spec, bytes, stage, schedule.stages[static_cast<std::size_t>(stage)]);
    const auto sum = [&](const ActivationBytes& kept) {
      return stage_bytes(spec, kept, parts, alike->groups, held);
    };
    const StageBytes mean = sum(bytes);
    std::vector<Term> kinds = alike->states;
    kinds.push_back(activations(bytes, held, schedule.shape.num_chunks == 1));
    kinds.insert(kinds.end(), alike->passing.begin(), alike->passing.end());
    for (Term& term : held_always(spec, mean))
      kinds.push_back(std::move(term));
    if (spec.layout.offload.any()) show_windows(spec, mean, kinds);
    stages.push_back({.stage = stage,
                      .memory = sum_term(fmt::format("stage {}", stage), "B", std::move(kinds)),
                      .low_bytes = bytes_of(kLow, spec, sum(low)),
                      .high_bytes = bytes_of(kHigh, spec, sum(high)),
                      .host_bytes = mean.host,
                      .nvme_bytes = mean.nvme});
  }
  return stages;
}

}  // namespace tera::plan
