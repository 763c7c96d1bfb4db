#include "core/plan/time_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/layer_cost.h"
#include "core/plan/memory_model.h"
#include "core/plan/param_table.h"
#include "core/plan/placement.h"

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

struct StageTimes {
  std::vector<PassCost> passes;  // [stage]
  std::vector<double> forward_s, backward_s;
  int busiest = 0;
};

StageTimes stage_times(const RunSpec& spec, const LayerCost& cost) {
  const int num_stages = spec.layout.pipeline_parallel_size;
  const LayerMix all = layer_mix(spec.model, {0, spec.model.num_layers});
  const PassCost dense = all.dense > 0 ? cost.layer(false) : PassCost{};
  const PassCost moe = all.moe > 0 ? cost.layer(true) : PassCost{};
  const double send_s = num_stages > 1 ? cost.stage_send_s() : 0;
  StageTimes times;
  for (int stage = 0; stage < num_stages; ++stage) {
    const LayerMix mix =
        layer_mix(spec.model, stage_layers(spec.model.num_layers, num_stages, stage));
    PassCost pass;
    const auto add = [&pass](const PassCost& part, double count) {
      pass.forward.add(part.forward, count);
      pass.backward.add(part.backward, count);
    };
    add(dense, mix.dense);
    add(moe, mix.moe);
    if (stage == 0) add(cost.embedding(), 1);
    if (stage == num_stages - 1) {
      add(cost.head(), 1);
      if (spec.model.num_mtp_layers > 0) add(cost.prediction(), spec.model.num_mtp_layers);
      for (int layer = spec.model.num_layers; layer < spec.model.num_all_layers(); ++layer)
        add(cost.layer(spec.model.is_moe_layer(layer)), 1);
    }
    if (stage + 1 < num_stages) pass.forward.pipeline += send_s;
    if (stage > 0) pass.backward.pipeline += send_s;
    times.forward_s.push_back(pass.forward.total());
    times.backward_s.push_back(pass.backward.total());
    times.passes.push_back(pass);
    const auto total = [&times](int i) {
      const auto at = static_cast<std::size_t>(i);
      return times.forward_s[at] + times.backward_s[at];
    };
    if (total(stage) > total(times.busiest)) times.busiest = stage;
  }
  return times;
}

DataParallel data_parallel(const RunSpec& spec,
                           const RankMesh& mesh,
                           const LayerCost& cost,
                           const StageTimes& times,
                           double micro_batches) {
  const spec::ParallelLayout& layout = spec.layout;
  const auto stage = static_cast<std::size_t>(times.busiest);
  const LocalParams params = local_params(spec, mesh, times.busiest);
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
  const int layers = std::max(
      1, stage_layers(spec.model.num_layers, layout.pipeline_parallel_size, times.busiest).size());
  const double window = (times.forward_s[stage] + times.backward_s[stage]) * passes;
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
  const auto& pass = times.passes[static_cast<std::size_t>(times.busiest)];
  Term term = sum_term("compute", "s", kind_terms(kKinds, pass, micro_batches));
  term.formula = fmt::format("busiest stage {} at {} x {:.2f}; {}", times.busiest,
                             format_rate(cost.peak_flops_per_s(), "FLOP/s"),
                             spec.cluster.device.matmul_efficiency, term.formula);
  return term;
}

Term communication_term(const StageTimes& times, const DataParallel& sync, double micro_batches) {
  static constexpr NamedKind kKinds[] = {
      {"tensor parallel", &Seconds::tensor,
       "ring all-gather and reduce-scatter; Korthikanti et al. 2022, section 4.2"},
      {"expert parallel", &Seconds::expert,
       "all-to-all of T x top-k rows, dispatch and combine, not overlapped"},
      {"context parallel", &Seconds::context,
       "keys and values round a ring, beyond what attention hides; Liu et al. 2023"},
      {"pipeline", &Seconds::pipeline, "activation and its gradient to the neighbour stage"}};
  const auto& pass = times.passes[static_cast<std::size_t>(times.busiest)];
  std::vector<Term> terms = kind_terms(kKinds, pass, micro_batches);
  if (sync.gradients_s > 0) {
    terms.push_back(leaf("data parallel", sync.exposed_s, sync.formula,
                         "ring, one level per link; Rajbhandari et al. 2020"));
  }
  return sum_term("communication", "s", std::move(terms));
}

