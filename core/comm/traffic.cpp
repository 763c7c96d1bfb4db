#include "core/comm/traffic.h"

#include "core/comm/operation_checks.h"

namespace tera::comm {

double TrafficCount::wire_bytes() const {
  const double passed = static_cast<double>(bytes) * (ranks - 1) / ranks;
  switch (kind) {
    case OperationKind::all_reduce:
      return 2 * passed;
    case OperationKind::reduce_scatter:
    case OperationKind::all_gather:
    case OperationKind::broadcast:
      return passed;
    case OperationKind::all_to_all:
    case OperationKind::send:
      return static_cast<double>(bytes);
    case OperationKind::recv:
    case OperationKind::barrier:
    case OperationKind::split:
      return 0;
  }
  return 0;
}

void Traffic::count(const Group& group, const Operation& operation) {
  add(group, operation.kind, counted_bytes(group, operation));
}

void Traffic::count_split(const Group& group) {
  add(group, OperationKind::split, 0);
}

std::vector<TrafficCount> Traffic::counts() const {
  const std::scoped_lock lock(mutex_);
  std::vector<TrafficCount> counts;
  for (const auto& [key, sum] : sums_) {
    const auto& [axis, ranks, kind] = key;
    counts.push_back({axis, ranks, kind, sum.calls, sum.bytes});
  }
  return counts;
}

double Traffic::wire_bytes() const {
  double bytes = 0;
  for (const TrafficCount& count : counts())
    bytes += count.wire_bytes();
  return bytes;
}

double Traffic::wire_bytes(std::string_view axis) const {
  double bytes = 0;
  for (const TrafficCount& count : counts())
    bytes += count.axis == axis ? count.wire_bytes() : 0;
  return bytes;
}

void Traffic::add(const Group& group, OperationKind kind, std::int64_t bytes) {
  const std::scoped_lock lock(mutex_);
  Sum& sum = sums_[{group.axis, group.size(), kind}];
  ++sum.calls;
  sum.bytes += bytes;
}

std::int64_t counted_bytes(const Group& group, const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::all_reduce:
    case OperationKind::reduce_scatter:
      return operation.from.num_bytes();
    case OperationKind::all_gather:
    case OperationKind::broadcast:
    case OperationKind::recv:
      return operation.to.num_bytes();
    case OperationKind::all_to_all:
      return operation.from.num_bytes() -
             operation.send_rows[static_cast<std::size_t>(group.rank)] * row_bytes(operation.from);
    case OperationKind::send:
      return operation.peer == group.rank ? 0 : operation.from.num_bytes();
    case OperationKind::barrier:
    case OperationKind::split:
      return 0;
  }
  return 0;
}

}  // namespace tera::comm
