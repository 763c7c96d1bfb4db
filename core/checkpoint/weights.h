// The weights of a checkpoint, whatever it was trained in.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
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

// What a checkpoint of adapters is of.
struct BaseReference {
  std::string path;          // of a checkpoint
  std::string content_hash;  // Reader::content_hash
};
// None when the checkpoint holds a whole model.
std::optional<BaseReference> base_of(const Reader& reader);
// The checkpoint that the adapters in `adapters` are of. One that is gone or has other content is
// an error that names both.
Result<Reader> open_base(const Reader& adapters);
// An error when the checkpoint holds adapters alone, with the way to a whole model as its hint.
Result<void> refuse_adapters(const Reader& reader);

// The weights as trained, or their running mean (training.ema_decay).
enum class WeightSet : std::uint8_t { trained, ema };

// What the checkpoint holds of each parameter: the f32 master where there is one, else the weight
// itself.
std::vector<TensorInfo> stored_weights(const Reader& reader);
// The running mean of each, the weight itself of what no gradient trains. Error (not_found): the
// checkpoint has no mean.
Result<std::vector<TensorInfo>> stored_weights(const Reader& reader, WeightSet set);

// Fills `value` with a stored weight, converted to its element type. The shapes must agree.
Result<void> read_weight(const Reader& reader, const TensorInfo& stored, const Tensor& value);
// The same of some elements of a tensor of this shape (Reader::read); others are zero or stay.
Result<void> read_weight(const Reader& reader,
                         const TensorInfo& stored,
                         const std::vector<std::int64_t>& shape,
                         std::span<const ElementRun> runs,
                         const Tensor& part);

}  // namespace tera::checkpoint
