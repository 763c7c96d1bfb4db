// Rules of the cluster: what planning divides by, and what a layout asks of it.
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "core/base/counted.h"
#include "core/base/units.h"
#include "core/spec/findings.h"
#include "core/spec/scalars.h"
#include "core/spec/validate.h"

namespace tera::spec {
namespace {

// What leaves the device needs a place to go to, and a way there that planning divides by.
void check_offload(const RunSpec& spec, Findings& findings) {
  const Offload& offload = spec.layout.offload;
  const HostSpec& host = spec.cluster.host;
  std::string_view any;   // the first field that asks for the host
  std::string_view disk;  // the first that asks for its disks
  Offload::visit_fields(offload, [&](const Field& field, const OffloadTier& tier) {
    if (tier != OffloadTier::none && any.empty()) any = field.name;
    if (tier == OffloadTier::nvme && disk.empty()) disk = field.name;
  });
  if (any.empty()) return;
  if (spec.cluster.device.is_cpu) {
    findings.error(fmt::format("layout.offload.{}", any),
                   "the device is the host's processor: its memory is the host's",
                   "use none, or plan for a cluster of accelerators");
    return;
  }
  const auto known = [&findings](const char* field, double value, std::string_view who,
                                 const char* example) {
    if (value >= 1) return;
    findings.error(fmt::format("cluster.host.{}", field),
                   fmt::format("not known, but layout.offload.{} needs it", who),
                   fmt::format("for example {}", example));
  };
  known("memory_bytes", host.memory_bytes, any, "2e12");
  known("to_device_bytes_per_s", host.to_device_bytes_per_s, any, "63e9");
  known("from_device_bytes_per_s", host.from_device_bytes_per_s, any, "63e9");
  if (offload.optimizer != OffloadTier::none)
    known("memory_bytes_per_s", host.memory_bytes_per_s, "optimizer", "600e9");
  if (disk.empty()) return;
  known("nvme_bytes", host.nvme_bytes, disk, "30e12");
  known("nvme_read_bytes_per_s", host.nvme_read_bytes_per_s, disk, "54e9");
  known("nvme_write_bytes_per_s", host.nvme_write_bytes_per_s, disk, "32e9");
}

void check_ranks(const RunSpec& spec, Findings& findings) {
  const Cluster& cluster = spec.cluster;
  const std::int64_t ranks = spec.layout.world_size();
  const std::int64_t devices = cluster.num_devices();
  const std::string product = fmt::format(
      "tensor x context x data x pipeline = {} x {} x {} x {} = {} ranks",
      spec.layout.tensor_parallel_size, spec.layout.context_parallel_size,
      spec.layout.data_parallel_size, spec.layout.pipeline_parallel_size, format_integer(ranks));
  if (ranks > devices && cluster.device.is_cpu) {
    findings.note("layout.data_parallel_size",
                  fmt::format("{} share {}", product, counted(devices, "processor")), "");
  } else if (ranks > devices) {
    findings.error(
        "layout.data_parallel_size",
        fmt::format("{}, but the cluster has {} ({} x {})", product, counted(devices, "device"),
                    counted(cluster.num_nodes, "node"), cluster.devices_per_node),
        fmt::format("use at least {} nodes, or smaller sizes",
                    (ranks + cluster.devices_per_node - 1) / cluster.devices_per_node));
  } else if (ranks < devices) {
    findings.warning("layout.data_parallel_size",
                     fmt::format("{}, but the cluster has {}: {} stay idle", product,
                                 counted(devices, "device"), format_integer(devices - ranks)),
                     devices % ranks == 0
                         ? fmt::format("use data_parallel_size {}",
                                       spec.layout.data_parallel_size * (devices / ranks))
                         : "raise data_parallel_size, or lower cluster.num_nodes");
  }
}

}  // namespace

void check_placement(const RunSpec& spec, Findings& findings) {
  if (!is_described(spec.cluster)) return;
  check_offload(spec, findings);
  check_ranks(spec, findings);
}

bool is_described(const Cluster& cluster) {
  const DeviceSpec& device = cluster.device;
  return !device.name.empty() || device.memory_bytes > 0 || device.peak_flops_per_s_bf16 > 0 ||
         device.peak_flops_per_s_f32 > 0;
}

void check_cluster(const RunSpec& spec, Findings& findings) {
  const Cluster& cluster = spec.cluster;
  if (!is_described(cluster)) {
    findings.warning("cluster", "not described: memory and time cannot be planned",
                     "add `cluster: {preset: this-machine}`");
    return;
  }
  const DeviceSpec& device = cluster.device;
  const bool bf16 = spec.half_products();
  const auto positive = [&findings](const char* field, double value, const char* hint) {
    if (value < 1) {
      findings.error(
          field,
          fmt::format("got {}, expected at least 1: planning divides by it", scalar_text(value)),
          hint);
    }
  };
  positive("cluster.device.memory_bytes", device.memory_bytes, "for example 80e9");
  positive("cluster.device.memory_bytes_per_s", device.memory_bytes_per_s, "for example 3.35e12");
  positive(bf16 ? "cluster.device.peak_flops_per_s_bf16" : "cluster.device.peak_flops_per_s_f32",
           bf16 ? device.peak_flops_per_s_bf16 : device.peak_flops_per_s_f32, "for example 989e12");
  const Precision precision = spec.training.precision;
  if (has_narrow_products(precision)) {
    const bool four = precision == Precision::nvfp4;
    const double narrow = four ? device.peak_flops_per_s_fp4 : device.peak_flops_per_s_fp8;
    if (narrow < 1) {
      findings.error(
          four ? "cluster.device.peak_flops_per_s_fp4" : "cluster.device.peak_flops_per_s_fp8",
          fmt::format("{}: {} has no such products", enum_name(precision),
                      device.name.empty() ? "the device" : device.name),
          "use training.precision bf16, or a cluster whose device has them");
    }
  }
  if (bf16 && spec.training.optimizer == OptimizerKind::muon)  // orthogonalises in f32
    positive("cluster.device.peak_flops_per_s_f32", device.peak_flops_per_s_f32,
             "for example 67e12");
  const double ranks = static_cast<double>(spec.layout.tensor_parallel_size) *
                       spec.layout.context_parallel_size * spec.layout.data_parallel_size *
                       spec.layout.pipeline_parallel_size;
  const bool shares_node = ranks > 1 && (cluster.devices_per_node > 1 || device.is_cpu);
  if (shares_node)
    positive("cluster.intra_node.bytes_per_s", cluster.intra_node.bytes_per_s, "for example 450e9");
  if (ranks > cluster.devices_per_node && cluster.num_nodes > 1) {
    positive("cluster.inter_node.bytes_per_s", cluster.inter_node.bytes_per_s, "for example 50e9");
  }
  if (device.reserved_bytes >= device.memory_bytes && device.memory_bytes > 0) {
    findings.error("cluster.device.reserved_bytes",
                   fmt::format("{} leave nothing of {}", format_bytes(device.reserved_bytes),
                               format_bytes(device.memory_bytes)),
                   "for example 2.5e9");
  }
  if (device.idle_power_w > device.peak_power_w) {
    findings.error("cluster.device.idle_power_w",
                   fmt::format("{:.16g} W is more than peak_power_w = {:.16g} W",
                               device.idle_power_w, device.peak_power_w),
                   fmt::format("use at most {:.16g}", device.peak_power_w));
  }
}

}  // namespace tera::spec
