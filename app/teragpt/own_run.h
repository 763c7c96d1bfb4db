// What a run on this machine says for later plans: its step times, beside the device profile.
#pragma once
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/spec/run_spec.h"

namespace tera::app {

// Notes the step times of one attempt. Nothing is noted of too few steps, of a run that is not what
// a plan of this machine says (fewer threads, batches that grow), and of a build or process that is
// slower than the engine: debug, sanitizers, a debugger.
Result<void> note_own_run(const std::string& run,
                          const spec::RunSpec& spec,
                          const std::vector<double>& steps_s);

}  // namespace tera::app
