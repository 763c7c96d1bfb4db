#include "core/plan/message_tally.h"

namespace tera::plan {

void MessageTally::add(std::string_view axis, int ranks, MessageKind kind, std::int64_t bytes) {
  if (ranks == 1) return;
  PlannedMessages& sum = sums_[{axis, ranks, kind}];
  sum.calls += times_;
  sum.bytes += times_ * bytes;
}

void MessageTally::replicas(bool experts, MessageKind kind, std::int64_t bytes) {
  add(experts ? "expert_data" : "replica", mesh_.num_replicas(experts), kind, bytes);
}

void MessageTally::shards(bool experts, MessageKind kind, std::int64_t bytes) {
  if (mesh_.num_copies() == 1) return replicas(experts, kind, bytes);
  add(experts ? "expert_shard" : "shard", mesh_.num_shards(experts), kind, bytes);
}

void MessageTally::copies(bool experts, MessageKind kind, std::int64_t bytes) {
  add(experts ? "expert_copy" : "copy", mesh_.num_copies(), kind, bytes);
}

std::vector<PlannedMessages> MessageTally::take() const {
  std::vector<PlannedMessages> messages;
  for (const auto& [key, sum] : sums_) {
    const auto& [axis, ranks, kind] = key;
    messages.push_back({axis, ranks, kind, sum.calls, sum.bytes});
  }
  return messages;
}

}  // namespace tera::plan
