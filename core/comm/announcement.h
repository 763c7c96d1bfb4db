// What a rank tells its peers before a collective begins, so that all find out alike when they do
// not mean the same. Trivially copyable: threads share it, processes send it.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "core/comm/transport.h"

namespace tera::comm {

struct Announcement {
  OperationKind kind = OperationKind::barrier;
  DType dtype = DType::u8;
  Reduce reduce = Reduce::sum;
  int root = 0;
  int num_dims = 0;
  std::array<std::int64_t, 4> shape = {};  // the first of an all_to_all is -1: rows may differ
  SplitRequest split = {};
};

Announcement announce(const Operation& operation);

// Empty when all ranks of the group announced the same, else who differs from its first member:
// the same text on every rank.
std::string disagreement(const Group& group, const std::vector<Announcement>& announced);
// Of an all_to_all, members `from` and `to`.
std::string row_disagreement(
    const Group& group, int from, int to, std::int64_t sent, std::int64_t expected);

}  // namespace tera::comm
