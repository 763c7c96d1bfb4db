// Weights of a checkpoint or of a model directory of transformers, into the parameters of a model.
#pragma once
#include "core/base/result.h"
#include "core/checkpoint/hugging_face.h"
#include "core/checkpoint/weights.h"
#include "core/nn/param_store.h"

namespace tera::infer {

using checkpoint::WeightSet;

// Fills every parameter of the store, from the f32 master where the checkpoint has one, rounded to
// the store's dtype; with adapters (make_param_table(spec)) the frozen ones from the checkpoint
// they are of. A missing tensor or another shape is an error that names it, and so is a checkpoint
// without a running mean where that is asked for.
Result<void> load_weights(const checkpoint::Reader& reader,
                          nn::ParamStore& params,
                          WeightSet set = WeightSet::trained);
Result<void> load_weights(const checkpoint::HuggingFaceModel& model, nn::ParamStore& params);

}  // namespace tera::infer
