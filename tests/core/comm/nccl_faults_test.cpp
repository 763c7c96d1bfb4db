// What ranks that NCCL connects say when something goes wrong, and that all of them end.
#include <stdexcept>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/comm/nccl.h"
#include "core/comm/peer_aborted.h"
#include "core/comm/tcp_store.h"
#include "tests/core/comm/fake_nccl.h"
#include "tests/core/comm/rank_tensors.h"
#include "tests/support/no_more_descriptors.h"

namespace tera::comm {
namespace {

using tera::test::RankErrors;
using test::FakeNccl;
using test::RankTensors;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

// Long enough for the ranks of a busy machine to find each other.
constexpr double kTimeoutS = 3;
const std::string kWaited = "waited [0-9.]+ s for ";

std::string message_of(const std::exception_ptr& error) {
  if (!error) return "nothing was thrown";
  try {
    std::rethrow_exception(error);
  } catch (const PeerAborted& e) {
    return std::string("PeerAborted: ") + e.what();
  } catch (const CommunicationError& e) {
    return std::string("CommunicationError: ") + e.what();
  } catch (const std::exception& e) {
    return e.what();
  }
}

// Each rank's message.
std::vector<std::string> messages(FakeNccl& fake,
                                  int size,
                                  double timeout_s,
                                  const std::function<void(Communicator&)>& body) {
  const RankErrors errors =
      tera::test::spawn_ranks_catching(test::make_fake_worlds(fake, size, timeout_s), body);
  std::vector<std::string> texts;
  for (const std::exception_ptr& error : errors)
    texts.push_back(message_of(error));
  return texts;
}

TEST(NcclFaults, ATimeoutNamesTheAxisTheOperationAndTheRanksThatAreMissing) {
  FakeNccl fake;
  const auto said = messages(fake, 4, kTimeoutS, [](Communicator& world) {
    const auto axis = world.split(world.rank() % 2, world.rank(), "tensor");
    RankTensors rank;
    Tensor x = rank.floats({1, 2});
    if (world.rank() == 1) axis->start(Operation::all_reduce(x, Reduce::sum)).wait();
  });
  EXPECT_THAT(said[1], ContainsRegex("CommunicationError: rank 3 does not answer: all_reduce on "
                                     "tensor, rank 1 " +
                                     kWaited + "rank 3$"));
}

// Rank 0 waits for rank 2, which waits for rank 3, which is busy elsewhere.
TEST(NcclFaults, WhoKeepsOthersWaitingIsFollowedToTheEnd) {
  FakeNccl fake;
  const auto said = messages(fake, 4, kTimeoutS, [](Communicator& world) {
    const auto data = world.split(world.rank() / 2, world.rank(), "data");
    RankTensors rank;
    Tensor x = rank.floats({1, 2});
    if (world.rank() == 0) world.recv(x, 2);
    if (world.rank() == 2) data->all_reduce(x, Reduce::sum);
  });
  const std::string all = said[0] + "\n" + said[2];
  EXPECT_THAT(all, ContainsRegex("rank 3 does not answer: all_reduce on data, rank 2 waited "));
  EXPECT_THAT(all, Not(HasSubstr("rank 2 does not answer")));
  EXPECT_THAT(all, HasSubstr("CommunicationError: rank 3"));  // of the first of the two
}

TEST(NcclFaults, ARingThatWaitsForItselfIsShown) {
  FakeNccl fake;
  const auto said = messages(fake, 2, kTimeoutS, [](Communicator& world) {
    RankTensors rank;
    Tensor x = rank.floats({1, 2});
    world.recv(x, 1 - world.rank());
  });
  for (const std::string& each : said)
    EXPECT_THAT(each, HasSubstr("ranks 0-1 wait for each other: recv on world, rank "));
}

TEST(NcclFaults, AnAbortReachesEveryAxisWithItsReason) {
  FakeNccl fake;
  const double start_s = monotonic_s();
  const auto said = messages(fake, 4, 600, [](Communicator& world) {
    const auto axis = world.split(world.rank() % 2, world.rank(), "data");
    world.barrier();  // all have their axis
    RankTensors rank;
    Tensor x = rank.floats({1, 2});
    if (world.rank() == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the others wait by now
      world.abort("rank 0 ran out of disk");
      world.barrier();
    }
    if (world.rank() == 1) axis->recv(x, 1);
    if (world.rank() == 2) world.barrier();
    if (world.rank() == 3) axis->all_reduce(x, Reduce::sum);
  });
  EXPECT_EQ(said[0], "PeerAborted: barrier on world, rank 0: aborted: rank 0 ran out of disk");
  EXPECT_EQ(said[1], "PeerAborted: recv on data, rank 1: aborted: rank 0 ran out of disk");
  EXPECT_EQ(said[2], "PeerAborted: barrier on world, rank 2: aborted: rank 0 ran out of disk");
  EXPECT_EQ(said[3], "PeerAborted: all_reduce on data, rank 3: aborted: rank 0 ran out of disk");
  EXPECT_LT(monotonic_s() - start_s, 20);
}

TEST(NcclFaults, AFailureOfNcclIsTheReasonOnEveryRank) {
  for (const bool aborts_are_seen : {false, true}) {
    FakeNccl fake;
    fake.aborts_are_seen = aborts_are_seen;
    const auto said = messages(fake, 3, 600, [&](Communicator& world) {
      RankTensors rank;
      Tensor x = rank.floats({1, 2});
      world.barrier();
      if (world.rank() == 1) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        fake.break_calls(1, "NCCL, ncclAllGather: unhandled cuda error");
      }
      world.all_reduce(x, Reduce::sum);
    });
    EXPECT_EQ(said[1],
              "CommunicationError: all_reduce on world, rank 1: NCCL, ncclAllGather: unhandled "
              "cuda error");
    for (const std::size_t r : {0U, 2U})
      EXPECT_THAT(said[r], HasSubstr("aborted: all_reduce on world, rank 1: NCCL, ncclAllGather"));
  }
}

TEST(NcclFaults, DifferentCallsAreNamedOnEveryRank) {
  FakeNccl fake;
  for (const std::string& said : messages(fake, 3, 5, [](Communicator& world) {
         RankTensors rank;
         Tensor x = rank.floats({1, 2});
         if (world.rank() == 2) return world.broadcast(x, 0);
         world.all_reduce(x, Reduce::sum);
       }))
    EXPECT_THAT(said, HasSubstr("CommunicationError: world of ranks 0-2: rank 0 calls all_reduce "
                                "(sum) of f32 [2], rank 2 calls broadcast"));
  for (const std::string& said : messages(fake, 2, 5, [](Communicator& world) {
         RankTensors rank;
         const Tensor x = rank.floats({1, 2});
         Tensor y = rank.floats({1, 2});
         const std::vector<std::int64_t> ones = {1, 1};
         const std::vector<std::int64_t> both = {2, 0};
         world.all_to_all(x, ones, y, world.rank() == 0 ? both : ones);
       }))
    EXPECT_THAT(
        said,
        ContainsRegex("all_to_all on world: rank [01] sends 1 rows to rank 0, which expects [02]"));
  const auto mail = messages(fake, 2, 5, [](Communicator& world) {
    RankTensors rank;
    Tensor x = rank.floats({1, 2});
    if (world.rank() == 0) return world.send(rank.floats({1, 2, 3}), 1);
    world.recv(x, 0);
  });
  EXPECT_EQ(mail[1],
            "CommunicationError: recv on world: rank 0 sent f32 [3], rank 1 expects f32 [2]");
}

TEST(NcclFaults, AMessageThatNobodyWantsEndsTheJobAfterTheTimeout) {
  FakeNccl fake;
  const double start_s = monotonic_s();
  const auto said = messages(fake, 2, kTimeoutS, [](Communicator& world) {
    RankTensors rank;
    if (world.rank() == 0) world.send(rank.floats({1, 2}), 1);
  });
  EXPECT_EQ(said[0], "nothing was thrown");  // a send never waits
  EXPECT_GE(monotonic_s() - start_s, kTimeoutS);
  EXPECT_LT(monotonic_s() - start_s, 20);
}

// Makes the ranks of `present` only; what each said.
std::vector<std::string> bootstrap(FakeNccl& fake, const std::vector<int>& present, int size) {
  const auto store = std::make_shared<MemoryStore>();
  std::vector<std::string> said(present.size());
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < present.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto made =
          make_nccl_communicator(fake.device(present[i]), test::shared_store(store),
                                 {.rank = present[i], .size = size, .timeout_s = kTimeoutS});
      said[i] = made ? "made" : made.error().message;
    });
  }
  threads.clear();
  return said;
}

