// What a rank says to others, by axis and operation.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/comm/transport.h"

namespace tera::comm {

struct TrafficCount {
  std::string axis;
  int ranks = 1;  // of the group
  OperationKind kind = OperationKind::barrier;
  std::int64_t calls = 0;
  // Of the whole tensor; of an all_to_all and a send what goes to other ranks.
  std::int64_t bytes = 0;

  // What the rank sends, as plan::CommCost counts: S (n - 1) / n of a tensor of S bytes over n
  // ranks, twice that of an all_reduce, as rings send; all of an all_to_all and a send.
  double wire_bytes() const;
};

class Traffic {
 public:
  void count(const Group& group, const Operation& operation);
  void count_split(const Group& group);

  std::vector<TrafficCount> counts() const;  // by axis, ranks and operation
  // Of one axis, or of all.
  double wire_bytes() const;
  double wire_bytes(std::string_view axis) const;

 private:
  struct Sum {
    std::int64_t calls = 0;
    std::int64_t bytes = 0;
  };
  void add(const Group& group, OperationKind kind, std::int64_t bytes);

  mutable std::mutex mutex_;
  std::map<std::tuple<std::string, int, OperationKind>, Sum> sums_;
};

// Bytes that count for `operation` of the member `group.rank`, see TrafficCount::bytes.
std::int64_t counted_bytes(const Group& group, const Operation& operation);

}  // namespace tera::comm
