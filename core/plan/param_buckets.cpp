#include "core/plan/param_buckets.h"

#include <set>
#include <string_view>

#include "core/plan/placement.h"

namespace tera::plan {
namespace {

bool is_alike(const ParamBucket& bucket, const ParamBucket& other) {
  return bucket.part == other.part && bucket.experts == other.experts &&
         bucket.trained == other.trained && bucket.dtype == other.dtype;
}

std::int64_t rounded_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace

int part_of(const ParamSpec& param) {
  if (param.layer >= 0) return param.layer;
  return param.kind == ParamKind::embedding ? kEmbeddingPart : kHeadPart;
}

std::pair<std::int64_t, std::int64_t> ParamBucket::owned(const Entry& entry) const {
  const auto place = [&entry](std::int64_t at) {
    return std::clamp<std::int64_t>(at - entry.begin, 0, entry.count);
  };
  return {place(shard_begin()), place(shard_begin() + shard_elements())};
}

std::vector<ParamBucket> replicated_buckets(const spec::RunSpec& spec,
                                            const RankMesh& mesh,
                                            int rank,
                                            const LocalTable& table) {
  const int copies = spec.layout.zero_stage == 0 ? 1 : mesh.num_copies();
  std::vector<ParamBucket> buckets;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const ParamSpec& param = table[i].spec;
    if (param.kind == ParamKind::router_bias) continue;
    const bool experts = param.is_expert();
    const int replicas = mesh.num_replicas(experts);
    const int replica = mesh.replica(rank, experts);
    const int shards = replicas / copies;
    ParamBucket made{.part = part_of(param),
                     .experts = experts,
                     .trained = param.trainable,
                     .dtype = weight_dtype(param, spec.training.precision),
                     .entries = {},
                     .ranks = replicas,
                     .rank = replica % shards * copies + replica / shards};
    if (replicas == 1) continue;
    const bool alone = param.name == "embedding.tokens";
    auto bucket = std::find_if(buckets.begin(), buckets.end(), [&](const ParamBucket& other) {
      return is_alike(made, other) &&
             table[other.entries.front().param].spec.name != "embedding.tokens";
    });
    if (alone || bucket == buckets.end()) bucket = buckets.insert(buckets.end(), std::move(made));
    const std::int64_t count = table[i].slice.num_elements();
    bucket->entries.push_back({.param = i, .begin = bucket->num_elements, .count = count});
    bucket->num_elements += rounded_up(count, kBucketBlock);
  }
  for (ParamBucket& bucket : buckets)
    bucket.num_elements = rounded_up(bucket.num_elements, kBucketBlock * bucket.ranks);
  return buckets;
}

std::vector<ParamBucket> sharded_buckets(const spec::RunSpec& spec,
                                         const RankMesh& mesh,
                                         int rank,
                                         const LocalTable& table) {
  if (spec.layout.zero_stage == 0) return {};
  std::vector<ParamBucket> buckets = replicated_buckets(spec, mesh, rank, table);
  for (ParamBucket& bucket : buckets) {
    bucket.ranks /= mesh.num_copies();
    bucket.rank /= mesh.num_copies();
  }
  std::erase_if(buckets, [](const ParamBucket& bucket) { return bucket.ranks == 1; });
  if (spec.layout.zero_stage < 3)
    std::erase_if(buckets, [](const ParamBucket& bucket) { return !bucket.trained; });
  return buckets;
}

std::vector<int> parts_in_order(const LocalTable& table) {
  std::vector<int> order;
  for (const LocalParam& param : table) {
    const int part = part_of(param.spec);
    if (std::find(order.begin(), order.end(), part) == order.end()) order.push_back(part);
  }
  return order;
}

std::vector<std::size_t> read_by(int part,
                                 const std::vector<int>& order,
                                 const std::vector<ParamBucket>& buckets,
                                 bool shares_embedding) {
  const auto head = std::find(order.begin(), order.end(), kHeadPart);
  const bool at_end = std::find(head, order.end(), part) != order.end();
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    const int of = buckets[i].part;
    const bool shared = at_end && (of == kHeadPart || (shares_embedding && of == kEmbeddingPart));
    if (of == part || shared) found.push_back(i);
  }
  return found;
}

namespace {

constexpr std::int64_t kGradientBytes = 4;

// Plays the gradients of one step: what is there, and the most there ever was.
class GradientPlay {
 public:
  GradientPlay(const LocalTable& table, const std::vector<ParamBucket>& buckets)
      : table_(table), buckets_(buckets), bucket_of_(table.size()) {
    for (std::size_t b = 0; b < buckets.size(); ++b) {
      for (const ParamBucket::Entry& entry : buckets[b].entries)
        bucket_of_[entry.param] = &buckets[b];
    }
  }

