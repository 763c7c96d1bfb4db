#include "core/plan/sync_messages.h"

#include <algorithm>
#include <set>

#include "core/plan/placement.h"
#include "core/plan/shared_gradient.h"

namespace tera::plan {

using enum MessageKind;

namespace {

constexpr std::int64_t kF32 = 4;  // bytes of a gradient
constexpr std::int64_t kF64 = 8;  // of a sum of squares

}  // namespace

SyncMessages::SyncMessages(const spec::RunSpec& spec, int rank, MessageTally& tally)
    : spec_(spec),
      tally_(tally),
      table_(local_table(spec, tally.mesh(), rank)),
      buckets_(sharded_buckets(spec, tally.mesh(), rank, table_)),
      bucket_of_(table_.size()),
      parts_(parts_in_order(table_)) {
  for (const ParamBucket& bucket : buckets_) {
    for (const ParamBucket::Entry& entry : bucket.entries)
      bucket_of_[entry.param] = &bucket;
  }
}

// Reproducible sums are made after every micro-batch, of whole tensors but after the last; with
// several copies also then.
void SyncMessages::gradients() {
  const spec::ParallelLayout& layout = spec_.layout;
  const std::int64_t before_last =
      spec_.training.reproducible_sums ? spec_.num_micro_batches() - 1 : 0;
  tally_.set_times(before_last + 1);
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const LocalParam& param = table_[i];
    if (!param.spec.trainable) continue;
    const std::int64_t bytes = param.slice.num_elements() * kF32;
    const SharedGradient shared =
        shared_gradient(param.spec, layout.tensor_parallel_size, layout.sequence_parallel);
    if (shared == SharedGradient::summed) tally_.tensor(all_reduce, bytes);
    if (shared == SharedGradient::copied)
      tally_.tensor(all_reduce, param.spec.num_elements() * kF32);
    if (bucket_of_[i] == nullptr) tally_.replicas(param.spec.is_expert(), all_reduce, bytes);
  }
  for (const ParamBucket& bucket : buckets_) {
    if (!bucket.trained) continue;
    const std::int64_t bytes = bucket.num_elements * kF32;
    const bool sums_whole = spec_.training.reproducible_sums && tally_.mesh().num_copies() > 1;
    tally_.set_times(before_last + (sums_whole ? 1 : 0));
    if (before_last > 0 || sums_whole) tally_.replicas(bucket.experts, all_reduce, bytes);
    tally_.set_times(1);
    if (sums_whole) continue;
    tally_.shards(bucket.experts, reduce_scatter, bytes);
    tally_.copies(bucket.experts, all_reduce, bucket.shard_elements() * kF32);
  }
  tally_.set_times(1);
  embedding_copies();
}

void SyncMessages::blocks_of_norm() {
  if (!spec_.training.reproducible_sums) return;
  for (const bool experts : {false, true}) {
    std::int64_t blocks = 0;
    for (const LocalParam& param : table_) {
      if (param.spec.trainable && param.spec.is_expert() == experts)
        blocks += (param.slice.num_elements() + kBucketBlock - 1) / kBucketBlock;
    }
    if (blocks > 0) tally_.replicas(experts, all_reduce, blocks * kF64);
  }
}

void SyncMessages::weights(const StageOrder& order) {
  if (spec_.layout.zero_stage >= 3) return gathered_weights(order);
  for (const ParamBucket& bucket : buckets_)
    gather(bucket);
}

void SyncMessages::gather(const ParamBucket& bucket) {
  tally_.shards(bucket.experts, all_gather, bucket.num_elements * dtype_bytes(bucket.dtype));
}

// Between first and last stage, of this rank's shard.
void SyncMessages::embedding_copies() {
  const int last = spec_.layout.pipeline_parallel_size - 1;
  if (!copies_embedding(spec_.model, stage_chunks(spec_, last))) return;
  for (std::size_t i = 0; i < table_.size(); ++i) {
    if (table_[i].spec.name != "embedding.tokens" || !table_[i].spec.trainable) continue;
    std::int64_t owned = table_[i].slice.num_elements();
    if (bucket_of_[i] != nullptr) {
      const auto [begin, end] = bucket_of_[i]->owned(bucket_of_[i]->entries.front());
      owned = end - begin;
    }
    if (owned > 0) tally_.add("embedding", 2, all_reduce, owned * kF32);
  }
}

// Buckets that a part reads; backward of the embedding reads none.
std::vector<std::size_t> SyncMessages::read(std::size_t part, bool backward) const {
  if (backward && parts_[part] == kEmbeddingPart) return {};
  return read_by(parts_[part], parts_, buckets_, shares_embedding(spec_.model));
}

// Those of a part and of the one that follows it are gathered, and dropped when neither needs them.
void SyncMessages::gathered_weights(const StageOrder& order) {
  std::set<std::size_t> held;
  const auto run = [&](std::size_t part, std::size_t next, bool backward) {
    const std::vector<std::size_t> following = read(next, backward);
    for (const std::vector<std::size_t>& needed : {read(part, backward), following}) {
      for (const std::size_t bucket : needed) {
        if (held.insert(bucket).second) gather(buckets_[bucket]);
      }
    }
    held = {following.begin(), following.end()};
  };
  const std::size_t end = parts_.size() - 1;
  for (const PipelineAction& action : actions_of(order)) {
    if (action.work != Work::forward) {
      for (std::size_t part = end + 1; part-- > 0;)
        run(part, part == 0 ? 0 : part - 1, true);
      continue;
    }
    held.clear();
    for (std::size_t part = 0; part <= end; ++part)
      run(part, std::min(part + 1, end), false);
  }
}

}  // namespace tera::plan
