#include "core/data/order.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/hash.h"

namespace tera::data {
namespace {

// The 64-bit finaliser of MurmurHash3 (Appleby, public domain): every input bit reaches every
// output bit.
std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

bool is_hex64(const std::string& id) {
  return id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::uint64_t dataset_key(std::uint64_t seed, const std::string& manifest_id) {
  std::string bytes;
  append_le(bytes, seed);
  return xxh3_64(bytes + bytes_of_hex(manifest_id));
}

std::uint64_t stage_key(std::uint64_t seed, std::int64_t stage) {
  std::string bytes;
  append_le(bytes, seed);
  bytes += "blend";
  append_le(bytes, stage);
  return xxh3_64(bytes);
}

}  // namespace

Permutation::Permutation(std::int64_t n, std::uint64_t key, std::int64_t epoch)
    : size_(static_cast<std::uint64_t>(n)) {
  TERA_CHECK(n >= 1, "permutation of {} elements, expected at least 1", n);
  const int bits = static_cast<int>(std::bit_width(size_ - 1));
  half_bits_ = std::max(1, (bits + 1) / 2);
  half_mask_ = (std::uint64_t{1} << half_bits_) - 1;
  std::string bytes;
  append_le(bytes, key);
  append_le(bytes, epoch);
  const std::size_t prefix = bytes.size();
  for (int round = 0; round < kRounds; ++round) {
    bytes.resize(prefix);
    append_le(bytes, std::int64_t{round});
    round_keys_[static_cast<std::size_t>(round)] = xxh3_64(bytes);
  }
}

std::int64_t Permutation::forward(std::int64_t index) const {
  auto x = static_cast<std::uint64_t>(index);
  TERA_CHECK(index >= 0 && x < size_, "index {} of a permutation of {}", index, size_);
  do {  // walk the cycle of the larger permutation until it is back inside [0, n)
    std::uint64_t left = x >> half_bits_;
    std::uint64_t right = x & half_mask_;
    for (const std::uint64_t round_key : round_keys_) {
      const std::uint64_t next = left ^ (mix(right ^ round_key) & half_mask_);
      left = right;
      right = next;
    }
    x = (left << half_bits_) | right;
  } while (x >= size_);
  return static_cast<std::int64_t>(x);
}

std::int64_t Permutation::inverse(std::int64_t value) const {
  auto x = static_cast<std::uint64_t>(value);
  TERA_CHECK(value >= 0 && x < size_, "value {} of a permutation of {}", value, size_);
  do {
    std::uint64_t left = x >> half_bits_;
    std::uint64_t right = x & half_mask_;
    for (auto key = round_keys_.rbegin(); key != round_keys_.rend(); ++key) {
      const std::uint64_t previous = right ^ (mix(left ^ *key) & half_mask_);
      right = left;
      left = previous;
    }
    x = (left << half_bits_) | right;
  } while (x >= size_);
  return static_cast<std::int64_t>(x);
}

std::vector<std::int64_t> quotas(const std::vector<double>& weights, std::int64_t total) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  TERA_CHECK(sum > 0, "weights sum to {}, expected more than 0", sum);
  std::vector<std::int64_t> share(weights.size());
  std::vector<double> remainder(weights.size());
  std::int64_t given = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double exact = weights[i] / sum * static_cast<double>(total);
    share[i] = static_cast<std::int64_t>(std::floor(exact));
    remainder[i] = exact - std::floor(exact);
    if (weights[i] > 0 && share[i] == 0) {
      share[i] = 1;
      remainder[i] = 0;
    }
    given += share[i];
  }
  std::vector<std::size_t> by_remainder(weights.size());
  std::iota(by_remainder.begin(), by_remainder.end(), std::size_t{0});
  std::stable_sort(by_remainder.begin(), by_remainder.end(),
                   [&](std::size_t a, std::size_t b) { return remainder[a] > remainder[b]; });
  for (std::size_t i = 0; given < total; i = (i + 1) % by_remainder.size()) {
    if (weights[by_remainder[i]] <= 0) continue;
    ++share[by_remainder[i]];
    ++given;
  }
  for (; given > total; --given) {  // the ones raised to 1 are paid for by the largest share
    --*std::max_element(share.begin(), share.end());
  }
  return share;
}