TcpStoreAddress free_address() {
  Result<ServedStore> served = serve_tcp_store({.hosts = {"127.0.0.1"}});
  if (!served) throw std::runtime_error(served.error().message);
  return served->address;
}

TEST(NcclBootstrap, ARankThatIsMissingIsNamed) {
  FakeNccl fake;
  const auto said = bootstrap(fake, {0, 1, 3}, 4);
  for (const std::string& each : said)
    EXPECT_THAT(each, HasSubstr("rank 2 does not answer: barrier on world, rank "));
  const auto alone = bootstrap(fake, {1, 2}, 3);  // rank 0, whom all wait for
  for (const std::string& each : alone)
    EXPECT_THAT(each, HasSubstr("rank 0 does not answer: barrier on world, rank "));
}

TEST(NcclBootstrap, ARankWithoutAGpuOfItsOwnIsNamed) {
  FakeNccl fake;
  fake.break_joins(1, "NCCL, ncclCommInitRankConfig: Duplicate GPU detected");
  const auto said = bootstrap(fake, {0, 1}, 2);
  EXPECT_THAT(said[0], HasSubstr("barrier on world, rank 1: NCCL, ncclCommInitRankConfig: "
                                 "Duplicate GPU detected"));
  EXPECT_EQ(said[1],
            "barrier on world, rank 1: NCCL, ncclCommInitRankConfig: Duplicate GPU detected");
}

