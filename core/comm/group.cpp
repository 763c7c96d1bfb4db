#include <algorithm>

#include <fmt/format.h>

#include "core/comm/transport.h"

namespace tera::comm {

std::string place_of(const Group& group, OperationKind kind) {
  return fmt::format("{} on {}, rank {}", enum_name(kind), group.axis, group.world_rank());
}

std::string rank_list(std::vector<int> ranks) {
  std::sort(ranks.begin(), ranks.end());
  std::string text = ranks.size() == 1 ? "rank" : "ranks";
  for (std::size_t begin = 0; begin < ranks.size();) {
    std::size_t end = begin + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1)
      ++end;
    text += fmt::format("{} {}", begin > 0 ? "," : "", ranks[begin]);
    if (end - begin > 1) text += fmt::format("-{}", ranks[end - 1]);
    begin = end;
  }
  return text;
}

Group split_group(const Group& group,
                  const std::vector<SplitRequest>& requests,
                  int rank,
                  std::string axis) {
  const auto request = [&](int r) { return requests[static_cast<std::size_t>(r)]; };
  std::vector<int> members;
  for (int r = 0; r < group.size(); ++r) {
    if (request(r).color == request(rank).color) members.push_back(r);
  }
  std::stable_sort(members.begin(), members.end(),
                   [&](int a, int b) { return request(a).key < request(b).key; });
  Group child{.axis = std::move(axis), .ranks = {}, .rank = 0};
  for (const int r : members) {
    if (r == rank) child.rank = child.size();
    child.ranks.push_back(group.ranks[static_cast<std::size_t>(r)]);
  }
  return child;
}

}  // namespace tera::comm