// Elementwise work at the speed of memory, the products of muon in f32 at that of the device.
Term optimizer_term(const RunSpec& spec, const RankMesh& mesh, const LayerCost& cost, int stage) {
  const LocalParams params = local_params(spec, mesh, stage);
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

}  // namespace

SimulatedStep play_schedule(spec::ScheduleKind kind,
                            std::int64_t num_micro_batches,
                            const std::vector<double>& forward_s,
                            const std::vector<double>& backward_s) {
  constexpr std::int64_t kMaxActions = 20000;
  const auto stages = static_cast<std::int64_t>(forward_s.size());
  const std::int64_t count = std::max<std::int64_t>(1, num_micro_batches);
  const std::int64_t played =
      std::clamp<std::int64_t>(std::min(kMaxActions / (2 * stages), 4 * stages + 16), 1, count);
  std::vector<double> both(forward_s);
  for (std::size_t i = 0; i < both.size(); ++i)
    both[i] += backward_s[i];
  const double slowest_forward = *std::max_element(forward_s.begin(), forward_s.end());
  const double slowest_backward = *std::max_element(backward_s.begin(), backward_s.end());
  const double slowest = *std::max_element(both.begin(), both.end());
  const double pace =
      kind == spec::ScheduleKind::gpipe ? slowest_forward + slowest_backward : slowest;
  SimulatedStep step;
  if (played >= std::min(count, 2 * stages)) {
    const auto simulated =
        simulate(make_schedule(kind, static_cast<int>(stages), static_cast<int>(played)), forward_s,
                 backward_s);
    step.step_s = simulated.value().step_s + pace * static_cast<double>(count - played);
  } else {
    // More stages than can be played: fill and drain once, then the pace of the busiest stage.
    step.step_s =
        std::accumulate(both.begin(), both.end(), 0.0) + pace * static_cast<double>(count - 1);
  }
  const double busy = slowest * static_cast<double>(count);
  step.bubble_ratio = step.step_s > 0 ? std::max(0.0, 1 - busy / step.step_s) : 0;
  for (std::int64_t stage = 0; stage < stages; ++stage) {
    const std::int64_t held =
        kind == spec::ScheduleKind::gpipe ? count : std::min(count, stages - stage);
    step.peak_in_flight.push_back(static_cast<int>(std::min<std::int64_t>(held, 1 << 30)));
  }
  return step;
}

StepPlan plan_step(const RunSpec& spec, const RankMesh& mesh) {
  const LayerCost cost(spec, mesh);
  const StageTimes times = stage_times(spec, cost);
  const std::int64_t count = std::max<std::int64_t>(1, spec.num_micro_batches());
  const auto micro_batches = static_cast<double>(count);
  const SimulatedStep played =
      play_schedule(spec.layout.schedule, count, times.forward_s, times.backward_s);
  const auto busiest = static_cast<std::size_t>(times.busiest);
  const double busy_s = micro_batches * (times.forward_s[busiest] + times.backward_s[busiest]);
  const DataParallel sync = data_parallel(spec, mesh, cost, times, micro_batches);

  Term compute = compute_term(spec, cost, times, micro_batches);
  Term communication = communication_term(times, sync, micro_batches);
  const int stages = spec.layout.pipeline_parallel_size;
  Term bubble =
      leaf("bubble", std::max(0.0, played.step_s - busy_s),
           fmt::format("simulated {} schedule of {} stages and {} micro-batches: {} - {} busy",
                       enum_name(spec.layout.schedule), stages, count,
                       format_seconds(played.step_s), format_seconds(busy_s)),
           "Narayanan et al. 2021, section 2.2: (p - 1) / m of the work for equal stages");
  Term optimizer = optimizer_term(spec, mesh, cost, times.busiest);

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
  plan.in_flight = played.peak_in_flight;
  return plan;
}

}  // namespace tera::plan
