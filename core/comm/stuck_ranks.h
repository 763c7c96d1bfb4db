// Who keeps everybody waiting: ranks that wait for ranks that wait, followed to those who are not
// heard of, or to a ring that waits for itself.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tera::comm {

// What a rank waits in, on one of its threads.
struct RankWait {
  std::string where;       // place_of(): "recv on pipeline, rank 0"
  std::vector<int> ranks;  // of the world, that it waits for
  double seconds = 0;
  bool operator==(const RankWait&) const = default;
};

// As bytes that ranks send each other.
std::string pack_waits(const std::vector<RankWait>& waits);
std::vector<RankWait> unpack_waits(std::string_view bytes);

// What those said who were asked; one that did not answer has no entry.
using HeardWaits = std::map<int, std::vector<RankWait>>;

// Ranks to ask next: waited for, by `rank` in `stuck` or by one that was heard, and not heard yet.
std::vector<int> unheard(int rank, const RankWait& stuck, const HeardWaits& heard);
// "rank 3 does not answer: all_reduce on data, rank 2 waited 600 s for rank 3; recv on pipeline,
// rank 0 waited 600 s for rank 2": from the cause to `rank`, which is stuck. When all answered, who
// waits for whom.
std::string stuck_text(int rank, const RankWait& stuck, const HeardWaits& heard);

}  // namespace tera::comm