// The others hear of it, whether they are there before or come a little later.
TEST(NcclBootstrap, ARankThatCannotJoinTellsTheOthers) {
  for (const int declining : {0, 1}) {
    const TcpStoreAddress address = free_address();
    FakeNccl fake;
    const double start_s = monotonic_s();
    std::vector<std::string> said(3);
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < 3; ++rank) {
      threads.emplace_back([&, rank] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100 * rank));
        auto store = open_store("tcp://" + address.text(), rank, 60);
        ASSERT_TRUE(store) << store.error().message;
        const NcclJob job = {.rank = rank, .size = 3, .timeout_s = 60};
        if (rank == declining) return decline_nccl_job(std::move(*store), job, "no GPU here");
        const auto made = make_nccl_communicator(fake.device(rank), std::move(*store), job);
        said[static_cast<std::size_t>(rank)] = made ? "made" : made.error().message;
      });
    }
    threads.clear();
    for (const int rank : {1 - declining, 2}) {
      EXPECT_EQ(said[static_cast<std::size_t>(rank)],
                "barrier on world, rank " + std::to_string(rank) + ": aborted: no GPU here");
    }
    EXPECT_LT(monotonic_s() - start_s, 20);
  }
}

TEST(NcclBootstrap, ARank0WithoutAStoreIsTheReasonOfAll) {
  FakeNccl fake;
  std::vector<std::string> said(2);
  {
    const tera::test::NoMoreDescriptors none;
    tera::test::spawn_ranks(2, [&](Communicator& common) {
      const auto made = make_nccl_communicator(fake.device(common.rank()), common, 60);
      said[static_cast<std::size_t>(common.rank())] = made ? "made" : made.error().message;
    });
  }
  EXPECT_EQ(said[0], "rank 0: cannot listen at :0: Too many open files");
  EXPECT_EQ(said[1], "rank 0 could not open its store");
}

TEST(NcclBootstrap, AStoreOfAnotherJobIsRefused) {
  FakeNccl fake;
  const auto store = std::make_shared<MemoryStore>();
  store->set("id.world", "left behind");
  const auto made = make_nccl_communicator(fake.device(0), test::shared_store(store),
                                           {.rank = 0, .size = 1, .timeout_s = kTimeoutS});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("id.world was set before: a store serves one job"));
}

}  // namespace
}  // namespace tera::comm
