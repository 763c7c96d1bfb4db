// DataPlan: the opened datasets of a RunSpec and the order over them. Answers which tokens a step
// has; knows nothing of ranks or threads.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/data/indexed_dataset.h"
#include "core/data/manifest.h"
#include "core/data/order.h"
#include "core/spec/run_spec.h"
#include "core/spec/step_samples.h"

namespace tera::data {

// One training sequence with the token after it. L = seq_length.
struct Sample {
  std::vector<std::int32_t> tokens;     // [L + 1]
  std::vector<std::int32_t> first_key;  // [L] window-relative index of the document's first token
  std::vector<std::int32_t> targets;    // [L] tokens[i + 1], or -1 where it begins another document
  std::int64_t num_targets = 0;         // targets >= 0
};

// Tokens from `first` on as one sequence. Targets and first keys keep documents apart unless they
// may see each other. Error (corrupt): an id of model_vocab or more; those of the files.
struct WindowOptions {
  int seq_length = 0;
  std::int32_t model_vocab = 0;
  bool cross_document_attention = false;
};
Result<void> read_window(const IndexedDataset& files,
                         std::int64_t first,
                         const WindowOptions& options,
                         Sample& sample);

// h_s = XXH3-128(h_{s-1} | d_s), d_s = XXH3-128 of the step's tokens (L + 1 per sample, in g order,
// little-endian i32). Before step 0 it is 16 zero bytes.
class HashChain {
 public:
  // 32 hex digits, or empty for the start.
  static Result<HashChain> parse(std::string_view hex);
  void advance(std::string_view step_bytes);
  std::string hex() const { return to_hex(value_); }

 private:
  Hash128 value_;
};

class DataPlan {
 public:
  // Checks what can be checked before training: files against manifests, manifest ids against the
  // spec, tokenizer fingerprint and vocabulary, enough tokens for a window.
  static Result<DataPlan> open(const spec::RunSpec& spec);

  // Sample g of the run. Errors name file, block, expected, got; or the token that is too large.
  Result<void> read_sample(std::int64_t g, BlockTable& table, Sample& sample) const;
  // Window x of the held-out text: the valid splits of the datasets in turn.
  Result<void> read_held_out(std::int64_t x, Sample& sample) const;
  std::int64_t num_held_out() const;

  const TrainingOrder& order() const { return order_; }
  spec::StepSamples samples_of(std::int64_t step) const { return spec::step_samples(training_, step); }
  int seq_length() const { return seq_length_; }
  std::int32_t vocab_size() const { return vocab_size_; }
  // SHA-256 of everything the tokens of every step depend on.
  std::string plan_hash() const;
  // Remarks of the files (read in a repaired way).
  std::vector<std::string> notes() const;

 private:
  struct Opened {
    Manifest manifest;
    std::string id;
    IndexedDataset files;
    std::int64_t train_begin = 0;  // first token of the train split
    std::int64_t valid_begin = 0;
    std::int64_t train_windows = 0;
    std::int64_t valid_windows = 0;
  };
  explicit DataPlan(TrainingOrder order) : order_(std::move(order)) {}
  static Result<Opened> open_dataset(const spec::DatasetConfig& config, int seq_length);
  Result<void> read_window(const Opened& dataset, std::int64_t first_token, Sample& sample) const;

  TrainingOrder order_;
  std::vector<Opened> datasets_;
  spec::TrainingConfig training_;
  int seq_length_ = 0;
  std::int32_t vocab_size_ = 0;
  std::int32_t model_vocab_ = 0;
  bool cross_document_attention_ = false;
};

}  // namespace tera::data
