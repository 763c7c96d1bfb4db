// The machines a run is planned for: devices, links, prices and power. Presets give each number its
// source under `sources`.
#pragma once
#include <cstdint>
#include <string>

#include "core/base/fields.h"
#include "core/spec/operation.h"

namespace tera::spec {

struct DeviceSpec {
  std::string name;
  bool is_cpu = false;
  double peak_flops_per_s_bf16 = 0;  // dense
  double peak_flops_per_s_f32 = 0;   // dense, as used for f32 training products
  double peak_flops_per_s_fp8 = 0;   // dense; 0 = no such unit
  double peak_flops_per_s_fp4 = 0;   // dense; 0 = no such unit
  double memory_bytes = 0;
  double memory_bytes_per_s = 0;
  double reserved_bytes = 0;            // context, driver, operating system: not for the model
  double matmul_efficiency = 0.6;       // share of peak that large products reach
  double f32_matmul_efficiency = 0;     // the same of f32 products; 0 = as matmul_efficiency
  double fp8_efficiency = 0.6;          // share of the 8-bit peak that large products reach
  double fp4_efficiency = 0.5;          // share of the 4-bit peak that large products reach
  double attention_efficiency = 0.4;    // share of peak that fused attention reaches
  double f32_attention_efficiency = 0;  // the same in f32; 0 = as attention_efficiency
  int num_multiprocessors = 0;     // that take tiles of a product in waves; 0 = none, as on a CPU
  double memory_efficiency = 0.8;  // share of memory_bytes_per_s that streaming ops reach
  double op_overhead_s = 5e-6;     // start of one op
  double idle_power_w = 0;
  double peak_power_w = 0;
  double price_usd_per_h = 0;
  bool operator==(const DeviceSpec&) const = default;

  // Shares of the peak of 16 bits, or of that of f32.
  double matmul_share(bool in_f32) const {
    return in_f32 && f32_matmul_efficiency > 0 ? f32_matmul_efficiency : matmul_efficiency;
  }
  double attention_share(bool in_f32) const {
    return in_f32 && f32_attention_efficiency > 0 ? f32_attention_efficiency : attention_efficiency;
  }

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "name", .help = "Device name."}, self.name);
    visit(Field{.name = "is_cpu", .help = "The device is the host's processor."}, self.is_cpu);
    visit(Field{.name = "peak_flops_per_s_bf16",
                .unit = "flop/s",
                .min = 0,
                .max = 1e21,
                .step = 1e12,
                .help = "Dense bf16 peak."},
          self.peak_flops_per_s_bf16);
    visit(Field{.name = "peak_flops_per_s_f32",
                .unit = "flop/s",
                .min = 0,
                .max = 1e21,
                .step = 1e12,
                .help = "Dense peak of f32 training products."},
          self.peak_flops_per_s_f32);
    visit(Field{.name = "peak_flops_per_s_fp8",
                .unit = "flop/s",
                .min = 0,
                .max = 1e21,
                .step = 1e12,
                .help = "Dense peak of 8-bit products; 0 where the device has none."},
          self.peak_flops_per_s_fp8);
    visit(Field{.name = "peak_flops_per_s_fp4",
                .unit = "flop/s",
                .min = 0,
                .max = 1e21,
                .step = 1e12,
                .help = "Dense peak of 4-bit products; 0 where the device has none."},
          self.peak_flops_per_s_fp4);
    visit(Field{.name = "memory_bytes",
                .unit = "B",
                .min = 0,
                .max = 1e18,
                .step = 1e9,
                .help = "Memory of one device."},
          self.memory_bytes);
    visit(Field{.name = "memory_bytes_per_s",
                .unit = "B/s",
                .min = 0,
                .max = 1e18,
                .step = 1e11,
                .help = "Memory bandwidth of one device."},
          self.memory_bytes_per_s);
    visit(Field{.name = "reserved_bytes",
                .unit = "B",
                .min = 0,
                .max = 1e18,
                .step = 1e8,
                .help = "Memory taken by driver, context and system."},
          self.reserved_bytes);
    visit(Field{.name = "matmul_efficiency",
                .min = 0.01,
                .max = 1,
                .step = 0.01,
                .help = "Share of peak that large matrix products reach."},
          self.matmul_efficiency);
    visit(Field{.name = "f32_matmul_efficiency",
                .min = 0,
                .max = 1,
                .step = 0.01,
                .help = "Share of the f32 peak that large f32 products reach; 0 = as "
                        "matmul_efficiency."},
          self.f32_matmul_efficiency);
    visit(Field{.name = "fp8_efficiency",
                .min = 0.01,
                .max = 1,
                .step = 0.01,
                .help = "Share of the 8-bit peak that large matrix products reach."},
          self.fp8_efficiency);
    visit(Field{.name = "fp4_efficiency",
                .min = 0.01,
                .max = 1,
                .step = 0.01,
                .help = "Share of the 4-bit peak that large matrix products reach."},
          self.fp4_efficiency);
    visit(Field{.name = "attention_efficiency",
                .min = 0.01,
                .max = 1,
                .step = 0.01,
                .help = "Share of peak that fused causal attention reaches, forward and backward "
                        "together."},
          self.attention_efficiency);
    visit(Field{.name = "f32_attention_efficiency",
                .min = 0,
                .max = 1,
                .step = 0.01,
                .help = "Share of the f32 peak that attention reaches in f32; 0 = as "
                        "attention_efficiency."},
          self.f32_attention_efficiency);
    visit(Field{.name = "num_multiprocessors",
                .min = 0,
                .max = 100000,
                .help = "Units that take the tiles of a product in waves; 0 on a processor."},
          self.num_multiprocessors);
    visit(Field{.name = "memory_efficiency",
                .min = 0.01,
                .max = 1,
                .step = 0.01,
                .help = "Share of memory bandwidth that streaming operations reach."},
          self.memory_efficiency);
    visit(Field{.name = "op_overhead_s",
                .unit = "s",
                .min = 0,
                .max = 1,
                .step = 1e-6,
                .help = "Time to start one operation."},
          self.op_overhead_s);
    visit(Field{.name = "idle_power_w",
                .unit = "W",
                .min = 0,
                .max = 1e9,
                .step = 10,
                .help = "Power when idle."},
          self.idle_power_w);
    visit(Field{.name = "peak_power_w",
                .unit = "W",
                .min = 0,
                .max = 1e9,
                .step = 10,
                .help = "Power limit."},
          self.peak_power_w);
    visit(Field{.name = "price_usd_per_h",
                .unit = "USD/h",
                .min = 0,
                .max = 1e9,
                .step = 0.1,
                .help = "Price of one device for an hour."},
          self.price_usd_per_h);
  }
};

