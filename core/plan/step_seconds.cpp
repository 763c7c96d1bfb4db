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

// Over the replicas of dense parameters and of experts, or over the parts of them that hold a copy
// or a shard of what ZeRO shards.
using GroupOf = RankGroup (RankMesh::*)(int rank, bool experts) const;
class Gather {
 public:
  Gather(const RunSpec& spec, const RankMesh& mesh, const LayerCost& cost, GroupOf group)
      : comm_(cost.comm()),
        dense_(group_shape((mesh.*group)(0, false), spec)),
        experts_(spec.model.num_experts > 0 ? group_shape((mesh.*group)(0, true), spec)
                                            : GroupShape{}) {}
  double seconds(double dense_bytes, double expert_bytes) const {
    const double of_experts_s = expert_bytes > 0 ? comm_.all_gather_s(experts_, expert_bytes) : 0;
    return comm_.all_gather_s(dense_, dense_bytes) + of_experts_s;
  }
  // Of each message but the first, whose latency is in seconds().
  double latency_s(double messages) const { return (messages - 1) * comm_.all_gather_s(dense_, 0); }
  bool alone() const { return dense_.size <= 1 && experts_.size <= 1; }

 private:
  const CommCost& comm_;
  GroupShape dense_, experts_;
};

GradientSync gradient_sync(const RunSpec& spec,
                           const RankMesh& mesh,
                           const LayerCost& cost,
                           const BusiestStage& busiest,
                           double micro_batches) {
  const spec::ParallelLayout& layout = spec.layout;
  const spec::Framework framework = spec.software.framework;
  const LocalParams& params = busiest.params;
  const Gather replicas(spec, mesh, cost, &RankMesh::replicas);
  GradientSync sync;
  if (replicas.alone()) return sync;
  const Gather shards(spec, mesh, cost, &RankMesh::shards);
  const int zero_stage = shards.alone() ? 0 : layout.zero_stage;
  const bool overlaps = spec.software.gradient_overlap && !spec.cluster.device.is_cpu;
  const int layers = std::max(1, busiest.num_layers);
  // What is shared out travels layer by layer; without overlap, tensor by tensor.
  const double messages = zero_stage < 2 ? 1 : layers * (overlaps ? 1 : kTensorsOfLayer.value);
  // TeraGPT exchanges gradients once a step, whatever is shared out (keeps_whole_gradients).
  const bool each_time = zero_stage >= 2 && framework != spec::Framework::teragpt;
  const double passes = each_time ? micro_batches : 1;
  const double dense_bytes = params.dense * gradient_sum_bytes(spec);
  const double expert_bytes = params.experts * gradient_sum_bytes(spec);
  // DeepSpeed's first stage sums all gradients everywhere and uses its share.
  if (zero_stage == 0 || (zero_stage == 1 && framework == spec::Framework::deepspeed)) {
    sync.gradients_s = 2 * replicas.seconds(dense_bytes, expert_bytes);
  } else {
    sync.gradients_s =
        (shards.seconds(dense_bytes, expert_bytes) + shards.latency_s(messages)) * passes;
    // Then over the copies, by DeepSpeed after the last micro-batch alone: Zhang et al. 2022, MiCS,
    // 2-hop gradient synchronization.
    const Gather copies(spec, mesh, cost, &RankMesh::copies);
    const double sums =
        copies.seconds(dense_bytes / mesh.num_shards(false), expert_bytes / mesh.num_shards(true)) +
        copies.latency_s(messages);
    sync.gradients_s += 2 * sums * (framework == spec::Framework::deepspeed ? 1 : passes);
  }
  if (zero_stage > 0) {
    const auto bytes = static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision)));
    sync.weights_s =
        shards.seconds(params.dense * bytes, params.experts * bytes) + shards.latency_s(messages);
  }
  if (zero_stage == 3) sync.weights_s *= 2 * micro_batches;
  const double all_s = sync.gradients_s + sync.weights_s;
  // Gradients overlap with the backward of the last micro-batch, weights with the first forward;
  // a part is left over. Thread ranks on a processor sum after the last backward.
  const double window =
      kGradientWindow.value * busiest.pass.total() * (zero_stage == 3 ? micro_batches : passes);
  const double shown = std::max(1.0 / layers, cost.fitted().gradient_shown);
  if (zero_stage >= 2 && framework == spec::Framework::torchtitan) {
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
