// Rules of the layout and of the cluster it runs on.
#include <algorithm>
#include <limits>
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

// value must be a multiple of the axis size.
void must_divide(Findings& findings,
                 const char* axis,
                 std::int64_t size,
                 const char* field,
                 std::int64_t whole) {
  if (size > 0 && whole % size != 0) {
    findings.error(axis, fmt::format("{} does not divide {} = {}", size, field, whole),
                   nearest_divisors(whole, size));
  }
}

void check_tensor_axis(const RunSpec& spec, Findings& findings) {
  const ModelConfig& m = spec.model;
  const ParallelLayout& layout = spec.layout;
  const int size = layout.tensor_parallel_size;
  constexpr const char* kAxis = "layout.tensor_parallel_size";
  if (size == 1) {
    if (layout.sequence_parallel) {
      findings.note("layout.sequence_parallel", "has no effect with tensor_parallel_size 1", "");
    }
    return;
  }
  must_divide(findings, kAxis, size, "model.num_attention_heads", m.num_attention_heads);
  const int kv_heads = m.num_key_value_heads;
  if (m.attention == AttentionKind::grouped_query && kv_heads % size != 0) {
    if (size % kv_heads == 0) {
      findings.warning(
          kAxis,
          fmt::format(
              "{} is more than model.num_key_value_heads = {}: key and value heads are replicated",
              size, kv_heads),
          fmt::format("use at most {}", kv_heads));
    } else {
      must_divide(findings, kAxis, size, "model.num_key_value_heads", kv_heads);
    }
  }
  if (m.num_moe_layers(m.num_layers) < m.num_layers) {
    must_divide(findings, kAxis, size, "model.ffn_hidden_size", m.ffn_hidden_size);
  }
  if (m.num_experts > 0 && m.num_shared_experts > 0) {
    must_divide(findings, kAxis, size, "model.moe_ffn_hidden_size x num_shared_experts",
                std::int64_t{m.moe_ffn_hidden_size} * m.num_shared_experts);
  }
  if (m.vocab_size % size != 0) {
    findings.warning(
        "model.vocab_size",
        fmt::format("{} is not a multiple of tensor_parallel_size = {}: rows are padded",
                    m.vocab_size, size),
        fmt::format("use {}", (m.vocab_size / size + 1) * std::int64_t{size}));
  }
  if (m.num_experts > 0 && !layout.sequence_parallel) {
    findings.error(
        "layout.sequence_parallel",
        fmt::format(
            "false, but experts with tensor_parallel_size = {} would each see every token {} times",
            size, size),
        "use true");
  }
  if (layout.sequence_parallel &&
      (spec.training.seq_length / std::max(1, layout.context_parallel_size)) % size != 0) {
    must_divide(findings, kAxis, size, "seq_length / context_parallel_size",
                spec.training.seq_length / std::max(1, layout.context_parallel_size));
  }
}

void check_expert_axes(const RunSpec& spec, Findings& findings) {
  const ModelConfig& m = spec.model;
  const ParallelLayout& layout = spec.layout;
  const int experts = layout.expert_parallel_size;
  const int inner = layout.expert_tensor_parallel_size;
  if (m.num_experts == 0) {
    if (experts > 1 || inner > 1) {
      findings.error(
          experts > 1 ? "layout.expert_parallel_size" : "layout.expert_tensor_parallel_size",
          fmt::format("{}, but the model has no experts", experts > 1 ? experts : inner), "use 1");
    }
    return;
  }
  must_divide(findings, "layout.expert_parallel_size", experts, "model.num_experts", m.num_experts);
  must_divide(findings, "layout.expert_tensor_parallel_size", inner, "model.moe_ffn_hidden_size",
              m.moe_ffn_hidden_size);
  const std::int64_t stage = std::int64_t{layout.tensor_parallel_size} *
                             layout.context_parallel_size * layout.data_parallel_size;
  const std::int64_t folded = std::int64_t{experts} * inner;
  if (stage % folded != 0) {
    findings.error("layout.expert_parallel_size",
                   fmt::format("expert_parallel_size x expert_tensor_parallel_size = {} does not "
                               "divide the {} ranks of a "
                               "pipeline stage (tensor x context x data)",
                               folded, stage),
                   inner == 1 ? nearest_divisors(stage, experts)
                              : "use a smaller expert_tensor_parallel_size");
  }
}

