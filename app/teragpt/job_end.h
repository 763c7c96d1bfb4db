// How a job of ranks ended, for the person who started it.
#pragma once
#include "core/base/result.h"
#include "core/run/run_state.h"

namespace tera::app {

// Completed or stopped where rank 0 noted so, whatever happened to ranks after it, which is told in
// the log and the events of the run; or an error with the first cause: from what the ranks of the
// attempt left behind, else from what mpirun says in its log. Where no rank could note the end of
// the attempt in the events of the run, it is noted here.
Result<run::RunState> job_end(const run::RunDirectory& dir, int attempt, int exit_code);

}  // namespace tera::app