  template <class Wanted>
  void add(const Wanted& wanted) {
    for (std::size_t i = 0; i < table_.size(); ++i) {
      const ParamSpec& param = table_[i].spec;
      if (!param.trainable || !wanted(param)) continue;
      const ParamBucket* bucket = bucket_of_[i];
      if (bucket == nullptr) {
        if (alone_.insert(i).second) take(table_[i].slice.num_elements());
      } else if (whole_.insert(bucket).second) {
        take(bucket->num_elements);
      }
    }
  }
  // All that is there is the sum of what came before, beside which a micro-batch adds anew.
  void set_aside() {
    alone_.clear();
    whole_.clear();
    aside_ = true;
  }
  // A part has its last gradients, which take the place of what came before.
  void complete(int part) {
    for (const ParamBucket* bucket : summing_)
      live_ -= bucket->num_elements;
    summing_.clear();
    if (!aside_) return;
    for (const std::size_t i : alone_) {
      if (part_of(table_[i].spec) == part) live_ -= table_[i].slice.num_elements();
    }
    for (const ParamBucket* bucket : whole_) {
      if (bucket->part == part) live_ -= bucket->num_elements;
    }
  }
  // Shards of the sum over replicas; what is summed goes when the next part is complete.
  void sum(int part) {
    for (const ParamBucket& bucket : buckets_) {
      if (bucket.part != part || !bucket.trained) continue;
      take(bucket.shard_elements());
      summing_.push_back(&bucket);
    }
  }
  std::int64_t peak() const { return peak_; }

 private:
  void take(std::int64_t elements) {
    live_ += elements;
    peak_ = std::max(peak_, live_);
  }

  const LocalTable& table_;
  const std::vector<ParamBucket>& buckets_;
  std::vector<const ParamBucket*> bucket_of_;  // [row]; null: none
  std::set<std::size_t> alone_;
  std::set<const ParamBucket*> whole_;
  std::vector<const ParamBucket*> summing_;
  bool aside_ = false;
  std::int64_t live_ = 0;  // elements
  std::int64_t peak_ = 0;
};

std::int64_t gradient_peak(const spec::RunSpec& spec,
                           const LocalTable& table,
                           const std::vector<ParamBucket>& buckets) {
  GradientPlay play(table, buckets);
  const auto all = [](const ParamSpec&) { return true; };
  const bool sums_early = spec.layout.zero_stage >= 2;
  const bool several = spec.num_micro_batches() > 1;
  if (!sums_early || several) play.add(all);
  if (several && spec.training.reproducible_sums) {
    play.set_aside();
  } else if (!sums_early) {
    return play.peak();
  }
  const std::string_view head = spec.model.tie_embeddings ? "embedding.tokens" : "head.weight";
  play.add([&](const ParamSpec& param) {  // with the loss
    return param.name == head || (param.adapts && param.adapts->weight == head);
  });
  const std::vector<int> order = parts_in_order(table);
  for (auto part = order.rbegin(); part != order.rend(); ++part) {
    const bool predicts = *part >= spec.model.num_layers;
    play.add([&](const ParamSpec& param) {
      return part_of(param) == *part || (predicts && param.name == "embedding.tokens");
    });
    play.complete(*part);
    if (sums_early) play.sum(*part);
  }
  return play.peak();
}

std::int64_t weight_bytes(const ParamBucket& bucket, std::int64_t elements) {
  return elements * dtype_bytes(bucket.dtype);
}

}  // namespace

BucketPeaks bucket_peaks(const spec::RunSpec& spec,
                         const LocalTable& table,
                         const std::vector<ParamBucket>& buckets) {
  BucketPeaks peaks{.gradients = kGradientBytes * gradient_peak(spec, table, buckets)};
  std::set<std::size_t> shared_out;
  const bool shares_weights = spec.layout.zero_stage >= 3;
  for (const ParamBucket& bucket : buckets) {
    peaks.weights +=
        weight_bytes(bucket, shares_weights ? bucket.shard_elements() : bucket.num_elements);
    for (const ParamBucket::Entry& entry : bucket.entries)
      shared_out.insert(entry.param);
  }
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (shared_out.count(i) > 0) continue;
    peaks.weights += table[i].slice.num_elements() *
                     dtype_bytes(weight_dtype(table[i].spec, spec.training.precision));
  }
  if (!shares_weights) return peaks;
  const std::vector<int> order = parts_in_order(table);
  std::int64_t most = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    std::set<std::size_t> gathered;
    for (const int part : {order[i], order[std::min(i + 1, order.size() - 1)]}) {
      for (const std::size_t bucket : read_by(part, order, buckets, shares_embedding(spec.model)))
        gathered.insert(bucket);
    }
    std::int64_t bytes = 0;
    for (const std::size_t bucket : gathered)
      bytes += weight_bytes(buckets[bucket], buckets[bucket].num_elements);
    most = std::max(most, bytes);
  }
  peaks.weights += most;
  return peaks;
}

}  // namespace tera::plan
