// Training order "tera-1": which window of which dataset is sample g. A pure function of (seed,
// manifest ids, window counts, blend), with an exact inverse; see ORDER.md.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"

namespace tera::data {

// P(n, key, e): a permutation of [0, n), one per epoch e. Six-round balanced Feistel network over
// 2^(2h) >= n with cycle walking.
class Permutation {
 public:
  Permutation(std::int64_t n, std::uint64_t key, std::int64_t epoch);
  std::int64_t forward(std::int64_t index) const;
  std::int64_t inverse(std::int64_t value) const;

 private:
  static constexpr int kRounds = 6;
  std::uint64_t size_;
  std::uint64_t half_mask_ = 0;
  int half_bits_ = 1;
  std::array<std::uint64_t, kRounds> round_keys_{};
};

struct OrderDataset {
  std::string manifest_id;  // 64 hex digits
  std::int64_t num_windows = 0;
};

// Weights (shares of tokens, any positive scale) that hold from a sample on.
struct OrderStage {
  std::int64_t from_sample = 0;
  std::vector<double> weights;  // one per dataset; 0 leaves a dataset out
};

// Where sample g comes from.
struct SampleRef {
  int dataset = 0;
  std::int64_t local = 0;   // j: counts this dataset's samples over the whole run
  std::int64_t epoch = 0;   // e = j / num_windows
  std::int64_t window = 0;  // in [0, num_windows)
  bool operator==(const SampleRef&) const = default;
};

// Integer shares of `total` by largest remainder; at least 1 where the weight is positive. Ties go
// to the lower index.
std::vector<std::int64_t> quotas(const std::vector<double>& weights, std::int64_t total);

// The slots of one block of the blend, made on demand. One per thread that reads an order.
struct BlockTable {
  int stage = -1;
  std::int64_t block = -1;
  std::vector<std::int32_t> dataset;  // [Q] of slot r
  std::vector<std::int32_t> rank;     // [Q] number of earlier slots with the same dataset
};

class TrainingOrder {
 public:
  static constexpr std::int64_t kBlockSize = 65536;  // Q

  // Stages by from_sample, the first at 0. block_size is Q.
  static Result<TrainingOrder> create(std::uint64_t seed,
                                      std::vector<OrderDataset> datasets,
                                      std::vector<OrderStage> stages,
                                      std::int64_t block_size = kBlockSize);

  // Sample g >= 0. O(1), plus O(Q) when the block differs from the one in `table`.
  SampleRef sample(std::int64_t g, BlockTable& table) const;
  // g of a dataset's local sample j; nothing when no stage ever reaches it.
  std::optional<std::int64_t> sample_index(int dataset,
                                           std::int64_t local,
                                           BlockTable& table) const;
  // g of window w of a dataset in epoch e.
  std::optional<std::int64_t> sample_index(int dataset,
                                           std::int64_t epoch,
                                           std::int64_t window,
                                           BlockTable& table) const;
  // Samples of a dataset among [0, g).
  std::int64_t samples_before(int dataset, std::int64_t g, BlockTable& table) const;

  std::int64_t num_windows(int dataset) const {
    return datasets_[static_cast<std::size_t>(dataset)].num_windows;
  }
  int num_datasets() const { return static_cast<int>(datasets_.size()); }
  // Text of everything the order depends on, one fact per line.
  std::string description() const;

 private:
  struct Dataset {
    std::string manifest_id;
    std::int64_t num_windows = 0;
    std::uint64_t key = 0;
  };
  struct Stage {
    std::int64_t from_sample = 0;
    std::uint64_t key = 0;
    std::vector<std::int64_t> quota;  // sums to Q
    std::vector<std::int64_t> base;   // local cursor of each dataset when the stage begins
  };
  TrainingOrder() = default;
  int stage_of(std::int64_t g) const;
  void load_block(int stage, std::int64_t block, BlockTable& table) const;
  std::int64_t samples_in_stage(int stage,
                                int dataset,
                                std::int64_t offset,
                                BlockTable& table) const;

  std::uint64_t seed_ = 0;
  std::int64_t block_size_ = kBlockSize;
  std::vector<Dataset> datasets_;
  std::vector<Stage> stages_;
};

}  // namespace tera::data