struct LinkSpec {
  double bytes_per_s = 0;  // per direction and device
  double latency_s = 0;
  double efficiency = 0.8;  // share of bytes_per_s that large messages reach
  bool operator==(const LinkSpec&) const = default;

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "bytes_per_s",
                .unit = "B/s",
                .min = 0,
                .max = 1e18,
                .step = 1e9,
                .help = "Bandwidth per direction and device."},
          self.bytes_per_s);
    visit(Field{.name = "latency_s",
                .unit = "s",
                .min = 0,
                .max = 10,
                .step = 1e-6,
                .help = "Time of an empty message."},
          self.latency_s);
    visit(Field{.name = "efficiency",
                .min = 0.01,
                .max = 1,
                .step = 0.01,
                .help = "Share of the bandwidth that large messages reach."},
          self.efficiency);
  }
};

// What is beside the devices of a node; 0 where it is not known.
struct HostSpec {
  double memory_bytes = 0;             // of a node
  double memory_bytes_per_s = 0;       // of a node, as the optimizer on its processors reads it
  double to_device_bytes_per_s = 0;    // of each device, all at once
  double from_device_bytes_per_s = 0;  // of each device, all at once
  double nvme_bytes = 0;               // of a node
  double nvme_read_bytes_per_s = 0;    // of a node
  double nvme_write_bytes_per_s = 0;   // of a node
  double efficiency = 0.85;            // share of these rates that large transfers reach
  bool operator==(const HostSpec&) const = default;

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    constexpr double kMax = 1e18;
    visit(Field{.name = "memory_bytes",
                .unit = "B",
                .min = 0,
                .max = kMax,
                .step = 1e11,
                .help = "Memory of the host of a node; 0 is not known."},
          self.memory_bytes);
    visit(Field{.name = "memory_bytes_per_s",
                .unit = "B/s",
                .min = 0,
                .max = kMax,
                .step = 1e10,
                .help = "Bandwidth of the memory of a host."},
          self.memory_bytes_per_s);
    visit(Field{.name = "to_device_bytes_per_s",
                .unit = "B/s",
                .min = 0,
                .max = kMax,
                .step = 1e9,
                .help = "From the host's memory to one device, while all others do the same."},
          self.to_device_bytes_per_s);
    visit(Field{.name = "from_device_bytes_per_s",
                .unit = "B/s",
                .min = 0,
                .max = kMax,
                .step = 1e9,
                .help = "From one device to the host's memory, while all others do the same."},
          self.from_device_bytes_per_s);
    visit(Field{.name = "nvme_bytes",
                .unit = "B",
                .min = 0,
                .max = kMax,
                .step = 1e12,
                .help = "Disks of a node; 0 is none, or not known."},
          self.nvme_bytes);
    visit(Field{.name = "nvme_read_bytes_per_s",
                .unit = "B/s",
                .min = 0,
                .max = kMax,
                .step = 1e9,
                .help = "Reading from all disks of a node."},
          self.nvme_read_bytes_per_s);
    visit(Field{.name = "nvme_write_bytes_per_s",
                .unit = "B/s",
                .min = 0,
                .max = kMax,
                .step = 1e9,
                .help = "Writing to all disks of a node."},
          self.nvme_write_bytes_per_s);
    visit(Field{.name = "efficiency",
                .min = 0.01,
                .max = 1,
                .step = 0.01,
                .help = "Share of these rates that large transfers reach."},
          self.efficiency);
  }
};

