#include "core/plan/search_relaxation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/counted.h"
#include "core/base/units.h"
#include "core/plan/layout_bounds.h"
#include "core/plan/layout_text.h"
#include "core/plan/placement.h"
#include "core/spec/yaml.h"

namespace tera::plan {
namespace {

using spec::ParallelLayout;
using spec::RunSpec;

std::string joined(const std::vector<std::string>& texts, std::string_view last) {
  std::string text;
  for (std::size_t i = 0; i < texts.size(); ++i)
    text += i == 0 ? texts[i] : fmt::format("{}{}", i + 1 == texts.size() ? last : ", ", texts[i]);
  return text;
}

// Whether any layout may need no more of a device.
bool any_fits(const RunSpec& spec,
              const FixedAxes& fixed,
              double limit_bytes,
              const std::atomic<int>& stop) {
  const SearchSpace space(spec, fixed);
  LayoutBounds bounds(space);
  bool found = false;
  for (const LayoutFamily& family : layout_families(space)) {
    if (found || stop.load() != 0) break;
    bounds.visit(family, [&](const ParallelLayout&, const LayoutBound& staying,
                             const LayoutBound& offloaded) {
      found = found || std::min(staying.memory_bytes, offloaded.memory_bytes) <= limit_bytes;
    });
  }
  return found;
}

// Values of an axis in legal layouts, were it not fixed, in the order of the space.
std::vector<std::string> legal_values(const RunSpec& spec,
                                      const FixedAxes& fixed,
                                      const std::string& axis) {
  const SearchSpace space(spec, fixed.without(axis));
  std::vector<std::string> found;
  RunSpec scratch = spec;
  const auto add = [&] {
    const Result<std::string> value = spec::get_field(scratch, "layout." + axis);
    if (value && std::find(found.begin(), found.end(), *value) == found.end())
      found.push_back(*value);
  };
  if (space.num_layouts() == 0) return found;
  ParallelLayout& layout = scratch.layout;
  for (const MeshSizes& mesh : space.meshes()) {
    layout = space.layout_of(mesh);
    if (space.experts(mesh.pipeline).empty()) continue;
    for (const int size : space.micro_batch_sizes(mesh.data)) {
      layout.micro_batch_size = size;
      const std::int64_t count = spec.training.global_batch_size / (std::int64_t{size} * mesh.data);
      for (const ScheduleChoice& choice : space.schedules(mesh.pipeline, count)) {
        layout.schedule = choice.kind;
        layout.virtual_stages = choice.virtual_stages;
        layout.ends_count_as_layers = choice.ends_count_as_layers;
        for (const ExpertSizes& experts : space.experts(mesh.pipeline)) {
          layout.expert_parallel_size = experts.expert;
          layout.expert_tensor_parallel_size = experts.expert_tensor;
          for (const int zero_stage : space.zero_stages(mesh, experts)) {
            layout.zero_stage = zero_stage;
            add();
          }
          for (const spec::RankOrder order : space.rank_orders(mesh, experts)) {
            layout.rank_order = order;
            add();
          }
          if (axis.rfind("expert", 0) != 0 && axis != "rank_order")
            break;  // the same for all of them
        }
      }
    }
  }
  for (const spec::RecomputeKind recompute : space.recomputes()) {
    layout.recompute = recompute;
    add();
  }
  for (const spec::Offload& offload : space.offloads()) {
    layout.offload = offload;
    add();
  }
  return found;
}

}  // namespace

Result<spec::Cluster> cluster_of(spec::Cluster cluster, std::int64_t num_devices) {
  const std::int64_t node = cluster.devices_per_node;
  if (num_devices < node) {
    cluster.num_nodes = 1;
    cluster.devices_per_node = static_cast<int>(num_devices);
    return cluster;
  }
  if (num_devices % node != 0) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("{} {} not whole nodes of {}", counted(num_devices, "device"),
                    num_devices == 1 ? "is" : "are", node),
        fmt::format("use {} or {}", num_devices / node * node, (num_devices / node + 1) * node));
  }
  cluster.num_nodes = static_cast<int>(num_devices / node);
  return cluster;
}

