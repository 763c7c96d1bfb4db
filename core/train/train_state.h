// What a run must save to go on bit for bit, and how it is put into and taken from a checkpoint.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "core/base/vfs.h"
#include "core/checkpoint/weights.h"
#include "core/nn/param_store.h"
#include "core/spec/run_spec.h"
#include "core/train/loss_scaler.h"
#include "core/train/optimizer.h"
#include "core/train/outlier_guard.h"

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
// adapters those alone, and which weights they are of.
Result<std::filesystem::path> save_state(Vfs& vfs,
                                         const std::filesystem::path& checkpoints_dir,
                                         const spec::RunSpec& spec,
                                         const TrainState& state,
                                         nn::ParamStore& params,
                                         Optimizer& optimizer);

// Fills params and optimizer, with adapters the frozen weights from where they were; refuses a
// checkpoint of another model or precision by name.
Result<TrainState> load_state(const checkpoint::Reader& reader,
                              const spec::RunSpec& spec,
                              nn::ParamStore& params,
                              Optimizer& optimizer);

// Fills every parameter but adapters, and the optimizer's copies of it, from the checkpoint at
// `path` (or the newest in a directory of them), converted to the store's types; returns which
// checkpoint that was. Another set of tensors is an error that names one.
Result<checkpoint::BaseReference> load_initial_weights(Vfs& vfs,
                                                       const std::filesystem::path& path,
                                                       nn::ParamStore& params,
                                                       Optimizer& optimizer);

}  // namespace tera::train
