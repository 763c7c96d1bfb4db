// Models from and to the directories of the transformers library: weights, configuration and
// tokenizer, proven by logits before the result gets its name.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/result.h"
#include "core/base/vfs.h"
#include "core/checkpoint/weights.h"
#include "core/infer/compare_weights.h"
#include "core/spec/import.h"

namespace tera::infer {

struct ConvertOptions {
  bool verify = true;   // reload what was written and compare logits on eight prompts
  int num_threads = 0;  // 0: all processors
  // Bytes of weights written ("convert"), then prompts compared ("verify"); false stops, and
  // nothing is left behind.
  std::function<bool(std::string_view what, std::int64_t done, std::int64_t total)> progress = {};

  bool report(std::string_view what, std::int64_t done, std::int64_t total) const {
    return !progress || progress(what, done, total);
  }
};

struct Converted {
  spec::HuggingFaceFamily family = spec::HuggingFaceFamily::llama;
  std::int64_t num_params = 0;
  std::map<std::string, std::uint64_t> files = {};  // below the output directory -> bytes
  std::vector<Diagnostic> notes = {};               // what was left out, and why
  std::optional<LogitDifference> difference = {};   // before and after; unset: not compared
};

// dir -> out: spec.yaml to train from, the tokenizer, and ckpt/step-000000000 that generate and
// train read. The elements of the weights are kept bit for bit (f16 and fp8 widened).
Result<Converted> import_hugging_face(Vfs& vfs,
                                      const std::filesystem::path& dir,
                                      const std::filesystem::path& out,
                                      const ConvertOptions& options);

struct ExportOptions {
  ConvertOptions convert = {};
  checkpoint::WeightSet weights = checkpoint::WeightSet::trained;
  std::optional<bool> bf16 = {};  // unset: as the checkpoint was trained
  bool fused_experts = false;
  std::uint64_t max_shard_bytes = 5'000'000'000;
  std::string tokenizer = {};  // tokenizer.json; empty: beside the checkpoint, or of its spec
};

// A checkpoint -> a directory that from_pretrained loads.
Result<Converted> export_hugging_face(Vfs& vfs,
                                      const checkpoint::Reader& reader,
                                      const std::filesystem::path& out,
                                      const ExportOptions& options);

// The adapters of a checkpoint -> a directory of the PEFT library: adapter_config.json and
// adapter_model.safetensors, f32. Exact: a projection that the library's model holds together with
// others gets the sum of their ranks.
Result<Converted> export_peft(Vfs& vfs,
                              const checkpoint::Reader& reader,
                              const std::filesystem::path& out,
                              checkpoint::WeightSet weights,
                              const ConvertOptions& options);

// tokenizer.json of a checkpoint: in the directory that holds its ckpt/, else the one its spec
// names; empty when there is none.
Result<std::filesystem::path> tokenizer_of(Vfs& vfs, const checkpoint::Reader& reader);

}  // namespace tera::infer
