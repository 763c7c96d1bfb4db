#include "core/plan/memory_fit.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/offload_cost.h"
#include "core/plan/placement.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

std::string hint_for(const RunSpec& spec, const std::string& most) {
  if (most == "activations") {
    return spec.layout.micro_batch_size > 1
               ? "lower micro_batch_size, or use recompute selective or full"
               : "use recompute selective or full, or raise tensor or context parallel size";
  }
  if (most == "logits") {
    return spec.layout.micro_batch_size > 1 ? "lower micro_batch_size"
                                            : "raise tensor_parallel_size";
  }
  const bool state = most == "moments" || most == "master";
  if (state && spec.layout.zero_stage == 0) return "use zero_stage 1";
  if (state && spec.layout.zero_replicas > 1) return "lower zero_replicas";
  if (spec.model.num_experts > 0 && (most == "weights" || most == "gradients"))
    return "raise expert_parallel_size or pipeline_parallel_size";
  if (state && spec.cluster.host.memory_bytes > 0) return "use offload.optimizer host";
  return "raise pipeline_parallel_size or tensor_parallel_size";
}

void judge_device(const RunSpec& spec, Estimate& result) {
  result.fits = result.worst_bytes <= result.capacity_bytes;
  if (result.fits) return;
  const Term& worst = result.stages[static_cast<std::size_t>(result.worst_stage)].memory;
  const auto largest =
      std::max_element(worst.children.begin(), worst.children.end(),
                       [](const Term& a, const Term& b) { return a.value < b.value; });
  result.diagnostics.push_back(
      {.severity = Severity::error,
       .field = "layout",
       .message = fmt::format("stage {} needs {} per rank, a device has {}; most is {}: {}",
                              result.worst_stage, format_bytes(result.worst_bytes),
                              format_bytes(result.capacity_bytes), largest->label,
                              format_bytes(largest->value)),
       .hint = hint_for(spec, largest->label)});
}

void judge_place(Estimate& result,
                 double needed,
                 double capacity,
                 const char* field,
                 const char* what,
                 const char* hint) {
  if (needed <= capacity) return;
  result.fits = false;
  result.diagnostics.push_back(
      {.severity = Severity::error,
       .field = field,
       .message = fmt::format("a node needs {} {}, it has {}", format_bytes(needed), what,
                              format_bytes(capacity)),
       .hint = hint});
}

}  // namespace

void judge_memory(const RunSpec& spec, Estimate& result) {
  result.capacity_bytes = spec.cluster.device.memory_bytes / ranks_per_device(spec);
  double host = 0;
  double nvme = 0;
  for (const StageMemory& stage : result.stages) {
    host = std::max(host, stage.host_bytes);
    nvme = std::max(nvme, stage.nvme_bytes);
    if (stage.bytes() <= result.worst_bytes) continue;
    result.worst_bytes = stage.bytes();
    result.worst_low_bytes = stage.low_bytes;
    result.worst_high_bytes = stage.high_bytes;
    result.worst_stage = stage.stage;
  }
  judge_device(spec, result);
  if (!spec.layout.offload.any()) return;
  const double ranks = ranks_per_host(spec);
  result.host_bytes = ranks * host;
  result.nvme_bytes = ranks * nvme;
  result.host_capacity_bytes = spec.cluster.host.memory_bytes;
  result.nvme_capacity_bytes = spec.cluster.host.nvme_bytes;
  judge_place(result, result.host_bytes, result.host_capacity_bytes, "layout.offload",
              "of host memory",
              "raise zero_stage or the number of nodes, or use nvme for what is largest");
  judge_place(result, result.nvme_bytes, result.nvme_capacity_bytes, "layout.offload", "of disks",
              "raise zero_stage or the number of nodes");
}

}  // namespace tera::plan