// What the published schedules ask of stages, chunks and micro-batches.
void check_schedule(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  const std::string kind(enum_name(layout.schedule));
  const int stages = layout.pipeline_parallel_size;
  const int chunks = layout.virtual_stages;
  const bool one_chunk =
      layout.schedule != ScheduleKind::interleaved && !runs_in_v(layout.schedule);
  constexpr const char* kChunks = "layout.virtual_stages";
  if (one_chunk && chunks != 1) {
    findings.error(
        kChunks, fmt::format("{}, but the schedule {} has one model chunk per rank", chunks, kind),
        "use 1, or the schedule interleaved");
  } else if (runs_in_v(layout.schedule) && chunks != 2) {
    findings.error(
        kChunks, fmt::format("{}, but the schedule {} has two model chunks per rank", chunks, kind),
        "use 2");
  } else if (layout.schedule == ScheduleKind::interleaved && chunks < 2) {
    findings.error(kChunks, "1, but the schedule interleaved needs several model chunks per rank",
                   "use 2, or the schedule 1f1b");
  }
  const std::int64_t links = std::int64_t{stages} * chunks;
  const int parts = spec.pipeline_parts().total();
  if (chunks > 1 && links > parts) {
    findings.error(kChunks,
                   fmt::format("pipeline_parallel_size x virtual_stages = {} x {} is more than "
                               "model.num_layers = {}{}",
                               stages, chunks, spec.model.num_layers,
                               layout.ends_count_as_layers ? " and both ends" : ""),
                   fmt::format("use at most {}", std::max(1, parts / stages)));
  }
  if (layout.schedule == ScheduleKind::gpipe || layout.schedule == ScheduleKind::one_f_one_b)
    return;
  if (stages == 1) {
    findings.error("layout.schedule", fmt::format("{} with pipeline_parallel_size 1", kind),
                   "use 1f1b");
    return;
  }
  const std::int64_t count = spec.num_micro_batches();  // 0: found elsewhere
  const auto batch_of = [&](std::int64_t micro_batches) {
    return fmt::format("use training.global_batch_size {}",
                       micro_batches * layout.micro_batch_size * layout.data_parallel_size);
  };
  if (layout.schedule == ScheduleKind::interleaved && count % stages != 0) {
    findings.error("layout.schedule",
                   fmt::format("interleaved with {} micro-batches, which is not a multiple of "
                               "pipeline_parallel_size = {}",
                               count, stages),
                   batch_of((count / stages + 1) * stages));
  }
  if (layout.schedule == ScheduleKind::dualpipe_v && count > 0 && count < 2 * stages) {
    findings.error("layout.schedule",
                   fmt::format("dualpipe-v with {} micro-batches, fewer than "
                               "2 x pipeline_parallel_size = {}",
                               count, 2 * stages),
                   batch_of(2 * std::int64_t{stages}));
  }
}

void check_pipeline_axis(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  const int stages = layout.pipeline_parallel_size;
  const int parts = spec.pipeline_parts().total();
  const char* const ends = layout.ends_count_as_layers ? " and both ends" : "";
  if (stages > parts) {
    findings.error(
        "layout.pipeline_parallel_size",
        fmt::format("{} is more than model.num_layers = {}{}", stages, spec.model.num_layers, ends),
        fmt::format("use at most {}", parts));
  } else if (layout.virtual_stages == 1 && parts % stages != 0) {
    findings.note(
        "layout.pipeline_parallel_size",
        fmt::format(
            "{} does not divide model.num_layers = {}{}: the first {} stages hold {}, the others "
            "{}",
            stages, spec.model.num_layers, ends, parts % stages,
            layout.ends_count_as_layers ? fmt::format("{} of them", parts / stages + 1)
                                        : fmt::format("{} layers", parts / stages + 1),
            parts / stages),
        nearest_divisors(parts, stages) + " for equal stages");
  }
  check_schedule(spec, findings);
}

