// Weights of a checkpoint or of a model directory of transformers, into the parameters of a model.
#pragma once
#include "core/base/result.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/hugging_face.h"
#include "core/nn/param_store.h"

namespace tera::infer {

// Fills every parameter of the store, from the f32 master where the checkpoint has one, rounded to
// the store's dtype. A missing tensor or another shape is an error that names it.
Result<void> load_weights(const checkpoint::Reader& reader, nn::ParamStore& params);
Result<void> load_weights(const checkpoint::HuggingFaceModel& model, nn::ParamStore& params);

}  // namespace tera::infer
