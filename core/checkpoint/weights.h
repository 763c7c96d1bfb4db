// The weights of a checkpoint, whatever it was trained in.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "core/checkpoint/checkpoint.h"
#include "core/tensor/tensor.h"

namespace tera::checkpoint {

// Opens a checkpoint directory, or the newest valid checkpoint in a directory with ckpt/ (a run, or
// an imported model). Reasons for passing over newer ones go to `skipped`.
Result<Reader> open_weights(Vfs& vfs,
                            const std::filesystem::path& path,
                            std::vector<std::string>& skipped);

// Parameter name -> what the checkpoint holds of it: the f32 master where there is one, else the
// weight itself.
std::vector<TensorInfo> stored_weights(const Reader& reader);

// Fills `value` with a stored weight, converted to its element type. The shapes must agree.
Result<void> read_weight(const Reader& reader, const TensorInfo& stored, const Tensor& value);

}  // namespace tera::checkpoint