struct Cluster {
  std::string preset;  // name of the preset these values started from; empty if none
  int num_nodes = 1;
  int devices_per_node = 1;
  DeviceSpec device;
  LinkSpec intra_node;
  LinkSpec inter_node;
  int nodes_per_switch = 0;          // that reach each other at full speed; 0 = all
  double oversubscription = 1;       // bandwidth below the switch over that above it
  double slowdown_per_doubling = 0;  // of a step, for each doubling of the nodes
  HostSpec host;
  double power_usage_effectiveness = 1.1;
  double grid_gco2_per_kwh = 475;
  Operation operation;
  bool operator==(const Cluster&) const = default;

  std::int64_t num_devices() const { return std::int64_t{num_nodes} * devices_per_node; }

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "num_nodes", .min = 1, .max = 1 << 20, .help = "Machines."},
          self.num_nodes);
    visit(Field{.name = "devices_per_node",
                .min = 1,
                .max = 4096,
                .help = "Devices that share the fast link."},
          self.devices_per_node);
    visit(Field{.name = "device", .help = "One device."}, self.device);
    visit(Field{.name = "intra_node", .help = "Link between devices of a node."}, self.intra_node);
    visit(Field{.name = "inter_node", .help = "Link between nodes."}, self.inter_node);
    visit(Field{.name = "nodes_per_switch",
                .min = 0,
                .max = 1 << 20,
                .help = "Nodes under one switch, or in one group of a dragonfly, that reach each "
                        "other at full speed; 0 is all."},
          self.nodes_per_switch);
    visit(Field{.name = "oversubscription",
                .min = 1,
                .max = 64,
                .step = 0.5,
                .help = "Bandwidth of a node below the switch over its share above it: how much "
                        "slower messages beyond nodes_per_switch are."},
          self.oversubscription);
    visit(Field{.name = "slowdown_per_doubling",
                .min = 0,
                .max = 0.2,
                .step = 0.001,
                .help = "Share by which a step takes longer for each doubling of the nodes: every "
                        "rank waits for the slowest.",
                .source = "Jiang et al. 2024, MegaScale, section 6.3: about 0.5 % of machines "
                          "about 10 % slow"},
          self.slowdown_per_doubling);
    visit(Field{.name = "host", .help = "Memory and disks of a node."}, self.host);
    visit(Field{.name = "power_usage_effectiveness",
                .min = 1,
                .max = 5,
                .step = 0.01,
                .help = "Power of the site over power of the machines."},
          self.power_usage_effectiveness);
    visit(Field{.name = "grid_gco2_per_kwh",
                .unit = "gCO2e/kWh",
                .min = 0,
                .max = 5000,
                .step = 10,
                .help = "Carbon intensity of the electricity.",
                .source = "Our World in Data 2023, world average 475"},
          self.grid_gco2_per_kwh);
    visit(Field{.name = "operation", .help = "Failures, storage, money and power of the nodes."},
          self.operation);
  }
};

}  // namespace tera::spec
