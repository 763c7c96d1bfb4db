// BatchLoader: the tokens of a step for one data-parallel rank, prepared ahead on its own thread.
// Which tokens is a function of (seed, manifests, blend, sequence length, batch size, step) alone:
// see ORDER.md.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/spec/run_spec.h"

namespace tera::data {

// One micro-batch on the host, ready to be copied into tensors. T = batch_size x seq_length.
struct HostBatch {
  int batch_size = 0;
  int seq_length = 0;
  std::vector<std::int32_t> tokens;     // [T]
  std::vector<std::int32_t> targets;    // [T]; -1 where the next token starts another document
                                        // (documents isolated: not predicted from the previous one)
  std::vector<std::int32_t> positions;  // [T]
  std::vector<std::int32_t> first_key;  // [T]
  std::int64_t num_targets = 0;         // targets >= 0
};

struct StepBatches {
  std::vector<HostBatch> micro_batches;  // of this rank, in order
  std::int64_t global_targets = 0;       // targets >= 0 over all ranks of the step
  std::string chain;  // 32 hex digits: h_s, hash chain over all tokens of all ranks
};

enum class Split : std::uint8_t { train, valid, test };

class BatchLoader {
 public:
  // Opens and checks files, tokenizer fingerprint and manifests of spec.data. first_step: O(1)
  // resume; chain_before is h_{first_step - 1} (empty at step 0).
  static Result<std::unique_ptr<BatchLoader>> open(const spec::RunSpec& spec,
                                                   int data_parallel_rank,
                                                   std::int64_t first_step,
                                                   const std::string& chain_before);
  virtual ~BatchLoader() = default;
  // The next step's batches; errors (short or changed file) name file, block, expected, got.
  virtual Result<StepBatches> next() = 0;

  // Held-out micro-batches: the first num_sequences windows of the valid split, for this rank.
  virtual Result<std::vector<HostBatch>> held_out(int num_sequences) = 0;
  virtual std::int32_t vocab_size() const = 0;
  virtual std::string plan_hash() const = 0;  // of everything the order depends on
};

}  // namespace tera::data
