#include "core/plan/time_model.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/layer_cost.h"
#include "core/plan/param_table.h"
#include "core/plan/placement.h"
#include "core/plan/stage_times.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

// Likely range around each kind of time. Products are well known, links and what overlaps less so.
struct Spread {
  double low;
  double high;
};
constexpr Spread kComputeSpread{0.85, 1.25};
constexpr Spread kCommunicationSpread{0.7, 1.8};
constexpr Spread kOptimizerSpread{0.8, 1.4};

// Exposed seconds of summing gradients and gathering weights, once per step.
struct DataParallel {
  double gradients_s = 0;
  double weights_s = 0;
  std::string formula;
  double exposed_s = 0;
};

DataParallel data_parallel(const RunSpec& spec,
                           const RankMesh& mesh,
                           const LayerCost& cost,
                           const StageTimes& times,
                           double micro_batches) {
  const spec::ParallelLayout& layout = spec.layout;
  const LocalParams& params = times.busiest_params;
  const GroupShape dense = group_shape(mesh.group(0, Axis::context, Axis::data), spec);
  const GroupShape experts = group_shape(mesh.group(0, Axis::expert_data), spec);
  const auto weight_bytes =
      static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision)));
  const auto gather_s = [&](double bytes_per_element) {
    return cost.comm().all_gather_s(dense, params.dense * bytes_per_element) +
           cost.comm().all_gather_s(experts, params.experts * bytes_per_element);
  };
  DataParallel sync;
  if (dense.size <= 1 && experts.size <= 1) return sync;
  const double per_step = layout.zero_stage >= 2 ? micro_batches : 1;
  sync.gradients_s = gather_s(4) * per_step * (layout.zero_stage == 0 ? 2 : 1);
  if (layout.zero_stage > 0) sync.weights_s = gather_s(weight_bytes);
  if (layout.zero_stage == 3) sync.weights_s *= 2 * micro_batches;
  const double all_s = sync.gradients_s + sync.weights_s;
  // Gradients overlap with the backward of the last micro-batch, weights with the first forward;
  // one layer's share is left over. Thread ranks on a processor sum after the last backward.
  const double passes = layout.zero_stage >= 2 ? micro_batches : 1;
  const int layers = std::max(1, num_stage_layers(stage_chunks(spec, times.busiest)));
  const double window = times.busiest_pass().total() * passes;
  sync.exposed_s = spec.cluster.device.is_cpu ? all_s : std::max(all_s - window, all_s / layers);
  sync.formula =
      fmt::format("gradients {} (f32, {} parameters) + weights {}; {} overlapped",
                  format_seconds(sync.gradients_s), format_count(params.dense + params.experts),
                  format_seconds(sync.weights_s), format_seconds(all_s - sync.exposed_s));
  return sync;
}

Term leaf(std::string label, double seconds, std::string formula, std::string_view source) {
  return {.label = std::move(label),
          .value = seconds,
          .unit = "s",
          .formula = std::move(formula),
          .source = std::string(source),
          .children = {}};
}

struct NamedKind {
  const char* label;
  double Seconds::*member;
  const char* source;
};

// Children of one kind: micro-batches x (forward + backward) of the busiest stage.
template <std::size_t N>
std::vector<Term> kind_terms(const NamedKind (&kinds)[N],
                             const PassCost& pass,
                             double micro_batches) {
  std::vector<Term> terms;
  for (const NamedKind& kind : kinds) {
    const double forward = pass.forward.*kind.member;
    const double backward = pass.backward.*kind.member;
    if (forward + backward <= 0) continue;
    terms.push_back(
        leaf(kind.label, micro_batches * (forward + backward),
             fmt::format("{:.0f} micro-batches x (forward {} + backward {})", micro_batches,
                         format_seconds(forward), format_seconds(backward)),
             kind.source));
  }
  return terms;
}

Term compute_term(const RunSpec& spec,
                  const LayerCost& cost,
                  const StageTimes& times,
                  double micro_batches) {
  static constexpr NamedKind kKinds[] = {
      {"dense products", &Seconds::dense,
       "roofline: max(flops / reached peak, bytes / reached bandwidth)"},
      {"expert products", &Seconds::experts,
       "roofline: max(flops / reached peak, bytes / reached bandwidth)"},
      {"attention", &Seconds::attention,
       "causal flops / (reached peak x 0.7); Dao 2023, FlashAttention-2"},
      {"streaming operations", &Seconds::streaming, "bytes read and written / reached bandwidth"},
      {"head and loss", &Seconds::head, "three products with the vocabulary, f32 logits"},
      {"recomputation", &Seconds::recompute, "forward work repeated in backward; Chen et al. 2016"},
      {"operation overhead", &Seconds::overhead, "operations x cluster.device.op_overhead_s"}};
  Term term = sum_term("compute", "s", kind_terms(kKinds, times.busiest_pass(), micro_batches));
  term.formula = fmt::format("busiest stage {} at {} x {:.2f}; {}", times.busiest,
                             format_rate(cost.peak_flops_per_s(), "FLOP/s"),
                             spec.cluster.device.matmul_efficiency, term.formula);
  return term;
}

