// Where the bytes of a rank stay that leave its device, and the room the device keeps for them.
#pragma once
#include "core/plan/param_groups.h"
#include "core/plan/stage_bytes.h"
#include "core/plan/working_memory.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Takes from the device what leaves it but for a window: two layers of weights, gradients and
// activations, or embedding or head where they are larger; nothing of the optimizer. What goes to
// disks passes through buffers of the same size in the host's memory.
void move_off_device(const spec::RunSpec& spec,
                     const ActivationBytes& bytes,
                     const StageParts& parts,
                     const ParamGroups& groups,
                     StageBytes& stage);
// The window of activations.
double activation_room(const ActivationBytes& bytes);

}  // namespace tera::plan
