#include "core/plan/validation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/plan/estimate.h"
#include "core/plan/published_software.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

// How the authors of a group count flops. Sources: shared conventions checked against the rows that
// give both flops and time (ratio 1.00 for causal of MBRIDGE).
enum class FlopConvention : std::uint8_t {
  causal,       // model flops, causal attention halved
  full,         // model flops, attention not halved
  recomputing,  // hardware flops of full recomputation, attention not halved: Narayanan et al.
                // 2021, eq. 3
};
struct GroupConvention {
  std::string_view group;
  FlopConvention convention;
};
constexpr GroupConvention kConventions[] = {
    {"SC21", FlopConvention::recomputing}, {"BLOOM", FlopConvention::recomputing},
    {"MLM-H100", FlopConvention::full},    {"MPT", FlopConvention::full},
    {"NEMO", FlopConvention::full},        {"NANO", FlopConvention::full},
    {"MEGASCALE", FlopConvention::full},   {"MBRIDGE", FlopConvention::causal},
    {"MCOREMOE", FlopConvention::causal},  {"ZOO", FlopConvention::causal},
};

// Flops of a token by the convention of a group; 0 if it is not known.
double flops_per_token(const RunSpec& spec, std::string_view group) {
  const auto* const found =
      std::find_if(std::begin(kConventions), std::end(kConventions),
                   [group](const GroupConvention& c) { return c.group == group; });
  if (found == std::end(kConventions)) return 0;
  const double causal = train_flops_per_token(spec.model, spec.training.seq_length);
  if (found->convention == FlopConvention::causal) return causal;
  // Halved attention again, the other half.
  const double products = train_flops_per_token(spec.model, 0);
  const double full = products + 2 * (causal - products);
  if (found->convention == FlopConvention::full) return full;
  // Forward, forward again, backward; the head is not recomputed.
  const double head = 6.0 * spec.model.vocab_size * spec.model.hidden_size;
  return (full - head) * 4 / 3 + head;
}

// Of the fullest stage, by what the group's column measures.
double memory_of(const Estimate& estimate, std::string_view group) {
  const MemoryReading reading = memory_reading(group);
  double most = 0;
  for (const StageMemory& stage : estimate.stages) {
    double bytes = stage.bytes();
    const auto without = [&](const char* kind) { bytes -= find_term(stage.memory, kind)->value; };
    if (reading != MemoryReading::device) {
      without("context");
      without("communication");
    }
    if (reading == MemoryReading::allocated) without("fragmentation");
    most = std::max(most, bytes);
  }
  return most;
}

// What two rows must share to differ in layout only, and in schedule only.
std::string workload_of(const PublishedRow& row, const RunSpec& spec) {
  const spec::ModelConfig& m = spec.model;
  return fmt::format("{} {} L{} H{} A{} s{} B{} on {} {} {}", row.group, row.source, m.num_layers,
                     m.hidden_size, m.num_attention_heads, spec.training.seq_length,
                     spec.training.global_batch_size, row.num_gpus.value_or(0), row.gpu,
                     machine_state(row));
}
std::string layout_of(const RunSpec& spec) {
  const spec::ParallelLayout& l = spec.layout;
  return fmt::format("tp {} cp {} dp {} pp {} ep {} mb {}", l.tensor_parallel_size,
                     l.context_parallel_size, l.data_parallel_size, l.pipeline_parallel_size,
                     l.expert_parallel_size, l.micro_batch_size);
}

struct Candidate {
  Estimate estimate;
  const RunSpec* spec;
};

// Estimates of all candidates that the planner takes, fastest first; those that may fit alone if
// there are any: the likely range of their memory begins within the device.
std::vector<Candidate> estimate_all(const std::vector<RunSpec>& specs,
                                    const FittedTimes& fitted,
                                    std::string& refusal) {
  std::vector<Candidate> all;
  for (const RunSpec& spec : specs) {
    Result<Estimate> estimate = plan::estimate(spec, fitted);
    if (estimate) {
      all.push_back({std::move(*estimate), &spec});
    } else if (refusal.empty()) {
      refusal = estimate.error().message;
    }
  }
  const auto fits = [](const Candidate& c) {
    return c.estimate.worst_low_bytes <= c.estimate.capacity_bytes;
  };
  if (std::any_of(all.begin(), all.end(), fits))
    std::erase_if(all, [&](const Candidate& c) { return !fits(c); });
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.estimate.step_s < b.estimate.step_s;
  });
  return all;
}

