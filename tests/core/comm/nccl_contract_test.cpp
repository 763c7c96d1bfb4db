// The contract on ranks that a fake of NCCL connects, which adds in another order than the contract
// wants; on the library itself where this computer has a GPU.
#include <thread>
#include <tuple>

#include <gtest/gtest.h>

#include "core/comm/nccl.h"
#include "core/comm/nccl_collectives.h"
#include "core/comm/tcp_store.h"
#include "tests/core/comm/contract.h"
#include "tests/core/comm/fake_nccl.h"
#include "tests/core/comm/rank_tensors.h"
#include "tests/support/temp_dir.h"

namespace tera::comm {
namespace {

using test::FakeNccl;
using test::RankTensors;

using NcclContractCase = std::tuple<int, test::ContractCase>;
class NcclContract : public testing::TestWithParam<NcclContractCase> {};

TEST_P(NcclContract, Holds) {
  const auto& [size, contract] = GetParam();
  FakeNccl fake;
  tera::test::spawn_ranks(test::make_fake_worlds(fake, size, 60), contract.body);
}

std::string contract_name(const testing::TestParamInfo<NcclContractCase>& info) {
  const auto& [size, contract] = info.param;
  return contract.name + std::string("On") + std::to_string(size);
}
INSTANTIATE_TEST_SUITE_P(Ranks,
                         NcclContract,
                         testing::Combine(testing::Values(1, 2, 3, 4, 8),
                                          testing::ValuesIn(test::contract_cases().begin(),
                                                            test::contract_cases().end())),
                         contract_name);

// Else the contract would not tell whose sums it saw.
TEST(FakeNccl, ItsOwnSumsOfThreeRanksAreNotInRankOrder) {
  FakeNccl fake;
  const NcclId id = fake.next_id();
  const std::vector<float> values = {1e8F, -1e8F, 1.0F};
  std::vector<std::unique_ptr<NcclComm>> comms;
  for (int r = 0; r < 3; ++r)
    comms.push_back(fake.device(r)->join(id, 3, r));
  std::vector<float*> x;
  for (std::size_t r = 0; r < 3; ++r) {
    x.push_back(reinterpret_cast<float*>(comms[r]->memory(3 * sizeof(float))));
    std::fill(x[r], x[r] + 3, values[r]);
    comms[r]->all_reduce(reinterpret_cast<std::byte*>(x[r]), 3, DType::f32, Reduce::sum);
  }
  EXPECT_EQ(x[0][2], 1.0F);  // rank 0, 1, 2
  EXPECT_EQ(x[0][0], 0.0F);  // rank 1, 2, 0: the one is lost
  EXPECT_EQ(x[2][0], 0.0F);
}

TEST(NcclCollectives, TheLibraryReducesWhereItsBitsAreThoseOfRankOrder) {
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16, DType::f16}) {
    EXPECT_TRUE(reduces_alike(dtype, Reduce::sum, 2));
    EXPECT_FALSE(reduces_alike(dtype, Reduce::sum, 3));
    EXPECT_FALSE(reduces_alike(dtype, Reduce::max, 2));  // NaN
    EXPECT_TRUE(reduces_alike(dtype, Reduce::max, 1));
  }
  EXPECT_TRUE(reduces_alike(DType::i64, Reduce::sum, 64));
  EXPECT_TRUE(reduces_alike(DType::i64, Reduce::min, 64));
}

TEST(NcclChannels, AreMadeForPairsThatTalk) {
  FakeNccl fake;
  const auto worlds = test::make_fake_worlds(fake, 3, 60);
  EXPECT_EQ(fake.num_cliques(), 1);
  tera::test::spawn_ranks(worlds, [](Communicator& world) {
    RankTensors rank;
    Tensor x = rank.floats({1.0F});
    for (int i = 0; i < 3; ++i) {
      if (world.rank() == 0) world.send(x, 2);
      if (world.rank() == 2) world.recv(x, 0);
    }
    world.send(x, world.rank());  // stays at home
    world.recv(x, world.rank());
  });
  EXPECT_EQ(fake.num_cliques(), 2);
  tera::test::spawn_ranks(worlds, [](Communicator& world) {
    RankTensors rank;
    Tensor x = rank.floats({1.0F});
    if (world.rank() == 2) world.send(x, 0);  // the way back is another
    if (world.rank() == 0) world.recv(x, 2);
  });
  EXPECT_EQ(fake.num_cliques(), 3);
}

