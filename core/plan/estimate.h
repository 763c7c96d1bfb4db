// Estimate: what a spec costs, as trees of explained terms. A pure function, well under 50 ms for a
// trillion parameters on 16,384 devices: fast enough to follow typing.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/plan/cost_model.h"
#include "core/plan/fitted_times.h"
#include "core/plan/memory_model.h"
#include "core/plan/param_table.h"
#include "core/plan/term.h"
#include "core/spec/origin.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// What the step time rests on, and how far off it was for what it had not seen.
struct TimeBasis {
  spec::Origin origin = spec::Origin::analytic;
  std::optional<double> left_out_error;  // mean of |planned / measured - 1|; nothing: not known
  std::string text;                      // both, for people
};

struct Estimate {
  ParamCounts params;
  std::int64_t trainable_params = 0;  // those of adapters where there are any
  double train_flops_per_token = 0;   // forward and backward, model FLOPs, causal attention halved

  std::vector<StageMemory> stages;  // one per pipeline rank
  int worst_stage = 0;
  double worst_bytes = 0;
  double worst_low_bytes = 0;  // likely range of that stage
  double worst_high_bytes = 0;
  double capacity_bytes = 0;
  double host_bytes = 0;  // of a node, off its devices; 0 without offload
  double host_capacity_bytes = 0;
  double nvme_bytes = 0;
  double nvme_capacity_bytes = 0;
  bool fits = false;

  Term step_time;  // children: compute, communication, bubble, optimizer
  double step_s = 0;
  double low_s = 0;  // likely range
  double high_s = 0;
  double tokens_per_s = 0;
  double tokens_per_s_per_device = 0;
  double model_flops_utilization = 0;  // 0..1 of the device's peak in the run's precision

  RunCost cost;  // of the whole run

  TimeBasis basis;  // of tagged_estimate(), as the origins of all terms

  std::vector<Diagnostic> diagnostics;
};

// Errors: a spec whose validation has errors; the message lists the first and how many.
Result<Estimate> estimate(const spec::RunSpec& spec, const FittedTimes& fitted = {});

// Model FLOPs of one token, forward and backward: 6 per parameter in a product, and causal
// attention.
double train_flops_per_token(const spec::ModelConfig& model, int seq_length);
// The same for a run: with adapters 4 per frozen parameter and 6 per trained one.
double train_flops_per_token(const spec::RunSpec& spec);

// Bytes the engine allocates on one rank, by kind; equals its counters, of every rank of every
// layout it trains. What experts get does not count: their buffers are those of the load of
// layout.expert_load_percentile, and more rows take turns in them. The schedule of the spec must
// load.
struct EngineBytes {
  std::int64_t weights = 0;  // in storage dtype, master copies excluded
  std::int64_t gradients = 0;
  std::int64_t optimizer = 0;    // moments and master weights
  std::int64_t activations = 0;  // peak of the stash
};
EngineBytes engine_bytes(const spec::RunSpec& spec, const RankMesh& mesh, int rank);
// Of the first rank of a stage.
EngineBytes engine_bytes(const spec::RunSpec& spec, int pipeline_rank = 0);

}  // namespace tera::plan