// Fills in time and memory. Candidates: at least one, fastest first.
void compare(const PublishedRow& row,
             const std::vector<Candidate>& candidates,
             bool is_mixture,
             RowPrediction& result) {
  const Candidate& fastest = candidates.front();
  const Candidate& other = is_mixture ? candidates.back() : fastest;
  const auto middle = [](double a, double b) { return std::sqrt(a * b); };
  result.step_s = middle(fastest.estimate.step_s, other.estimate.step_s);
  // What torchtitan keeps of selected operations is known (kept_table.h), though not its time.
  const bool by_operation = fastest.spec->software.framework == spec::Framework::torchtitan &&
                            fastest.spec->layout.recompute == spec::RecomputeKind::selective;
  const Candidate& other_memory = by_operation ? fastest : other;
  result.memory_bytes =
      middle(memory_of(fastest.estimate, row.group), memory_of(other_memory.estimate, row.group));
  result.low_s = fastest.estimate.low_s;
  for (const Candidate& c : candidates) {
    result.low_s = std::min(result.low_s, c.estimate.low_s);
    result.high_s = std::max(result.high_s, c.estimate.high_s);
  }
  if (result.measured_step_s) result.error = result.step_s / *result.measured_step_s - 1;
  if (!row.memory_gib) return;
  constexpr double kGib = 1024.0 * 1024 * 1024;
  result.measured_memory_bytes = *row.memory_gib * kGib;
  result.memory_error = result.memory_bytes / *result.measured_memory_bytes - 1;
}

}  // namespace

MeasuredStep measured_step(const PublishedRow& row, const RunSpec& spec) {
  if (row.step_s) return {row.step_s, "step_time_s", {}};
  const double tokens = static_cast<double>(spec.tokens_per_step());
  const double devices = row.num_gpus.value_or(0);
  if (row.tokens_per_s_per_gpu)
    return {tokens / (*row.tokens_per_s_per_gpu * devices), "tokens_per_s_per_gpu", {}};
  const double flops = flops_per_token(spec, row.group) * tokens / devices;
  if (!row.tflops_per_gpu && !row.mfu_pct)
    return {{}, {}, "no step time, tokens per second or flops"};
  if (flops <= 0) return {{}, {}, "how its group counts flops is not known"};
  if (row.tflops_per_gpu) return {flops / (*row.tflops_per_gpu * 1e12), "tflops_per_gpu", {}};
  const double peak = spec.cluster.device.peak_flops_per_s_bf16;
  return {flops / (*row.mfu_pct / 100 * peak), "mfu_pct", {}};
}

std::optional<ComparedSpecs> compared_specs(const PublishedRow& row,
                                            const PublishedPresets& presets) {
  const PublishedSpecs specs = published_specs(row, presets);
  std::string refusal;
  const std::vector<Candidate> candidates = estimate_all(specs.candidates, presets.fitted, refusal);
  if (candidates.empty()) return std::nullopt;
  const MeasuredStep measured = measured_step(row, *candidates.front().spec);
  if (!measured.seconds) return std::nullopt;
  ComparedSpecs compared{
      .candidates = {}, .is_mixture = specs.is_mixture, .measured_step_s = *measured.seconds};
  for (const Candidate& candidate : candidates)
    compared.candidates.push_back(*candidate.spec);
  return compared;
}

RowPrediction predict_row(const PublishedRow& row, const PublishedPresets& presets) {
  RowPrediction result;
  result.id = row.id;
  result.group = row.group;
  result.line = row.line;
  result.has_experts = row.has_experts();
  PublishedSpecs specs = published_specs(row, presets);
  result.guessed = std::move(specs.guessed);
  if (!specs.not_modelled.empty()) {
    result.status = RowStatus::not_modelled;
    result.reason = std::move(specs.not_modelled);
    return result;
  }
  if (!specs.undetermined.empty()) {
    result.reason = fmt::format("unknown: {}", fmt::join(specs.undetermined, ", "));
    return result;
  }
  std::string refusal;
  const std::vector<Candidate> candidates = estimate_all(specs.candidates, presets.fitted, refusal);
  if (candidates.empty()) {
    result.status = RowStatus::refused;
    result.reason = std::move(refusal);
    return result;
  }
  const RunSpec& first = *candidates.front().spec;
  result.num_candidates = static_cast<int>(candidates.size());
  result.num_nodes = first.cluster.num_nodes;
  result.workload = workload_of(row, specs.candidates.front());
  result.layout = layout_of(first);
  result.schedule = row.schedule;
  MeasuredStep measured = measured_step(row, first);
  result.measured_step_s = measured.seconds;
  result.measured_by = std::move(measured.column);
  result.reason = std::move(measured.reason);
  result.status = !measured.seconds             ? RowStatus::unmeasured
                  : specs.candidates.size() > 1 ? RowStatus::interval
                  : result.guessed.empty()      ? RowStatus::determined
                                                : RowStatus::inferred;
  compare(row, candidates, specs.is_mixture, result);
  return result;
}

}  // namespace tera::plan
