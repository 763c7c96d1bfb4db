// Bytes of one rank of a stage as numbers alone, fast enough to compare millions of layouts:
// memory_model.h explains the same numbers.
#pragma once
#include <string_view>

#include "core/plan/constant.h"
#include "core/plan/param_groups.h"
#include "core/plan/passing_memory.h"
#include "core/plan/state_bytes.h"
#include "core/plan/working_memory.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Of an item of a group on one rank, after ZeRO.
double held_state(const ParamGroup& group, StateItem item, const spec::RunSpec& spec);
// Ranks among which the group's item is shared out; 1 below the stage of ZeRO that shares it.
double zero_shards(const ParamGroup& group, StateItem item, const spec::RunSpec& spec);

struct StageBytes {
  double weights = 0;
  double gradients = 0;
  double master = 0;
  double moments = 0;
  double activations = 0;
  double logits = 0;
  double dispatch = 0;
  double gathered_layers = 0;
  double workspace = 0;
  double communication = 0;
  double context = 0;
  double fragmentation = 0;
  double host = 0;  // off the device: in the memory of the host
  double nvme = 0;  // and on its disks
  double states() const { return weights + gradients + master + moments; }
  // What is taken and given back within a step.
  double passing() const { return activations + logits + dispatch + gathered_layers + workspace; }
  // On the device, in the order of the tree for the same last bit.
  double total() const {
    return weights + gradients + master + moments + activations + logits + dispatch +
           gathered_layers + workspace + communication + context + fragmentation;
  }
};
// held: by the stage at the moment when its order holds most.
StageBytes stage_bytes(const spec::RunSpec& spec,
                       const ActivationBytes& bytes,
                       const StageParts& parts,
                       const ParamGroups& groups,
                       const HeldLayers& held);

// The steps of stage_bytes(), for a search that takes each where fewer choices matter: weights,
// gradients and optimizer; beside them and the activations, all else; and last, with activations
// set, what leaves the device and what the allocator cannot use.
StageBytes state_part(const spec::RunSpec& spec, const ParamGroups& groups);
void add_passing_part(const spec::RunSpec& spec,
                      const ActivationBytes& bytes,
                      const StageParts& parts,
                      const ParamGroups& groups,
                      StageBytes& stage);
void settle(const spec::RunSpec& spec,
            const ActivationBytes& bytes,
            const StageParts& parts,
            const ParamGroups& groups,
            StageBytes& stage);

inline constexpr Constant kCommunicatorBytes{
    "buffers of a communicator", 2.0 * 32 * (4 << 20), "B", false,
    "NVIDIA NCCL documentation: NCCL_BUFFSIZE 4 MiB x 32 channels x 2 directions"};
// Buffers of the communicators of a rank, and of the framework's collectives. params: on one rank.
double communication_bytes(const spec::RunSpec& spec, double params);
// Communicators with more than one rank that a rank is part of.
int num_communicators(const spec::RunSpec& spec);

// What the framework's allocator holds and cannot use, as a share of what comes and goes, and of
// weights, gradients and optimizer as far as they count.
struct Fragmentation {
  double low = 0;
  double expected = 0;
  double high = 0;
  double states = 0;  // 1: states count as what comes and goes, 0: not at all
  std::string_view source;
  bool is_calibrated = false;  // fitted to published bytes
};
Fragmentation fragmentation_of(const spec::SoftwareConfig& software);
// Of which it is a share.
double fragmented_bytes(const Fragmentation& fragmentation, const StageBytes& bytes);

}  // namespace tera::plan
