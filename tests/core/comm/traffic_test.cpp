// What is counted of operations on an axis, against the planner's formulas by hand.
#include "core/comm/traffic.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/comm/rank_tensors.h"
#include "tests/support/spawn_ranks.h"

namespace tera::comm {
namespace {

using test::RankTensors;

TEST(Traffic, CountsWhatRingsSendByAxisAndOperation) {
  tera::test::spawn_ranks(4, [](Communicator& world) {
    RankTensors rank;
    const auto data = world.split(0, world.rank(), "data");
    const auto tensor = world.split(world.rank() / 2, world.rank(), "tensor");
    Tensor whole = rank.empty<float>({8, 25});  // 800 B
    Tensor shard = rank.empty<float>({2, 25});
    data->all_reduce(whole, Reduce::sum);
    data->start(Operation::all_reduce(whole, Reduce::sum)).wait();
    data->reduce_scatter(whole, shard, Reduce::sum);
    data->all_gather(shard, whole);
    data->broadcast(whole, 3);
    data->barrier();
    // Rows of 100 B: one stays, rank + 1 go to each other rank; as many come from it.
    std::vector<std::int64_t> send(4, world.rank() + 1);
    std::vector<std::int64_t> recv = {1, 2, 3, 4};
    const Tensor x = rank.empty<float>({4 * (world.rank() + 1), 25});
    Tensor y = rank.empty<float>({10, 25});
    data->all_to_all(x, send, y, recv);
    if (tensor->rank() == 0) tensor->send(shard, 1);
    if (tensor->rank() == 1) tensor->recv(shard, 0);

    const double to_others = 300.0 * (world.rank() + 1);
    const double sent = tensor->rank() == 0 ? 200 : 0;
    EXPECT_EQ(world.traffic().wire_bytes("data"), 2 * 2 * 600 + 3 * 600 + to_others);
    EXPECT_EQ(data->traffic().wire_bytes("tensor"), sent);
    EXPECT_EQ(data->traffic().wire_bytes("world"), 0);
    EXPECT_EQ(data->traffic().wire_bytes(), 2 * 2 * 600 + 3 * 600 + to_others + sent);
    const std::vector<TrafficCount> counts = data->traffic().counts();
    ASSERT_EQ(counts.size(), 8U);
    EXPECT_EQ(counts[0].axis, "data");
    EXPECT_EQ(counts[0].kind, OperationKind::all_reduce);
    EXPECT_EQ(counts[0].ranks, 4);
    EXPECT_EQ(counts[0].calls, 2);
    EXPECT_EQ(counts[0].bytes, 1600);
    EXPECT_EQ(counts.back().axis, "world");
    EXPECT_EQ(counts.back().kind, OperationKind::split);
    EXPECT_EQ(counts.back().calls, 2);
  });
}

TEST(Traffic, AGroupOfOneSendsNothing) {
  const auto self = make_self_communicator();
  RankTensors rank;
  Tensor x = rank.empty<float>({8});
  self->all_reduce(x, Reduce::sum);
  self->all_gather(x, x);
  self->send(x, 0);
  EXPECT_EQ(self->traffic().wire_bytes(), 0);
  EXPECT_EQ(self->traffic().counts().size(), 3U);
}

TEST(Traffic, WhatIsRefusedDoesNotCount) {
  const auto self = make_self_communicator();
  RankTensors rank;
  Tensor x = rank.empty<std::int32_t>({8});
  EXPECT_THROW(self->all_reduce(x, Reduce::sum), ContractError);
  EXPECT_TRUE(self->traffic().counts().empty());
  EXPECT_TRUE(self->flight_recorder().records().empty());
}

}  // namespace
}  // namespace tera::comm
