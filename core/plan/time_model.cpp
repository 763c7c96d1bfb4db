#include "core/plan/time_model.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/layer_cost.h"
#include "core/plan/layer_traffic.h"
#include "core/plan/placement.h"
#include "core/plan/stage_times.h"
#include "core/plan/state_bytes.h"
#include "core/plan/step_seconds.h"
#include "core/plan/time_constants.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

// Likely range around each kind of time. Products are well known, links and what overlaps less so.
struct Spread {
  double low;
  double high;
  std::string_view source;
};
constexpr std::string_view kSpreadSource =
    "assumption; `teragpt validate` counts the published rows that were measured within";
constexpr Spread kComputeSpread{0.85, 1.25, kSpreadSource};
constexpr Spread kCommunicationSpread{0.7, 1.8, kSpreadSource};
constexpr Spread kOptimizerSpread{0.8, 1.4, kSpreadSource};

Term leaf(std::string label, double seconds, std::string formula, std::string_view source) {
  return {.label = std::move(label),
          .value = seconds,
          .unit = "s",
          .formula = std::move(formula),
          .source = std::string(source),
          .children = {}};
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
    case spec::ScheduleKind::zb_h2:
      return "Qi et al. 2023, sections 3 and 4: none for equal stages whose steps overlap";
    case spec::ScheduleKind::zb_v:
      return "Qi et al. 2024: (p - 1) F of a chunk for equal stages with F = B = W";
    case spec::ScheduleKind::dualpipe_v:
      return "DeepSeek 2025, DualPipeV: (p - 1)(F&B + B - 3W) of a chunk for equal stages, less a "
             "gradient of the input where the halves of a pair F&B run one after the other";
  }
  return {};
}

struct KindText {
  const char* label;
  const char* source;
};
constexpr std::array<KindText, kComputeKinds.size()> kComputeTexts = {{
    {"dense products", "roofline: max(flops / reached peak, bytes / reached bandwidth)"},
    {"expert products", "roofline: max(flops / reached peak, bytes / reached bandwidth)"},
    {"attention",
     "fused: causal flops / (peak x cluster.device.attention_efficiency or "
     "f32_attention_efficiency); stored: passes over "
     "scores"},
    {"streaming operations", "bytes read and written / reached bandwidth"},
    {"head and loss", "three products with the vocabulary, f32 logits"},
    {"recomputation", "forward work repeated in backward; Chen et al. 2016"},
    {"operation overhead",
     "operations x cluster.device.op_overhead_s, or the host where it is slower"},
}};
constexpr std::array<KindText, kCommunicationKinds.size()> kCommunicationTexts = {{
    {"tensor parallel", "ring all-gather and reduce-scatter; Korthikanti et al. 2022, section 4.2"},
    {"expert parallel",
     "all-to-all of T x top-k rows, dispatch and combine; beside the work of another micro-batch "
     "with software.expert_overlap, else not overlapped"},
    {"context parallel",
     "ring: keys and values around it, beyond what attention hides; Liu et al. 2023. Ulysses: "
     "tokens for heads and back; Jacobs et al. 2023"},
}};

// Children of one kind: micro-batches x (forward + backward) of the busiest stage.
template <std::size_t N>
std::vector<Term> kind_terms(const std::array<double Seconds::*, N>& kinds,
                             const std::array<KindText, N>& texts,
                             const StepSeconds& step) {
  std::vector<Term> terms;
  for (std::size_t i = 0; i < N; ++i) {
    const double forward = step.pass.forward.*kinds[i];
    const double backward = step.pass.backward.*kinds[i];
    if (forward + backward <= 0) continue;
    terms.push_back(
        leaf(texts[i].label, step.of_kind(kinds[i]),
             fmt::format("{:.0f} micro-batches x (forward {} + backward {})", step.micro_batches,
                         format_seconds(forward), format_seconds(backward)),
             texts[i].source));
  }
  return terms;
}

Term compute_term(const LayerCost& cost, int busiest, const StepSeconds& step) {
  Term term = sum_term("compute", "s", kind_terms(kComputeKinds, kComputeTexts, step));
  term.formula = fmt::format("busiest stage {} at {} x {:.2f}; {}", busiest,
                             format_rate(cost.peak_flops_per_s(), "FLOP/s"),
                             cost.matmul_flops_per_s() / cost.peak_flops_per_s(), term.formula);
  term.source = "the stage whose micro-batch takes longest; cluster.device.matmul_efficiency";
  return term;
}