Error nothing_legal(const RunSpec& spec, const FixedAxes& fixed) {
  const std::string devices = counted(spec.cluster.num_devices(), "device");
  RunSpec whole = spec;
  whole.layout.zero_replicas = 1;
  for (const auto& [axis, value] : fixed.texts()) {
    // Those of the spec may divide no layout either.
    std::vector<std::string> values =
        legal_values(axis == "zero_replicas" ? whole : spec, fixed, axis);
    if (values.empty()) continue;
    constexpr std::size_t kShown = 8;
    if (values.size() > kShown) values.resize(kShown);
    return {ErrorCode::invalid_input,
            fmt::format("--fix {}={}: no layout of {} is legal with it", axis, value, devices),
            fmt::format("use {}", joined(values, " or "))};
  }
  if (!fixed.empty() && SearchSpace(spec, FixedAxes{}).num_layouts() > 0) {
    std::vector<std::string> names;
    for (const auto& [axis, value] : fixed.texts())
      names.push_back(fmt::format("{}={}", axis, value));
    return {ErrorCode::invalid_input,
            fmt::format("--fix {}: no layout of {} is legal with all of them", joined(names, ", "),
                        devices),
            "leave two of them out"};
  }
  if (spec.layout.zero_replicas > 1 && SearchSpace(whole, fixed).num_layouts() > 0) {
    return {ErrorCode::invalid_input,
            fmt::format("layout.zero_replicas = {}: no layout of {} is legal with it",
                        spec.layout.zero_replicas, devices),
            "use 1"};
  }
  // Without anything fixed, the number of devices binds: the nearest below that has layouts.
  RunSpec fewer = spec;
  int tries = 0;
  for (std::int64_t count = spec.cluster.num_devices() - 1; count > 0 && tries < 64; --count) {
    const Result<spec::Cluster> cluster = cluster_of(spec.cluster, count);
    if (!cluster) continue;
    ++tries;
    fewer.cluster = *cluster;
    if (SearchSpace(fewer, FixedAxes{}).num_layouts() == 0) continue;
    return {ErrorCode::invalid_input,
            fmt::format("no layout of {} is legal: training.global_batch_size = {}, "
                        "model.num_layers = {} and the heads do not divide that way",
                        devices, spec.training.global_batch_size, spec.model.num_layers),
            fmt::format("use --gpus {}", count)};
  }
  return {ErrorCode::invalid_input, fmt::format("no layout of {} is legal", devices), {}};
}

Error nothing_fits(const RunSpec& spec,
                   const SearchOptions& options,
                   const SearchControl& control,
                   const SearchResult& searched) {
  const double limit = searched.memory_limit_bytes;
  const auto text = [](double bytes) { return format_bytes(bytes); };
  const bool host_binds = searched.least_memory_bytes <= limit;
  std::vector<std::string> steps;
  const double device = spec.cluster.device.memory_bytes / ranks_per_device(spec);
  if (!host_binds && searched.least_memory_bytes <= device && limit < device)
    steps.push_back(fmt::format("use --memory-limit {:.4g}e9",
                                std::ceil(searched.least_memory_bytes / 1e7) / 100));
  for (const auto& [axis, value] : options.fixed.texts()) {
    if (!host_binds && any_fits(spec, options.fixed.without(axis), limit, control.stop))
      steps.push_back(fmt::format("leave --fix {}={} out", axis, value));
  }
  RunSpec more = spec;
  for (std::int64_t times = 2; times <= 64 && steps.empty() && !host_binds; times *= 2) {
    const Result<spec::Cluster> cluster =
        cluster_of(spec.cluster, times * spec.cluster.num_devices());
    if (!cluster) continue;
    more.cluster = *cluster;
    if (!any_fits(more, options.fixed, limit, control.stop)) continue;
    steps.push_back(fmt::format("use --gpus {}", cluster->num_devices()));
  }
  const std::string layouts = counted(searched.considered, "legal layout");
  if (host_binds) {
    const spec::HostSpec& host = spec.cluster.host;
    return {ErrorCode::failed,
            fmt::format("none of {} fits: what has to leave the devices of a node is more than its "
                        "{} of memory and {} of disks",
                        layouts, text(host.memory_bytes), text(host.nvme_bytes)),
            "use more devices, or nodes with more memory"};
  }
  return {ErrorCode::failed,
          fmt::format("none of {} fits into {}: the leanest needs {} ({})", layouts, text(limit),
                      text(searched.least_memory_bytes), layout_text(searched.least_memory)),
          steps.empty() ? "use devices with more memory, or a smaller model or sequence"
                        : joined(steps, ", or ")};
}

}  // namespace tera::plan
