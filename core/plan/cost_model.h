// What a whole run takes: time under failures, device hours, money, energy, CO2e, storage, compute.
#pragma once
#include <vector>

#include "core/base/error.h"
#include "core/base/result.h"
#include "core/plan/checkpoint_cost.h"
#include "core/plan/term.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

inline constexpr double kHoursPerYear = 8766;  // of 365.25 days

// Of one step, what the whole run follows from.
struct StepFigures {
  double step_s = 0;
  double busy_share = 0;       // of the step in which a device computes, at its power limit
  double flops_per_token = 0;  // forward and backward
  double active_params = 0;
};

struct RunCost {
  double tokens = 0;
  double steps = 0;    // of whole batches
  double devices = 0;  // that the run uses, and nodes they fill
  double nodes = 0;

  double mtbf_s = 0;  // mean time between failures of the run; 0 = never
  double checkpoint_interval_s = 0;
  double best_interval_s = 0;  // 0 where nothing fails
  double recover_s = 0;        // from a failure to the first new step
  double goodput = 1;          // share of run_s that trains
  double best_goodput = 1;     // with best_interval_s

  double run_s = 0;  // wall clock, failures included
  double device_hours = 0;
  double device_kwh = 0;
  double host_kwh = 0;
  double kwh = 0;  // with cooling and losses of the site
  double tco2e = 0;
  double usd_rented = 0;
  double capital_usd = 0;  // its share over the run
  double electricity_usd = 0;
  double usd_owned = 0;
  double usd = 0;  // as cluster.operation.payment says

  StorageCost storage;
  double kept_bytes = 0;        // checkpoints kept at a time
  double data_bytes_per_s = 0;  // read while it trains

  double flops = 0;               // of the run
  double chinchilla_tokens = 0;   // compute-optimal for the active parameters
  double optimal_tokens = 0;      // likewise, with what experts add
  std::vector<Diagnostic> found;  // such as a checkpoint interval that loses time
  Term terms;                     // cost_terms() of it
};
// Errors: machines that fail before a restart is done, so that the run never ends.
Result<RunCost> plan_cost(const spec::RunSpec& spec, const StepFigures& step);
// The same without the tree of terms, for a search that compares many.
Result<RunCost> run_figures(const spec::RunSpec& spec, const StepFigures& step);

// Children: time, device hours, usd, kWh, tCO2e, goodput, storage, training compute; each with its
// formula and source. They do not add up; the value is the money.
Term cost_terms(const spec::RunSpec& spec, const StepFigures& step, const RunCost& cost);

}  // namespace tera::plan
