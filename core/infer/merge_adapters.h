// Adapters added into the weights they were trained on: W + scale B A, a whole model again.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "core/checkpoint/checkpoint.h"

namespace tera::infer {

struct MergeOptions {
  int num_threads = 0;  // 0: all processors
  // Bytes of weights written; false stops, and nothing is left behind.
  std::function<bool(std::int64_t done, std::int64_t total)> progress = {};
};

struct Merged {
  std::filesystem::path base;  // checkpoint of the frozen weights
  int num_adapters = 0;
  std::int64_t num_bytes = 0;  // of weights
};

// A checkpoint of adapters -> `out` as an imported model has it: spec.yaml, the tokenizer and
// ckpt/step-000000000. Sums are made in f32 and rounded to the type in which the base holds the
// weight. Memory: the largest weight, and the adapters.
Result<Merged> merge_adapters(Vfs& vfs,
                              const checkpoint::Reader& adapters,
                              const std::filesystem::path& out,
                              const MergeOptions& options);

}  // namespace tera::infer
