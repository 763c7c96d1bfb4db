#include "core/comm/stuck_ranks.h"

#include <gtest/gtest.h>

namespace tera::comm {
namespace {

const RankWait kReduce = {"all_reduce on data, rank 2", {3}, 600.4};
const RankWait kRecv = {"recv on pipeline, rank 0", {2}, 600};

TEST(StuckRanks, WaitsReadBack) {
  const std::vector<RankWait> waits = {kRecv, {"barrier on world, rank 0", {1, 2, 12}, 0.25}};
  EXPECT_EQ(unpack_waits(pack_waits(waits)), waits);
  EXPECT_TRUE(unpack_waits(pack_waits({})).empty());
}

TEST(StuckRanks, WhoDoesNotAnswerIsNamedWithWhatWaitsForIt) {
  EXPECT_EQ(unheard(0, kRecv, {}), std::vector{2});
  EXPECT_EQ(stuck_text(0, kRecv, {}),
            "rank 2 does not answer: recv on pipeline, rank 0 waited 600 s for rank 2");
  const HeardWaits heard = {{2, {kReduce}}};
  EXPECT_EQ(unheard(0, kRecv, heard), std::vector{3});
  EXPECT_EQ(stuck_text(0, kRecv, heard),
            "rank 3 does not answer: all_reduce on data, rank 2 waited 600 s for rank 3; "
            "recv on pipeline, rank 0 waited 600 s for rank 2");
  EXPECT_EQ(stuck_text(0, {"barrier on world, rank 0", {2, 3, 5}, 1}, heard),
            "ranks 3, 5 do not answer: barrier on world, rank 0 waited 1 s for ranks 2-3, 5");
}

TEST(StuckRanks, ARingThatWaitsForItselfIsShown) {
  const HeardWaits heard = {{2, {{"recv on pipeline, rank 2", {0}, 599}}}};
  EXPECT_TRUE(unheard(0, kRecv, heard).empty());
  EXPECT_EQ(stuck_text(0, kRecv, heard),
            "ranks 0, 2 wait for each other: recv on pipeline, rank 0 waited 600 s for rank 2; "
            "recv on pipeline, rank 2 waited 599 s for rank 0");
}

}  // namespace
}  // namespace tera::comm
