// Seconds that starting the operations of a layer takes, and that a device waits for the host that
// starts them.
#pragma once
#include "core/plan/fitted_times.h"
#include "core/plan/pass_cost.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Sets the overhead of `cost`: of num_ops operations forward and twice as many backward, of which
// num_weight_ops make gradients of weights. TeraGPT starts an operation when the one before has
// ended; others queue them.
void set_starts(const spec::RunSpec& spec,
                const FittedTimes& fitted,
                double num_ops,
                double num_weight_ops,
                PassCost& cost);

// Of a layer with experts, seconds on the device of what waits for the tokens of other ranks,
// beside the messages.
struct ExpertPart {
  double forward_s = 0;
  double backward_s = 0;
};
// Adds to the overhead of `cost`, all else of which is worked out, where the host takes longer to
// start operations than the device to run them. It learns from the device how many rows each expert
// gets, and so cannot run ahead of it: experts wait for the host by themselves, whatever the rest
// of the layer leaves it. Where experts have a capacity, and their rows are filled up to it, it
// knows; where another micro-batch runs beside, the device works on that one meanwhile, backward
// beside forward.
void add_host_wait(const spec::RunSpec& spec,
                   const FittedTimes& fitted,
                   bool moe,
                   const ExpertPart& experts,
                   PassCost& cost);

}  // namespace tera::plan
