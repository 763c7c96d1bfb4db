// Writes a checkpoint as a model directory of the transformers library. Memory: the tensors of one
// layer.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "core/checkpoint/weights.h"
#include "core/spec/export.h"

namespace tera::checkpoint {

struct HuggingFaceWriteOptions {
  WeightSet weights = WeightSet::trained;
  bool bf16 = false;           // else f32
  bool fused_experts = false;  // one tensor for all experts of a layer, as the library holds them
  // A file ends before it would grow past this. Default: as the library.
  std::uint64_t max_shard_bytes = 5'000'000'000;
  // Called with bytes done and of all; false stops with an error.
  std::function<bool(std::int64_t done, std::int64_t total)> progress = {};
};

// Writes config.json and the weights into an empty directory that exists: model.safetensors, or
// shards and their index. The checkpoint must hold every parameter of config.model.
Result<void> write_hugging_face(Vfs& vfs,
                                const std::filesystem::path& dir,
                                const Reader& reader,
                                const spec::HuggingFaceExport& config,
                                const HuggingFaceWriteOptions& options);

}  // namespace tera::checkpoint
