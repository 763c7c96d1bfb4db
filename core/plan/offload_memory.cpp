#include "core/plan/offload_memory.h"

#include <algorithm>

namespace tera::plan {
namespace {

using spec::OffloadTier;

// Moves all but the window from the device to where the tier says.
void move(OffloadTier tier, double window, double& device, StageBytes& stage) {
  if (tier == OffloadTier::none) return;
  const double all = device;
  device = std::min(all, window);
  if (tier == OffloadTier::host) {
    stage.host += all;
  } else {
    stage.nvme += all;
    stage.host += device;
  }
}

}  // namespace

void move_off_device(const spec::RunSpec& spec,
                     const ActivationBytes& bytes,
                     const StageParts& parts,
                     const ParamGroups& groups,
                     StageBytes& stage) {
  const spec::Offload& offload = spec.layout.offload;
  if (!offload.any()) return;
  double params = 0;
  for (const ParamGroup& group : groups)
    params += group.local;
  const double ends = std::max(groups.front().local, groups.back().local);
  const double layers = std::max(1, parts.layers.dense + parts.layers.moe);
  const double inner = params - groups.front().local - groups.back().local;
  const double share = params > 0 ? std::max(2 * inner / layers, ends) / params : 0;
  move(offload.weights, share * stage.weights, stage.weights, stage);
  move(offload.gradients, share * stage.gradients, stage.gradients, stage);
  const double update = share * (stage.master + stage.moments);  // in the host, from disks
  double states = stage.master + stage.moments;
  if (offload.optimizer != OffloadTier::none) {
    move(offload.optimizer, update, states, stage);
    stage.master = stage.moments = 0;
  }
  move(offload.activations, activation_room(bytes), stage.activations, stage);
}

double activation_room(const ActivationBytes& bytes) {
  return 2 * std::max(bytes.dense.whole(), bytes.moe.whole());
}

}  // namespace tera::plan