Result<TrainingOrder> TrainingOrder::create(std::uint64_t seed,
                                            std::vector<OrderDataset> datasets,
                                            std::vector<OrderStage> stages,
                                            std::int64_t block_size) {
  if (datasets.empty()) {
    return fail(ErrorCode::invalid_input, "data.datasets: got none, expected at least one dataset");
  }
  if (block_size < std::ssize(datasets)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("blend: {} datasets do not fit into blocks of {} samples",
                            datasets.size(), block_size),
                "merge small datasets");
  }
  if (stages.empty() || stages.front().from_sample != 0) {
    return fail(ErrorCode::invalid_input, "blend: no weights are given for sample 0");
  }
  TrainingOrder order;
  order.seed_ = seed;
  order.block_size_ = block_size;
  for (std::size_t i = 0; i < datasets.size(); ++i) {
    if (!is_hex64(datasets[i].manifest_id)) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("dataset {}: manifest id \"{}\" is not 64 hex digits", i,
                              datasets[i].manifest_id));
    }
    order.datasets_.push_back({datasets[i].manifest_id, datasets[i].num_windows,
                               dataset_key(seed, datasets[i].manifest_id)});
  }
  BlockTable table;
  for (std::size_t t = 0; t < stages.size(); ++t) {
    const OrderStage& stage = stages[t];
    if (stage.weights.size() != datasets.size()) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("blend stage {}: got {} weights for {} datasets", t,
                              stage.weights.size(), datasets.size()));
    }
    if (t > 0 && stage.from_sample <= stages[t - 1].from_sample) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("blend stage {}: from_sample {} is not after the previous stage's {}",
                              t, stage.from_sample, stages[t - 1].from_sample),
                  "list the stages in the order in which they begin");
    }
    double sum = 0;
    for (std::size_t i = 0; i < stage.weights.size(); ++i) {
      const double weight = stage.weights[i];
      if (!(weight >= 0) || !std::isfinite(weight)) {
        return fail(ErrorCode::invalid_input,
                    fmt::format("blend stage {}: weight {} of dataset {} is not a number >= 0", t,
                                weight, i));
      }
      if (weight > 0 && datasets[i].num_windows < 1) {
        return fail(ErrorCode::invalid_input,
                    fmt::format("dataset {} has no full window, but weight {}", i, weight),
                    "use a shorter training.seq_length, more text, or weight 0");
      }
      sum += weight;
    }
    if (!(sum > 0) || !std::isfinite(sum)) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("blend stage {}: the weights sum to {}, expected more than 0", t, sum));
    }
    Stage made{.from_sample = stage.from_sample,
               .key = stage_key(seed, static_cast<std::int64_t>(t)),
               .quota = quotas(stage.weights, block_size),
               .base = std::vector<std::int64_t>(datasets.size(), 0)};
    if (t > 0) {
      for (int i = 0; i < order.num_datasets(); ++i) {
        made.base[static_cast<std::size_t>(i)] = order.samples_before(i, stage.from_sample, table);
      }
    }
    order.stages_.push_back(std::move(made));
  }
  return order;
}

int TrainingOrder::stage_of(std::int64_t g) const {
  const auto after = std::upper_bound(
      stages_.begin(), stages_.end(), g,
      [](std::int64_t value, const Stage& stage) { return value < stage.from_sample; });
  return static_cast<int>(after - stages_.begin()) - 1;
}

void TrainingOrder::load_block(int stage, std::int64_t block, BlockTable& table) const {
  if (table.stage == stage && table.block == block) return;
  const Stage& s = stages_[static_cast<std::size_t>(stage)];
  const auto slots = static_cast<std::size_t>(block_size_);
  table.dataset.resize(slots);
  table.rank.resize(slots);
  std::vector<std::int32_t> owner(slots);  // the slot list before it is permuted
  std::size_t next = 0;
  for (std::size_t i = 0; i < s.quota.size(); ++i) {
    for (std::int64_t k = 0; k < s.quota[i]; ++k)
      owner[next++] = static_cast<std::int32_t>(i);
  }
  const Permutation permutation(block_size_, s.key, block);
  std::vector<std::int32_t> seen(s.quota.size(), 0);
  for (std::size_t r = 0; r < slots; ++r) {
    const std::int32_t i =
        owner[static_cast<std::size_t>(permutation.forward(static_cast<std::int64_t>(r)))];
    table.dataset[r] = i;
    table.rank[r] = seen[static_cast<std::size_t>(i)]++;
  }
  table.stage = stage;
  table.block = block;
}

