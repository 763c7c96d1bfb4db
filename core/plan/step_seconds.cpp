#include "core/plan/step_seconds.h"

#include <algorithm>
#include <cmath>

#include "core/plan/layer_traffic.h"
#include "core/plan/param_table.h"
#include "core/plan/placement.h"
#include "core/plan/state_bytes.h"
#include "core/plan/time_constants.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

GradientSync gradient_sync(const RunSpec& spec,
                           const RankMesh& mesh,
                           const LayerCost& cost,
                           const BusiestStage& busiest,
                           double micro_batches) {
  const spec::ParallelLayout& layout = spec.layout;
  const LocalParams& params = busiest.params;
  const GroupShape dense = group_shape(mesh.group(0, Axis::context, Axis::data), spec);
  const GroupShape experts = group_shape(mesh.group(0, Axis::expert_data), spec);
  const auto weight_bytes =
      static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision)));
  const auto gather_s = [&](double bytes_per_element) {
    return cost.comm().all_gather_s(dense, params.dense * bytes_per_element) +
           cost.comm().all_gather_s(experts, params.experts * bytes_per_element);
  };
  GradientSync sync;
  if (dense.size <= 1 && experts.size <= 1) return sync;
  const bool overlaps = spec.software.gradient_overlap && !spec.cluster.device.is_cpu;
  const int layers = std::max(1, busiest.num_layers);
  // What is shared out travels layer by layer; without overlap, tensor by tensor.
  const double messages =
      layout.zero_stage < 2 ? 1 : layers * (overlaps ? 1 : kTensorsOfLayer.value);
  const double latency_s = (messages - 1) * cost.comm().all_gather_s(dense, 0);
  // DeepSpeed's first stage sums all gradients everywhere and uses its share.
  const bool sums_all =
      layout.zero_stage == 0 ||
      (layout.zero_stage == 1 && spec.software.framework == spec::Framework::deepspeed);
  // TeraGPT exchanges gradients once a step, whatever is shared out (keeps_whole_gradients).
  const bool each_time =
      layout.zero_stage >= 2 && spec.software.framework != spec::Framework::teragpt;
  const double passes = each_time ? micro_batches : 1;
  sync.gradients_s = (gather_s(gradient_sum_bytes(spec)) + latency_s) * passes * (sums_all ? 2 : 1);
  if (layout.zero_stage > 0) sync.weights_s = gather_s(weight_bytes) + latency_s;
  if (layout.zero_stage == 3) sync.weights_s *= 2 * micro_batches;
  const double all_s = sync.gradients_s + sync.weights_s;
  // Gradients overlap with the backward of the last micro-batch, weights with the first forward;
  // a part is left over. Thread ranks on a processor sum after the last backward.
  const double window = kGradientWindow.value * busiest.pass.total() *
                        (layout.zero_stage == 3 ? micro_batches : passes);
  const double shown = std::max(1.0 / layers, cost.fitted().gradient_shown);
  if (layout.zero_stage >= 2 && spec.software.framework == spec::Framework::torchtitan) {
    const double copied = gradient_sum_bytes(spec) > 2 ? kMessageCopies.value + kMessageCasts.value
                                                       : kMessageCopies.value;
    sync.copies_s =
        copied * (params.dense + params.experts) * micro_batches / cost.memory_bytes_per_s();
  }
  if (overlaps) {
    sync.exposed_s = std::max(all_s - window, all_s * shown) + sync.copies_s;
  } else {
    sync.exposed_s = spec.cluster.device.is_cpu ? all_s : all_s * cost.fitted().sync_apart;
  }
  return sync;
}

void add_stragglers(const RunSpec& spec, StepSeconds& step) {
  step.stragglers_s = 0;
  const double doublings = std::log2(std::max(1, spec.cluster.num_nodes));
  step.stragglers_s = step.total_s() * doublings * spec.cluster.slowdown_per_doubling;
}

template <std::size_t N>
double sum_of(const StepSeconds& step, const std::array<double Seconds::*, N>& kinds) {
  double sum = 0;
  for (double Seconds::*kind : kinds)
    sum += step.of_kind(kind);
  return sum;
}

}  // namespace

double StepSeconds::compute_s() const {
  return sum_of(*this, kComputeKinds);
}

double StepSeconds::communication_s() const {
  return sum_of(*this, kCommunicationKinds) + waits_s + sends_s + sync.exposed_s;
}

double StepSeconds::busy_share() const {
  const double total = total_s();
  return total > 0 ? (compute_s() + optimizer_s) / total : 0;
}

double update_bytes(const LocalParams& params) {
  return params.update_bytes + (params.dense + params.experts) * kNormAndZeroBytes;
}

double update_flops_per_s(const RunSpec& spec) {
  const spec::DeviceSpec& device = spec.cluster.device;
  return device.peak_flops_per_s_f32 * device.matmul_share(true) / ranks_per_device(spec);
}

Result<PlayedSchedule> play_pipeline(const PipelineSchedule& schedule, const ScheduleTimes& times) {
  TERA_TRY(const PlayedStep apart, play(schedule, {.links = times.links, .send_s = {}}));
  PlayedSchedule played{.apart_s = apart.step_s, .step_s = apart.step_s};
  if (times.send_s.empty()) return played;
  TERA_TRY(const PlayedStep with_messages, play(schedule, times));
  played.step_s = with_messages.step_s;
  return played;
}

void add_offload(const RunSpec& spec, const OffloadTraffic& traffic, StepSeconds& step) {
  step.traffic = traffic;
  step.offload = offload_seconds(spec, traffic, step.busy_s());
  if (spec.layout.offload.optimizer != spec::OffloadTier::none) step.optimizer_s = 0;
  add_stragglers(spec, step);
}

StepSeconds step_seconds(const RunSpec& spec,
                         const RankMesh& mesh,
                         const LayerCost& cost,
                         const BusiestStage& busiest,
                         const PlayedSchedule& played) {
  StepSeconds step;
  step.micro_batches = static_cast<double>(pipeline_shape(spec).num_micro_batches);
  step.pass = busiest.pass;
  step.waits_s = std::max(0.0, played.step_s - played.apart_s);
  step.bubble_s = std::max(0.0, played.apart_s - step.busy_s());
  const PipelineShape shape = pipeline_shape(spec);
  if (shape.num_stages > 1) {  // both ways, for each pass of a micro-batch through a chunk
    const double passes = step.micro_batches * shape.num_chunks + shape.num_stages - 1;
    step.send_wait_s = cost.blocking_send_s();
    step.sends_s = 2 * passes * step.send_wait_s;
  }
  step.sync = gradient_sync(spec, mesh, cost, busiest, step.micro_batches);
  const LocalParams& params = busiest.params;
  step.optimizer_s = update_bytes(params) / cost.memory_bytes_per_s();
  if (!fuses_elementwise(spec.software)) step.optimizer_s *= cost.fitted().eager_update;
  if (params.update_flops > 0) step.optimizer_s += params.update_flops / update_flops_per_s(spec);
  add_stragglers(spec, step);
  if (spec.layout.offload.any()) add_offload(spec, stage_traffic(spec, mesh, busiest.stage), step);
  return step;
}

}  // namespace tera::plan
