#include "core/plan/message_tally.h"

namespace tera::plan {

void MessageTally::add(std::string_view axis, int ranks, MessageKind kind, std::int64_t bytes) {
  if (ranks == 1) return;
  PlannedMessages& sum = sums_[{axis, ranks, kind}];
  sum.calls += times_;
  sum.bytes += times_ * bytes;
}

void MessageTally::replicas(bool experts, MessageKind kind, std::int64_t bytes) {
  if (experts) return add("expert_data", mesh_.size(Axis::expert_data), kind, bytes);
  add("replica", mesh_.size(Axis::context) * mesh_.size(Axis::data), kind, bytes);
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
