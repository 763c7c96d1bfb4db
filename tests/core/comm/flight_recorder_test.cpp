// The last operations of a rank, and how a stuck one reads.
#include "core/comm/flight_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/comm/rank_tensors.h"
#include "tests/support/spawn_ranks.h"

namespace tera::comm {
namespace {

using test::RankTensors;

TEST(FlightRecorder, KeepsTheLastOnes) {
  FlightRecorder recorder(3);
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 5; ++i)
    ids.push_back(recorder.asked({.axis = "data", .number = i}));
  recorder.done(ids[0]);  // forgotten: nothing else changes
  recorder.done(ids[3]);
  recorder.running(ids[4]);
  const auto records = recorder.records();
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].number, 2);
  EXPECT_EQ(records[0].state, FlightRecord::State::waiting);
  EXPECT_EQ(records[1].state, FlightRecord::State::done);
  EXPECT_GE(records[1].end_s, records[1].begin_s);
  EXPECT_EQ(records[2].state, FlightRecord::State::running);
}

TEST(FlightRecorder, TellsWhatIsStuckFirst) {
  std::string stuck;
  std::string ahead;
  tera::test::spawn_ranks_catching(2, 0.2, [&](Communicator& world) {
    const auto data = world.split(0, world.rank(), "data");
    const auto tensor = world.split(0, world.rank(), "tensor");
    RankTensors rank;
    Tensor x = rank.empty<float>({256});
    data->all_reduce(x, Reduce::sum);
    tensor->barrier();
    if (world.rank() == 1) {
      ahead = world.flight_recorder().text();
      return;
    }
    Work first = data->start(Operation::all_reduce(x, Reduce::sum));
    Work second = data->start(Operation::broadcast(x, 0));
    EXPECT_THROW(first.wait(), CommunicationError);
    EXPECT_THROW(second.wait(), CommunicationError);
    stuck = world.flight_recorder().text(4);
  });
  EXPECT_THAT(stuck, testing::MatchesRegex("broadcast 2 on data, 1.00 KiB: failed after .*\n"
                                           "all_reduce 1 on data, 1.00 KiB: failed after .*\n"
                                           "barrier 0 on tensor, 0 B: done after .*\n"
                                           "all_reduce 0 on data, 1.00 KiB: done after .*\n"));
  EXPECT_THAT(ahead, testing::HasSubstr("split 1 on world, 0 B: done"));
}

TEST(FlightRecorder, TellsWhatRunsAndWaits) {
  FlightRecorder recorder;
  recorder.running(recorder.asked({.axis = "expert", .kind = OperationKind::all_to_all}));
  recorder.asked({.axis = "expert", .kind = OperationKind::recv, .number = 4});
  EXPECT_THAT(recorder.text(),
              testing::MatchesRegex("recv 4 on expert, 0 B: waits since .*\n"
                                    "all_to_all 0 on expert, 0 B: runs since .*\n"));
}

}  // namespace
}  // namespace tera::comm
