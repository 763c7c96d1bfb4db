// What leaves the device between its uses: where it stays, and what moving it takes.
//
// Weights that stay off the device stream to it layer by layer, for forward and again for backward
// of each micro-batch, so a model needs no more room there than two of its layers (Rajbhandari et
// al. 2021, ZeRO-Infinity, section 5). Gradients leave as soon as a layer has them and are summed
// on the host. Optimizer states never come: the host's processors update (Ren et al. 2021,
// ZeRO-Offload, section 4). Activations leave after forward and come back for backward.
#pragma once
#include "core/plan/stage_bytes.h"
#include "core/plan/term.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Bytes of one rank in one step.
struct OffloadTraffic {
  double to_device = 0;  // beside the passes
  double from_device = 0;
  double disk_read = 0;
  double disk_write = 0;
  double first_layer = 0;       // of to_device: nothing can run before it is there
  double update_to_device = 0;  // after the passes
  double update_from_device = 0;
  double update_disk_read = 0;
  double update_disk_write = 0;
  double update_host = 0;  // read and written by the host's processors
};
// all: of the stage before anything leaves. micro_batch: activations of one, of all its layers.
OffloadTraffic offload_traffic(const spec::RunSpec& spec,
                               const StageBytes& all,
                               double micro_batch_activations,
                               double micro_batches,
                               int num_layers);

// The same of a stage as it is, whose states (state_part() with nothing offloaded) are `all`.
OffloadTraffic offload_traffic(const spec::RunSpec& spec,
                               const StageBytes& all,
                               const ActivationBytes& bytes,
                               const StageParts& parts);

// Ranks that share the host of a node.
double ranks_per_host(const spec::RunSpec& spec);

// The ways between device, host and disks work at once, each as fast as its link; reading and
// writing share the disks, and the devices of a node share them and the host's memory.
struct OffloadSeconds {
  double passes_s = 0;   // the slowest way beside the passes
  double hidden_s = 0;   // of it, behind compute
  double exposed_s = 0;  // of it, and the first layer
  double update_s = 0;   // after the passes, nothing hides it
  double total() const { return exposed_s + update_s; }
};
// window_s: of the passes, that transfers may hide behind.
OffloadSeconds offload_seconds(const spec::RunSpec& spec,
                               const OffloadTraffic& traffic,
                               double window_s);
// Of the busiest stage; nothing where nothing leaves.
OffloadTraffic stage_traffic(const spec::RunSpec& spec, const RankMesh& mesh, int stage);
Term offload_term(const spec::RunSpec& spec,
                  const OffloadTraffic& traffic,
                  const OffloadSeconds& seconds);

}  // namespace tera::plan
