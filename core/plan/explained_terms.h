// Everything an estimate says, as one tree.
#pragma once
#include "core/plan/estimate.h"
#include "core/plan/term.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// memory (of the stage that needs most), time, cost, model, and every stage ("stage 0", ...).
Term explained_terms(const spec::RunSpec& spec, const Estimate& estimate);

// Parameters by kind, those a token uses, those that are trained, and the FLOPs of a token.
Term model_terms(const spec::RunSpec& spec, const Estimate& estimate);

}  // namespace tera::plan