// waits_s: what messages between stages add to the step.
Term communication_term(const StageTimes& times,
                        const DataParallel& sync,
                        double micro_batches,
                        double waits_s) {
  static constexpr NamedKind kKinds[] = {
      {"tensor parallel", &Seconds::tensor,
       "ring all-gather and reduce-scatter; Korthikanti et al. 2022, section 4.2"},
      {"expert parallel", &Seconds::expert,
       "all-to-all of T x top-k rows, dispatch and combine, not overlapped"},
      {"context parallel", &Seconds::context,
       "keys and values round a ring, beyond what attention hides; Liu et al. 2023"}};
  std::vector<Term> terms = kind_terms(kKinds, times.busiest_pass(), micro_batches);
  if (waits_s > 0) {
    terms.push_back(
        leaf("pipeline", waits_s,
             fmt::format("simulated with {} per message between stages, less simulated with none",
                         format_seconds(times.schedule.send_s.front())),
             "activations and their gradients travel beside the work; waits are played"));
  }
  if (sync.gradients_s > 0) {
    terms.push_back(leaf("data parallel", sync.exposed_s, sync.formula,
                         "ring, one level per link; Rajbhandari et al. 2020"));
  }
  return sum_term("communication", "s", std::move(terms));
}

// Elementwise work at the speed of memory, the products of muon in f32 at that of the device.
Term optimizer_term(const RunSpec& spec, const LayerCost& cost, const LocalParams& params) {
  constexpr double kNormAndZeroBytes = 8;
  const double gradients = params.dense + params.experts;
  const double bytes = params.update_bytes + gradients * kNormAndZeroBytes;
  const spec::DeviceSpec& device = spec.cluster.device;
  double products_s = 0;
  std::string formula = fmt::format(
      "({} elements x {:.3g} B + {} gradients x {:.0f} B) / {}", format_count(params.updated),
      params.updated > 0 ? params.update_bytes / params.updated : 0, format_count(gradients),
      kNormAndZeroBytes, format_rate(cost.memory_bytes_per_s(), "B/s"));
  if (params.update_flops > 0) {
    const double flops_per_s =
        device.peak_flops_per_s_f32 * device.matmul_efficiency / ranks_per_device(spec);
    products_s = params.update_flops / flops_per_s;
    formula += fmt::format(" + Newton-Schulz {} / {}", format_rate(params.update_flops, "FLOP"),
                           format_rate(flops_per_s, "FLOP/s"));
  }
  return leaf("optimizer", bytes / cost.memory_bytes_per_s() + products_s, std::move(formula),
              "bytes read and written / reached bandwidth; Jordan et al. 2024");
}

// What the played schedule is known to leave idle where all stages take the same time.
std::string_view bubble_source(spec::ScheduleKind kind) {
  switch (kind) {
    case spec::ScheduleKind::gpipe:
    case spec::ScheduleKind::one_f_one_b:
      return "Narayanan et al. 2021, section 2.2: (p - 1) / m of the work for equal stages";
    case spec::ScheduleKind::interleaved:
      return "Narayanan et al. 2021, section 2.2.2: (p - 1) / (v m) of the work for equal stages";
    case spec::ScheduleKind::zb_h1:
      return "Qi et al. 2023, section 3: (p - 1)(F + B - W) for equal stages";
    case spec::ScheduleKind::zb_v:
      return "Qi et al. 2024: (p - 1) F of a chunk for equal stages with F = B = W";
    case spec::ScheduleKind::dualpipe_v:
      return "DeepSeek 2025, DualPipeV: (p - 1)(F&B + B - 3W) of a chunk for equal stages, less a "
             "gradient of the input where the halves of a pair F&B run one after the other";
  }
  return {};
}

}  // namespace

Result<StepPlan> plan_step(const RunSpec& spec,
                           const RankMesh& mesh,
                           const PipelineSchedule& schedule) {
  const LayerCost cost(spec, mesh);
  const StageTimes times = stage_times(spec, mesh, cost);
  const std::int64_t count = schedule.shape.num_micro_batches;
  const auto micro_batches = static_cast<double>(count);
  TERA_TRY(const PlayedStep apart, play(schedule, {.links = times.schedule.links, .send_s = {}}));
  double played_s = apart.step_s;
  if (!times.schedule.send_s.empty()) {
    TERA_TRY(const PlayedStep played, play(schedule, times.schedule));
    played_s = played.step_s;
  }
  const double busy_s = micro_batches * times.busiest_pass().total();
  const DataParallel sync = data_parallel(spec, mesh, cost, times, micro_batches);

  Term compute = compute_term(spec, cost, times, micro_batches);
  Term communication =
      communication_term(times, sync, micro_batches, std::max(0.0, played_s - apart.step_s));
  const PipelineShape& shape = schedule.shape;
  Term bubble =
      leaf("bubble", std::max(0.0, apart.step_s - busy_s),
           fmt::format("simulated {} schedule of {} stages{} and {} micro-batches: {} - {} busy",
                       enum_name(spec.layout.schedule), shape.num_stages,
                       shape.num_chunks > 1 ? fmt::format(" x {} chunks", shape.num_chunks) : "",
                       count, format_seconds(apart.step_s), format_seconds(busy_s)),
           bubble_source(spec.layout.schedule));
  Term optimizer = optimizer_term(spec, cost, times.busiest_params);

  StepPlan plan;
  const double idle = compute.value > 0 ? bubble.value : 0;
  plan.low_s = (compute.value + idle) * kComputeSpread.low +
               communication.value * kCommunicationSpread.low +
               optimizer.value * kOptimizerSpread.low;
  plan.high_s = (compute.value + idle) * kComputeSpread.high +
                communication.value * kCommunicationSpread.high +
                optimizer.value * kOptimizerSpread.high;
  const double compute_s = compute.value + optimizer.value;
  plan.step_time = sum_term(
      "time", "s",
      {std::move(compute), std::move(communication), std::move(bubble), std::move(optimizer)});
  plan.step_s = plan.step_time.value;
  plan.busy_share = plan.step_s > 0 ? compute_s / plan.step_s : 0;
  return plan;
}

}  // namespace tera::plan
