// The contract on threads of one process, and how their failures read.
#include "core/comm/communicator.h"

#include <string>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/comm/contract.h"
#include "tests/core/comm/rank_tensors.h"
#include "tests/support/spawn_ranks.h"

namespace tera::comm {
namespace {

using tera::test::spawn_ranks;
using tera::test::spawn_ranks_catching;
using test::RankTensors;

std::string message_of(const std::exception_ptr& error) {
  if (!error) return "nothing was thrown";
  try {
    std::rethrow_exception(error);
  } catch (const CommunicationError& e) {
    return std::string("CommunicationError: ") + e.what();
  } catch (const std::exception& e) {
    return e.what();
  }
}

using ThreadContractCase = std::tuple<int, test::ContractCase>;
class ThreadContract : public testing::TestWithParam<ThreadContractCase> {};

TEST_P(ThreadContract, Holds) {
  const auto& [size, contract] = GetParam();
  spawn_ranks(size, contract.body);
}

std::string contract_name(const testing::TestParamInfo<ThreadContractCase>& info) {
  const auto& [size, contract] = info.param;
  return contract.name + std::string("On") + std::to_string(size);
}
INSTANTIATE_TEST_SUITE_P(Ranks,
                         ThreadContract,
                         testing::Combine(testing::Values(1, 2, 3, 4, 8),
                                          testing::ValuesIn(test::contract_cases().begin(),
                                                            test::contract_cases().end())),
                         contract_name);

TEST(ThreadCommunicators, ATimeoutNamesTheMissingRanks) {
  const auto errors = spawn_ranks_catching(4, 0.2, [](Communicator& world) {
    if (world.rank() == 1 || world.rank() == 3) return;  // they never come
    world.barrier();
  });
  EXPECT_FALSE(errors[1]);
  const std::string first = message_of(errors[0]) + message_of(errors[2]);
  EXPECT_THAT(first, testing::HasSubstr("waited 0.2 s for ranks 1, 3"));
  EXPECT_THAT(message_of(errors[0]), testing::StartsWith("CommunicationError: barrier on world"));
  EXPECT_THAT(message_of(errors[2]), testing::StartsWith("CommunicationError: barrier on world"));
}

TEST(ThreadCommunicators, AReceiveWithoutSenderTimesOut) {
  const auto errors = spawn_ranks_catching(2, 0.1, [](Communicator& world) {
    if (world.rank() == 1) return;
    RankTensors rank;
    Tensor x = rank.floats({0});
    world.recv(x, 1);
  });
  EXPECT_THAT(message_of(errors[0]),
              testing::HasSubstr("recv on world, rank 0 waited 0.1 s for rank 1"));
}

TEST(ThreadCommunicators, AnAbortWakesEverybodyInEveryGroup) {
  const auto errors = spawn_ranks_catching(4, 600, [](Communicator& world) {
    const auto half = world.split(world.rank() / 2, world.rank(), "tensor");
    if (world.rank() == 3) {
      world.abort("rank 3 ran out of disk");
      return;
    }
    RankTensors rank;
    Tensor x = rank.floats({1});
    if (world.rank() == 0) half->recv(x, 1);
    if (world.rank() == 1) world.barrier();
    if (world.rank() == 2) half->all_reduce(x, Reduce::sum);
  });
  for (const int r : {0, 1, 2})
    EXPECT_THAT(message_of(errors[static_cast<std::size_t>(r)]),
                testing::HasSubstr("aborted: rank 3 ran out of disk"));
}

TEST(ThreadCommunicators, DifferentCallsAreNamedOnEveryRank) {
  const auto different_ops = spawn_ranks_catching(3, 5, [](Communicator& world) {
    RankTensors rank;
    Tensor x = rank.floats({1, 2});
    if (world.rank() == 2) return world.broadcast(x, 0);
    world.all_reduce(x, Reduce::sum);
  });
  for (const std::exception_ptr& error : different_ops) {
    EXPECT_THAT(message_of(error), testing::HasSubstr("rank 0 calls all_reduce"));
    EXPECT_THAT(message_of(error), testing::HasSubstr("rank 2 calls broadcast"));
  }
  const auto different_shapes = spawn_ranks_catching(2, 5, [](Communicator& world) {
    RankTensors rank;
    Tensor x = world.rank() == 0 ? rank.floats({1, 2}) : rank.floats({1, 2, 3});
    world.all_reduce(x, Reduce::sum);
  });
  for (const std::exception_ptr& error : different_shapes)
    EXPECT_THAT(message_of(error), testing::HasSubstr("of f32 [2], rank 1 calls"));
  const auto different_rows = spawn_ranks_catching(2, 5, [](Communicator& world) {
    RankTensors rank;
    const Tensor x = rank.floats({1, 2});
    Tensor y = rank.floats({1, 2});
    const std::vector<std::int64_t> ones = {1, 1};
    const std::vector<std::int64_t> both = {2, 0};
    world.all_to_all(x, ones, y, world.rank() == 0 ? both : ones);
  });
  for (const std::exception_ptr& error : different_rows)
    EXPECT_THAT(message_of(error),
                testing::HasSubstr("rank 0 sends 1 rows to rank 0, which expects 2"));
}

TEST(ThreadCommunicators, ATimeoutOfAnAxisNamesItsRanksOfTheWorld) {
  const auto errors = spawn_ranks_catching(4, 0.2, [](Communicator& world) {
    const auto odd = world.split(world.rank() % 2, world.rank(), "tensor");
    RankTensors rank;
    Tensor x = rank.floats({1, 2});
    if (world.rank() == 3) return;
    if (world.rank() == 1) odd->start(Operation::all_reduce(x, Reduce::sum)).wait();
  });
  EXPECT_EQ(message_of(errors[1]),
            "CommunicationError: all_reduce on tensor, rank 1 waited 0.2 s for rank 3");
}

TEST(ThreadCommunicators, AMessageOfAnotherShapeIsRefused) {
  const auto errors = spawn_ranks_catching(2, 5, [](Communicator& world) {
    RankTensors rank;
    Tensor x = rank.floats({1, 2});
    if (world.rank() == 0) return world.send(rank.floats({1, 2, 3}), 1);
    world.recv(x, 0);
  });
  EXPECT_EQ(message_of(errors[1]),
            "CommunicationError: recv on world: rank 0 sent f32 [3], rank 1 expects f32 [2]");
}

TEST(SelfCommunicator, KeepsItsMessagesAndWaitsForNone) {
  const auto self = make_self_communicator();
  EXPECT_EQ(self->size(), 1);
  RankTensors rank;
  self->send(rank.floats({1, 2, 3}), 0);
  Tensor x = rank.floats({0, 0, 0});
  self->recv(x, 0);
  test::expect_elements<float>(x, [](std::int64_t i) { return i + 1; });
  EXPECT_THROW(self->recv(x, 0), CommunicationError);
  EXPECT_THROW(self->barrier(), CommunicationError);  // that was the end of it
}

TEST(SelfCommunicator, AnAbortEndsItsSplitsToo) {
  const auto self = make_self_communicator();
  const auto data = self->split(3, 4, "data");
  self->abort("enough");
  EXPECT_THROW(data->barrier(), CommunicationError);
}

TEST(RankList, NamesRangesInOrder) {
  EXPECT_EQ(rank_list({4}), "rank 4");
  EXPECT_EQ(rank_list({7, 2, 1, 0, 5}), "ranks 0-2, 5, 7");
}

}  // namespace
}  // namespace tera::comm
