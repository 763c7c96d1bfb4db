#include "core/plan/operation_starts.h"

#include <algorithm>

#include "core/plan/time_constants.h"

namespace tera::plan {
namespace {

bool starts_block(const spec::RunSpec& spec) {
  return spec.software.framework == spec::Framework::deepspeed && spec.layout.zero_stage > 0 &&
         !spec.software.compiled;
}

}  // namespace

void set_starts(const spec::RunSpec& spec,
                const FittedTimes& fitted,
                double num_ops,
                double num_weight_ops,
                PassCost& cost) {
  const bool one_by_one = spec.software.framework == spec::Framework::teragpt;
  const double once_s = spec.cluster.device.op_overhead_s * (one_by_one ? 1 : fitted.kernel_gap);
  cost.forward.overhead = num_ops * once_s;
  cost.backward.overhead = 2 * num_ops * once_s;
  cost.weight.overhead = num_weight_ops * once_s;
}

void add_host_wait(const spec::RunSpec& spec,
                   const FittedTimes& fitted,
                   bool moe,
                   const ExpertPart& experts,
                   PassCost& cost) {
  const spec::SoftwareConfig& software = spec.software;
  const spec::GraphScope recorded = software.cuda_graphs;
  if (software.framework == spec::Framework::teragpt || recorded == spec::GraphScope::full) return;
  const bool torch_compiles =
      software.compiled && software.framework == spec::Framework::torchtitan;
  const bool overlaps = moe && software.expert_overlap;
  const double op_s = spec.cluster.device.op_overhead_s * fitted.host_ops *
                      (torch_compiles ? kCompiledHost.value : 1) *
                      (overlaps ? fitted.overlap_host : 1);
  double experts_s = 0;  // of a forward pass; twice as many backward
  if (moe) {
    const double local = double{1} * spec.model.num_experts / spec.layout.expert_parallel_size;
    experts_s =
        op_s * (kExpertOps.value * local +
                (recorded == spec::GraphScope::none ? fitted.routing_ops : fitted.dispatch_ops));
  }
  const double share = recorded == spec::GraphScope::layers ? 0 : op_s;  // attention is recorded
  const double forward_s = kForwardOps.value * share;
  const double backward_s = kBackwardOps.value * share;
  if (starts_block(spec)) {
    cost.forward.overhead += fitted.blocking_start * (kForwardOps.value * op_s + experts_s);
    cost.backward.overhead += fitted.blocking_start * (kBackwardOps.value * op_s + 2 * experts_s);
    return;
  }
  if (overlaps) {
    const double started_s = forward_s + backward_s + 3 * experts_s;
    const double wait_s = std::max(0.0, started_s - cost.forward.total() - cost.backward.total());
    cost.forward.overhead += wait_s * (forward_s + experts_s) / started_s;
    cost.backward.overhead += wait_s * (backward_s + 2 * experts_s) / started_s;
    return;
  }
  const bool knows_rows = spec.model.capacity_pad;
  const auto wait = [&](double layer_s, double started_s, double part_s, Seconds& pass) {
    if (!moe || knows_rows) {
      pass.overhead += std::max(0.0, layer_s + started_s - pass.total());
      return;
    }
    const double expert_s = part_s + pass.expert;
    const double rest_s = pass.total() - expert_s;
    pass.overhead += std::max(0.0, started_s - expert_s) + std::max(0.0, layer_s - rest_s);
  };
  wait(forward_s, experts_s, experts.forward_s, cost.forward);
  wait(backward_s, 2 * experts_s, experts.backward_s, cost.backward);
}

}  // namespace tera::plan
