// What a run must save to go on bit for bit, and how it is put into and taken from a checkpoint.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/vfs.h"
#include "core/checkpoint/weights.h"
#include "core/run/run_directory.h"
#include "core/spec/run_spec.h"
#include "core/train/loss_scaler.h"
#include "core/train/outlier_guard.h"
#include "core/train/whole_tensors.h"

namespace tera::train {

struct TrainState {       // besides tensors
  std::int64_t step = 0;  // steps completed: also the data cursor, since order is a function of it
  std::int64_t tokens = 0;  // trained
  std::string data_chain;   // h_step of ORDER.md
  std::string data_plan;    // hash of everything the order depends on
  OutlierGuard::State outliers;
  LossScaler::State loss_scale;
  checkpoint::BaseReference base;  // of a run that trains adapters
};

// Writes weights (the f32 master where there is one), moments and state; of a run that trains
// adapters those alone, and which weights they are of. Collective over the ranks of the parts: rank
// 0 writes what all of them hold and returns where; others return an empty path.
Result<std::filesystem::path> save_state(Vfs& vfs,
                                         const std::filesystem::path& checkpoints_dir,
                                         const spec::RunSpec& spec,
                                         const TrainState& state,
                                         TensorParts& parts);

// The checkpoint that rank 0 chooses, on every rank: choosing may read all of it, which one rank
// does for all. Why it passed over others goes to the log. Collective over the ranks of the parts.
using CheckpointChoice =
    std::function<Result<checkpoint::Reader>(std::vector<std::string>& skipped)>;
Result<checkpoint::Reader> open_chosen(Vfs& vfs,
                                       TensorParts& parts,
                                       const CheckpointChoice& choose);

// All but the newest that the run keeps; what cannot be removed is told in the log and stays until
// the next time.
void remove_old_checkpoints(const run::RunDirectory& dir, const spec::RunSpec& spec);

// Fills the parts of this rank, with adapters the frozen weights from where they were; refuses a
// checkpoint of another model or precision by name. Where replicas share weights out, each has
// those it owns.
Result<TrainState> load_state(const checkpoint::Reader& reader,
                              const spec::RunSpec& spec,
                              TensorParts& parts);

// Fills every parameter but adapters, and the optimizer's copies of it, from the checkpoint at
// `path` (or the newest in a directory of them), converted to the store's types; returns which
// checkpoint that was. Another set of tensors is an error that names one. Collective, like
// open_chosen.
Result<checkpoint::BaseReference> load_initial_weights(Vfs& vfs,
                                                       const std::filesystem::path& path,
                                                       const spec::RunSpec& spec,
                                                       TensorParts& parts);

}  // namespace tera::train