SampleRef TrainingOrder::sample(std::int64_t g, BlockTable& table) const {
  TERA_CHECK(g >= 0, "sample {}, expected 0 or more", g);
  const int t = stage_of(g);
  const Stage& stage = stages_[static_cast<std::size_t>(t)];
  const std::int64_t offset = g - stage.from_sample;
  const std::int64_t block = offset / block_size_;
  load_block(t, block, table);
  const auto r = static_cast<std::size_t>(offset % block_size_);
  const auto i = static_cast<std::size_t>(table.dataset[r]);
  SampleRef ref{.dataset = static_cast<int>(i)};
  ref.local = stage.base[i] + block * stage.quota[i] + table.rank[r];
  const Dataset& dataset = datasets_[i];
  ref.epoch = ref.local / dataset.num_windows;
  ref.window = Permutation(dataset.num_windows, dataset.key, ref.epoch)
                   .forward(ref.local % dataset.num_windows);
  return ref;
}

std::int64_t TrainingOrder::samples_in_stage(int stage,
                                             int dataset,
                                             std::int64_t offset,
                                             BlockTable& table) const {
  const Stage& s = stages_[static_cast<std::size_t>(stage)];
  const std::int64_t block = offset / block_size_;
  std::int64_t count = block * s.quota[static_cast<std::size_t>(dataset)];
  const std::int64_t rest = offset % block_size_;
  if (rest > 0) {
    load_block(stage, block, table);
    count += std::count(table.dataset.begin(), table.dataset.begin() + rest, dataset);
  }
  return count;
}

std::int64_t TrainingOrder::samples_before(int dataset, std::int64_t g, BlockTable& table) const {
  const int t = g > 0 ? stage_of(g - 1) : 0;
  const Stage& stage = stages_[static_cast<std::size_t>(t)];
  return stage.base[static_cast<std::size_t>(dataset)] +
         samples_in_stage(t, dataset, g - stage.from_sample, table);
}

std::optional<std::int64_t> TrainingOrder::sample_index(int dataset,
                                                        std::int64_t local,
                                                        BlockTable& table) const {
  const auto i = static_cast<std::size_t>(dataset);
  TERA_CHECK(i < datasets_.size() && local >= 0, "local sample {} of dataset {}", local, dataset);
  // The last stage whose cursor starts at or before `local` and that gives the dataset any slots.
  for (std::size_t t = stages_.size(); t-- > 0;) {
    const Stage& stage = stages_[t];
    if (stage.base[i] > local || stage.quota[i] == 0) continue;
    const std::int64_t in_stage = local - stage.base[i];
    const std::int64_t block = in_stage / stage.quota[i];
    const auto rank = static_cast<std::int32_t>(in_stage % stage.quota[i]);
    load_block(static_cast<int>(t), block, table);
    for (std::int64_t r = 0; r < block_size_; ++r) {
      const auto slot = static_cast<std::size_t>(r);
      if (table.dataset[slot] == dataset && table.rank[slot] == rank) {
        const std::int64_t g = stage.from_sample + block * block_size_ + r;
        if (t + 1 < stages_.size() && g >= stages_[t + 1].from_sample) return std::nullopt;
        return g;
      }
    }
  }
  return std::nullopt;
}

std::optional<std::int64_t> TrainingOrder::sample_index(int dataset,
                                                        std::int64_t epoch,
                                                        std::int64_t window,
                                                        BlockTable& table) const {
  const Dataset& d = datasets_[static_cast<std::size_t>(dataset)];
  const std::int64_t k = Permutation(d.num_windows, d.key, epoch).inverse(window);
  return sample_index(dataset, epoch * d.num_windows + k, table);
}

std::string TrainingOrder::description() const {
  std::string text = fmt::format("order tera-1\nseed {}\nblock {}\n", seed_, block_size_);
  for (const Dataset& d : datasets_) {
    text += fmt::format("dataset {} windows {}\n", d.manifest_id, d.num_windows);
  }
  for (const Stage& s : stages_) {
    text += fmt::format("stage from {} quotas {}\n", s.from_sample, fmt::join(s.quota, " "));
  }
  return text;
}

}  // namespace tera::data