// Who ends a communicator of NCCL waits until its peers do: in another order they would wait for
// each other.
TEST(NcclChannels, AreEndedInOneOrderByAllRanks) {
  FakeNccl fake;
  fake.farewell_s = 5;
  auto worlds = test::make_fake_worlds(fake, 4, 60);
  tera::test::spawn_ranks(worlds, [](Communicator& world) {
    RankTensors rank;
    Tensor x = rank.floats({1.0F});
    for (int r = world.size(); r-- > 0;)
      world.send(x, r);
    for (int r = 0; r < world.size(); ++r)
      world.recv(x, r);
  });
  EXPECT_EQ(fake.num_cliques(), 1 + 4 * 3);
  std::vector<std::jthread> threads;
  for (auto& world : worlds)
    threads.emplace_back([&world] { world.reset(); });
  threads.clear();
  EXPECT_EQ(fake.num_lone_ends(), 0);
}

// Splits of a split know each other by names of their own, and messages of one axis do not come out
// at another.
TEST(NcclChannels, AreOfOneAxis) {
  FakeNccl fake;
  tera::test::spawn_ranks(test::make_fake_worlds(fake, 2, 60), [](Communicator& world) {
    RankTensors rank;
    const auto a = world.split(0, world.rank(), "pipeline");
    const auto b = world.split(0, world.rank(), "context");
    Tensor x = rank.floats({0.0F});
    if (world.rank() == 0) {
      a->send(rank.floats({1.0F}), 1);
      b->send(rank.floats({2.0F}), 1);
      world.send(rank.floats({3.0F}), 1);
      return;
    }
    world.recv(x, 0);
    EXPECT_EQ(x.data<float>()[0], 3.0F);
    b->recv(x, 0);
    EXPECT_EQ(x.data<float>()[0], 2.0F);
    a->recv(x, 0);
    EXPECT_EQ(x.data<float>()[0], 1.0F);
  });
}

TEST(NcclBootstrap, GoesOverWhatRanksHaveInCommon) {
  FakeNccl fake;
  tera::test::spawn_ranks(3, [&](Communicator& common) {
    auto made = make_nccl_communicator(fake.device(common.rank()), common, 60);
    ASSERT_TRUE(made) << made.error().message;
    Communicator& world = **made;
    EXPECT_EQ(world.rank(), common.rank());
    EXPECT_EQ(world.size(), 3);
    for (const test::ContractCase& each : test::contract_cases()) {
      if (each.name == std::string("Messages") || each.name == std::string("NestedSplit"))
        each.body(world);
    }
  });
}

TEST(NcclBootstrap, GoesOverAStoreAlone) {
  const tera::test::TempDir dir;
  Result<ServedStore> free = serve_tcp_store({.hosts = {"127.0.0.1"}});
  ASSERT_TRUE(free);
  const std::string address = "tcp://" + free->address.text();
  free->store.reset();
  for (const std::string& where : {dir.path().string(), address}) {
    FakeNccl fake;
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < 3; ++rank) {
      threads.emplace_back([&, rank] {
        auto store = open_store(where, rank, 60);
        ASSERT_TRUE(store) << store.error().message;
        auto made = make_nccl_communicator(fake.device(rank), std::move(*store),
                                           {.rank = rank, .size = 3, .timeout_s = 60});
        ASSERT_TRUE(made) << made.error().message;
        for (const test::ContractCase& each : test::contract_cases()) {
          if (each.name == std::string("Messages") || each.name == std::string("NestedSplit"))
            each.body(**made);
        }
      });
    }
  }
}

TEST(NcclLibrary, HoldsTheContractOnOneRankWhereThereIsAGpu) {
  Result<std::unique_ptr<NcclDevice>> device = make_nccl_device(0);
  if (!device) {
    EXPECT_FALSE(device.error().hint.empty());
    GTEST_SKIP() << device.error().message;
  }
  const auto world =
      make_nccl_communicator(std::move(*device), std::make_unique<MemoryStore>(), {});
  ASSERT_TRUE(world) << world.error().message;
  for (const test::ContractCase& each : test::contract_cases()) {
    SCOPED_TRACE(each.name);
    each.body(**world);
  }
}

TEST(NcclLibrary, AGpuThatIsNotThereIsNamed) {
  const Result<std::unique_ptr<NcclDevice>> device = make_nccl_device(4096);
  ASSERT_FALSE(device);
  EXPECT_EQ(has_nccl(), !nccl_library().empty());
  EXPECT_NE(device.error().message.find("NCCL"), std::string::npos);
}

}  // namespace
}  // namespace tera::comm
