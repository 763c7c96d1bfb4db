#include "core/plan/offload_cost.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/placement.h"

namespace tera::plan {
namespace {

using spec::OffloadTier;
using spec::RunSpec;

double seconds_over(double bytes, double bytes_per_s, double efficiency) {
  return bytes > 0 ? bytes / (bytes_per_s * efficiency) : 0;
}

void add_passes(const RunSpec& spec,
                const StageBytes& all,
                double activations,
                double micro_batches,
                OffloadTraffic& traffic) {
  const spec::Offload& offload = spec.layout.offload;
  const double weights = 2 * micro_batches * all.weights;  // forward, backward
  if (offload.weights != OffloadTier::none) traffic.to_device += weights;
  if (offload.weights == OffloadTier::nvme) traffic.disk_read += weights;
  const double gradients = micro_batches * all.gradients;
  if (offload.gradients != OffloadTier::none) traffic.from_device += gradients;
  if (offload.gradients == OffloadTier::nvme) {
    traffic.disk_write += gradients;
    traffic.disk_read += gradients - all.gradients;  // the sum so far
  }
  if (offload.activations == OffloadTier::none) return;
  traffic.from_device += micro_batches * activations;
  traffic.to_device += micro_batches * activations;
  if (offload.activations == OffloadTier::host) return;
  traffic.disk_write += micro_batches * activations;
  traffic.disk_read += micro_batches * activations;
}

void add_update(const RunSpec& spec, const StageBytes& all, OffloadTraffic& traffic) {
  const spec::Offload& offload = spec.layout.offload;
  const double states = all.master + all.moments;
  const bool on_host = offload.optimizer != OffloadTier::none;
  if (offload.gradients == OffloadTier::nvme) traffic.update_disk_read += all.gradients;
  if (offload.weights == OffloadTier::nvme) traffic.update_disk_write += all.weights;
  if (!on_host) {
    if (offload.gradients != OffloadTier::none) traffic.update_to_device += all.gradients;
    if (offload.weights != OffloadTier::none) {
      traffic.update_to_device += all.weights;
      traffic.update_from_device += all.weights;
    }
    return;
  }
  if (offload.gradients == OffloadTier::none) traffic.update_from_device += all.gradients;
  if (offload.weights == OffloadTier::none) traffic.update_to_device += all.weights;
  if (offload.optimizer == OffloadTier::nvme) {
    traffic.update_disk_read += states;
    traffic.update_disk_write += states;
  }
  traffic.update_host = 2 * states + all.gradients + all.weights;
}

}  // namespace

double ranks_per_host(const RunSpec& spec) {
  return static_cast<double>(
      std::min<std::int64_t>(spec.cluster.devices_per_node, spec.layout.world_size()));
}

OffloadTraffic offload_traffic(const RunSpec& spec,
                               const StageBytes& all,
                               double micro_batch_activations,
                               double micro_batches,
                               int num_layers) {
  OffloadTraffic traffic;
  if (!spec.layout.offload.any()) return traffic;
  add_passes(spec, all, micro_batch_activations, micro_batches, traffic);
  add_update(spec, all, traffic);
  if (spec.layout.offload.weights != OffloadTier::none)
    traffic.first_layer = all.weights / std::max(1, num_layers);
  return traffic;
}

OffloadTraffic offload_traffic(const RunSpec& spec,
                               const StageBytes& all,
                               const ActivationBytes& bytes,
                               const StageParts& parts) {
  const double activations =
      parts.layers.dense * bytes.dense.whole() + parts.layers.moe * bytes.moe.whole();
  return offload_traffic(spec, all, activations, static_cast<double>(spec.num_micro_batches()),
                         parts.layers.dense + parts.layers.moe);
}

OffloadSeconds offload_seconds(const RunSpec& spec,
                               const OffloadTraffic& traffic,
                               double window_s) {
  const spec::HostSpec& host = spec.cluster.host;
  const double share = host.efficiency / ranks_per_host(spec);
  const auto to_device = [&host](double bytes) {
    return seconds_over(bytes, host.to_device_bytes_per_s, host.efficiency);
  };
  const auto from_device = [&host](double bytes) {
    return seconds_over(bytes, host.from_device_bytes_per_s, host.efficiency);
  };
  const auto disks = [&](double read, double write) {
    return seconds_over(read, host.nvme_read_bytes_per_s, share) +
           seconds_over(write, host.nvme_write_bytes_per_s, share);
  };
  OffloadSeconds seconds;
  seconds.passes_s = std::max({to_device(traffic.to_device), from_device(traffic.from_device),
                               disks(traffic.disk_read, traffic.disk_write)});
  const double first = to_device(traffic.first_layer);
  // In this order of sums, transfers that take longer never show less, to the last bit.
  seconds.exposed_s = std::max(std::min(first, seconds.passes_s), seconds.passes_s - window_s);
  seconds.hidden_s = seconds.passes_s - seconds.exposed_s;
  seconds.update_s =
      std::max({to_device(traffic.update_to_device), from_device(traffic.update_from_device),
                disks(traffic.update_disk_read, traffic.update_disk_write),
                seconds_over(traffic.update_host, host.memory_bytes_per_s, share)});
  return seconds;
}

OffloadTraffic stage_traffic(const RunSpec& spec, const RankMesh& mesh, int stage) {
  if (!spec.layout.offload.any()) return {};
  RunSpec stays = spec;
  stays.layout.offload = {};
  const ActivationBytes bytes = activation_bytes(stays);
  const StageParts parts = stage_parts(stays, stage);
  const ParamGroups groups = stage_groups(model_groups(stays, mesh), parts);
  return offload_traffic(spec, state_part(stays, groups), bytes, parts);
}

Term offload_term(const RunSpec& spec,
                  const OffloadTraffic& traffic,
                  const OffloadSeconds& seconds) {
  const spec::HostSpec& host = spec.cluster.host;
  const std::string disks =
      traffic.disk_read + traffic.disk_write > 0
          ? fmt::format(", disks {} read and {} written at {} and {} per node",
                        format_bytes(traffic.disk_read), format_bytes(traffic.disk_write),
                        format_rate(host.nvme_read_bytes_per_s, "B/s"),
                        format_rate(host.nvme_write_bytes_per_s, "B/s"))
          : std::string();
  std::vector<Term> children;
  children.push_back(leaf_term(
      "transfers beside passes", seconds.exposed_s, "s",
      fmt::format("slowest of {} to the device at {}, {} from it at {}{}, all x {:.2f}: {}, of "
                  "which {} hide behind compute",
                  format_bytes(traffic.to_device), format_rate(host.to_device_bytes_per_s, "B/s"),
                  format_bytes(traffic.from_device),
                  format_rate(host.from_device_bytes_per_s, "B/s"), disks, host.efficiency,
                  format_seconds(seconds.passes_s), format_seconds(seconds.hidden_s)),
      "Rajbhandari et al. 2021, ZeRO-Infinity, sections 5 and 6: transfers overlap with compute"));
  children.push_back(leaf_term(
      "update on the host", seconds.update_s, "s",
      fmt::format("slowest of {} through the host's memory at {} per node, {} to and {} from the "
                  "device, disks {} read and {} written",
                  format_bytes(traffic.update_host), format_rate(host.memory_bytes_per_s, "B/s"),
                  format_bytes(traffic.update_to_device), format_bytes(traffic.update_from_device),
                  format_bytes(traffic.update_disk_read), format_bytes(traffic.update_disk_write)),
      "Ren et al. 2021, ZeRO-Offload, section 4: bytes read and written / bandwidth"));
  std::erase_if(children, [](const Term& term) { return term.value <= 0; });
  return sum_term("offload", "s", std::move(children));
}

}  // namespace tera::plan
