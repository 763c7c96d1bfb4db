// Which numbers of an estimate were measured, which rest on fitted values, and which follow from
// formulas alone. Nobody writes it down: the inputs of an origin are moved a little, and the
// numbers that move with them are of that origin.
#pragma once
#include "core/plan/estimate.h"
#include "core/plan/fitted_times.h"
#include "core/plan/inference_estimate.h"
#include "core/plan/term.h"
#include "core/spec/cluster_origins.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

struct Inputs {
  spec::RunSpec spec;
  FittedTimes fitted;
};
// With every figure of the cluster that is of that origin, and the fitted constants where it is
// calibrated, about a thousandth off, each by another share.
Inputs moved_inputs(const spec::RunSpec& spec,
                    const spec::ClusterOrigins& origins,
                    spec::Origin origin);

// Of a number, by what it becomes when measured and when calibrated inputs move.
spec::Origin origin_of(double value, double if_measured_move, double if_calibrated_move);

// The estimate once more with the inputs of an origin moved.
struct MovedEstimates {
  Estimate measured;
  Estimate calibrated;
};
// Errors: those of estimate().
Result<MovedEstimates> moved_estimates(const spec::RunSpec& spec,
                                       const spec::ClusterOrigins& origins);

// Of all terms of the estimate, and what its step time rests on.
void tag_origins(const spec::RunSpec& spec,
                 const spec::ClusterOrigins& origins,
                 const MovedEstimates& moved,
                 Estimate& estimate);
// estimate() with its terms tagged; three times the work.
Result<Estimate> tagged_estimate(const spec::RunSpec& spec);

// Of serving, likewise; its layout is the one given.
struct MovedInference {
  InferenceEstimate measured;
  InferenceEstimate calibrated;
};
Result<MovedInference> moved_inference(const spec::RunSpec& spec, const ReplicaLayout& layout);
void tag_origins(const MovedInference& moved, InferenceEstimate& estimate);

}  // namespace tera::plan