Term communication_term(const RunSpec& spec,
                        const RankMesh& mesh,
                        const StageTimes& times,
                        const StepSeconds& step) {
  const std::string stages = group_text(group_shape(mesh.group(0, Axis::pipeline), spec));
  std::vector<Term> terms = kind_terms(kCommunicationKinds, kCommunicationTexts, step);
  if (step.waits_s > 0) {
    terms.push_back(
        leaf("pipeline", step.waits_s,
             fmt::format("simulated with {} per message between stages ({}), less simulated with "
                         "none",
                         format_seconds(times.schedule.send_s.front()), stages),
             "activations and their gradients travel beside the work; waits are played"));
  }
  if (step.sends_s > 0) {
    terms.push_back(leaf("sends between passes", step.sends_s,
                         fmt::format("forward and backward x {:.0f} passes that wait {} each ({})",
                                     step.sends_s / (2 * step.send_wait_s),
                                     format_seconds(step.send_wait_s), stages),
                         kBlockingSend.source));
  }
  const GradientSync& sync = step.sync;
  const auto shape = [&](const RankGroup& group) { return group_text(group_shape(group, spec)); };
  const bool copies = mesh.num_copies() > 1 && spec.layout.zero_stage > 0;
  const std::string replicas =
      copies ? fmt::format("shards {}; copies {}", shape(mesh.shards(0, false)),
                           shape(mesh.copies(0, false)))
             : shape(mesh.replicas(0, false));
  if (sync.gradients_s > 0) {
    const LocalParams& params = times.busiest.params;
    terms.push_back(leaf(
        "data parallel", sync.exposed_s,
        fmt::format("gradients {} ({:.0f} B each, {} parameters, {}) + weights {}; {} overlapped",
                    format_seconds(sync.gradients_s), gradient_sum_bytes(spec),
                    format_count(params.dense + params.experts), replicas,
                    format_seconds(sync.weights_s),
                    format_seconds(sync.gradients_s + sync.weights_s - sync.exposed_s)),
        "ring, one level per link; Rajbhandari et al. 2020"));
  }
  return sum_term("communication", "s", std::move(terms));
}

Term bubble_term(const RunSpec& spec,
                 const PipelineShape& shape,
                 const PlayedSchedule& played,
                 const StepSeconds& step) {
  return leaf("bubble", step.bubble_s,
              fmt::format("simulated {} schedule of {} stages{} and {} micro-batches: {} - {} busy",
                          enum_name(spec.layout.schedule), shape.num_stages,
                          shape.num_chunks > 1 ? fmt::format(" x {} chunks", shape.num_chunks) : "",
                          shape.num_micro_batches, format_seconds(played.apart_s),
                          format_seconds(step.micro_batches * step.pass.total())),
              bubble_source(spec.layout.schedule));
}

// Elementwise work at the speed of memory, the products of muon in f32 at that of the device.
Term optimizer_term(const RunSpec& spec,
                    const LayerCost& cost,
                    const LocalParams& params,
                    double seconds) {
  std::string formula = fmt::format("({} elements x {:.3g} B + {} gradients x {:.0f} B) / {}",
                                    format_count(params.updated),
                                    params.updated > 0 ? params.update_bytes / params.updated : 0,
                                    format_count(params.dense + params.experts), kNormAndZeroBytes,
                                    format_rate(cost.memory_bytes_per_s(), "B/s"));
  if (!fuses_elementwise(spec.software))
    formula += fmt::format(" x {:.2g}, not fused", cost.fitted().eager_update);
  if (params.update_flops > 0) {
    formula += fmt::format(" + Newton-Schulz {} / {}", format_rate(params.update_flops, "FLOP"),
                           format_rate(update_flops_per_s(spec), "FLOP/s"));
  }
  if (spec.layout.offload.optimizer != spec::OffloadTier::none)
    formula = "none on the device: see offload";
  return leaf("optimizer", seconds, std::move(formula),
              "bytes read and written / reached bandwidth; Jordan et al. 2024");
}

Term stragglers_term(const RunSpec& spec, const StepSeconds& step) {
  return leaf("stragglers", step.stragglers_s,
              fmt::format("all other time x log2({} nodes) x {:.3g}", spec.cluster.num_nodes,
                          spec.cluster.slowdown_per_doubling),
              "every rank waits for the slowest; Jiang et al. 2024, MegaScale, section 6.3");
}

}  // namespace

Result<StepPlan> plan_step(const RunSpec& spec,
                           const RankMesh& mesh,
                           const PipelineSchedule& schedule,
                           const FittedTimes& fitted) {
  const LayerCost cost(spec, mesh, fitted);
  const StageTimes times = stage_times(spec, mesh, cost);
  TERA_TRY(const PlayedSchedule played, play_pipeline(schedule, times.schedule));
  const StepSeconds step = step_seconds(spec, mesh, cost, times.busiest, played);
  const double compute_s = step.compute_s();
  const double communication_s = step.communication_s();

  StepPlan plan;
  const double idle = compute_s > 0 ? step.bubble_s + step.stragglers_s : 0;
  plan.low_s = (compute_s + idle) * kComputeSpread.low +
               communication_s * kCommunicationSpread.low +
               (step.optimizer_s + step.offload.total()) * kOptimizerSpread.low;
  plan.high_s = (compute_s + idle) * kComputeSpread.high +
                communication_s * kCommunicationSpread.high +
                (step.optimizer_s + step.offload.total()) * kOptimizerSpread.high;
  std::vector<Term> terms = {compute_term(cost, times.busiest.stage, step),
                             communication_term(spec, mesh, times, step),
                             bubble_term(spec, schedule.shape, played, step),
                             optimizer_term(spec, cost, times.busiest.params, step.optimizer_s)};
  if (spec.layout.offload.any()) terms.push_back(offload_term(spec, step.traffic, step.offload));
  if (step.stragglers_s > 0) terms.push_back(stragglers_term(spec, step));
  plan.step_time = sum_term("time", "s", std::move(terms));
  plan.step_s = step.total_s();
  plan.busy_share = step.busy_share();
  return plan;
}

}  // namespace tera::plan