void check_context_axis(const RunSpec& spec, Findings& findings) {
  const int size = spec.layout.context_parallel_size;
  // Each rank holds one chunk from the front and one from the back, so that causal work is even.
  if (size > 1 && spec.training.seq_length % (2 * std::int64_t{size}) != 0) {
    const std::int64_t chunk = 2 * std::int64_t{size};
    const std::int64_t below = spec.training.seq_length / chunk * chunk;
    findings.error("training.seq_length",
                   fmt::format("{} is not a multiple of 2 x context_parallel_size = {}",
                               spec.training.seq_length, chunk),
                   below > 0 ? fmt::format("use {} or {}", below, below + chunk)
                             : fmt::format("use {}", chunk));
  }
}

void check_sharding(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  if (layout.zero_stage >= 2 && layout.pipeline_parallel_size > 1) {
    findings.warning(
        "layout.zero_stage",
        fmt::format("{} with a pipeline repeats its communication for every micro-batch",
                    layout.zero_stage),
        "use 1 with pipeline_parallel_size > 1");
  }
  if (layout.zero_stage > 0 &&
      std::int64_t{layout.data_parallel_size} * layout.context_parallel_size == 1) {
    findings.note("layout.zero_stage", "has no effect with one replica", "");
  }
}

// Ranks that hold one replica of experts in a stage: of those that are not there, as of the rest.
std::int64_t folded_ranks(const RunSpec& spec) {
  const ParallelLayout& layout = spec.layout;
  if (spec.model.num_experts == 0) return layout.tensor_parallel_size;
  return std::int64_t{layout.expert_parallel_size} * layout.expert_tensor_parallel_size;
}

// Where the framework that runs it puts ranks. DeepSpeed: PipeModelDataParallelTopology, with axes
// pipe, data, model; TorchTitan: ParallelDims, pp before dp, cp and tp.
void check_rank_order(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  if (layout.rank_order == RankOrder::tp_cp_ep_dp_pp) return;
  constexpr const char* kField = "layout.rank_order";
  const std::string_view order = enum_name(layout.rank_order);
  const std::string hint = fmt::format("use {}", enum_name(RankOrder::tp_cp_ep_dp_pp));
  const Framework framework = spec.software.framework;
  if (framework == Framework::deepspeed || framework == Framework::torchtitan) {
    findings.error(kField,
                   fmt::format("{}, but framework {} always puts stages farthest apart", order,
                               enum_name(framework)),
                   hint);
  } else if (framework == Framework::megatron_lm && !megatron_alternates_stages(spec)) {
    findings.error(
        kField,
        fmt::format("{}, but framework megatron_lm wants as many replicas of experts as of the "
                    "rest: each is on {} and {} ranks of a stage",
                    order, folded_ranks(spec),
                    std::int64_t{layout.tensor_parallel_size} * layout.context_parallel_size),
        hint);
  } else if (layout.pipeline_parallel_size == 1 || layout.data_parallel_size == 1) {
    findings.note(kField,
                  fmt::format("has no effect with {} 1", layout.pipeline_parallel_size == 1
                                                             ? "pipeline_parallel_size"
                                                             : "data_parallel_size"),
                  "");
  }
}

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

void check_layout(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  const double ranks = double{1} * layout.tensor_parallel_size * layout.context_parallel_size *
                       layout.data_parallel_size * layout.pipeline_parallel_size;
  const double folded =
      double{1} * layout.expert_parallel_size * layout.expert_tensor_parallel_size;
  if (ranks > std::numeric_limits<int>::max() || folded > std::numeric_limits<int>::max()) {
    findings.error(
        "layout",
        fmt::format("{:.3g} ranks, expected at most 2,147,483,647", std::max(ranks, folded)),
        "lower the sizes of the axes");
    return;
  }
  check_tensor_axis(spec, findings);
  check_context_axis(spec, findings);
  check_pipeline_axis(spec, findings);
  check_expert_axes(spec, findings);
  check_rank_order(spec, findings);
  check_sharding(spec, findings);
  if (!is_described(spec.cluster)) return;
  check_offload(spec, findings);
  check_ranks(spec, findings);
}

bool megatron_alternates_stages(const RunSpec& spec) {
  return spec.layout.pipeline_parallel_size == 1 ||
         folded_ranks(spec) ==
             std::int64_t{spec.layout.tensor_parallel_size} * spec.layout.context_parallel_size;
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
