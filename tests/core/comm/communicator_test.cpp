// Collectives of both communicators against their definition. Every test runs with 1 rank too.
#include "core/comm/communicator.h"

#include <chrono>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "core/tensor/cpu_backend.h"
#include "tests/support/spawn_ranks.h"

namespace tera::comm {
namespace {

using tera::test::spawn_ranks;
using tera::test::spawn_ranks_catching;

// What a rank needs to make tensors.
struct Rank {
  ThreadPool pool{1};
  std::unique_ptr<Backend> backend = make_cpu_backend(pool, CpuOps::reference);

  template <class T>
  Tensor tensor(std::initializer_list<std::int64_t> shape,
                DType dtype,
                const std::vector<T>& values) {
    Tensor t = Tensor::empty(*backend, shape, dtype, MemoryKind::workspace);
    EXPECT_EQ(t.num_elements(), std::ssize(values));
    std::copy(values.begin(), values.end(), t.data<T>());
    return t;
  }
  Tensor floats(const std::vector<float>& values) {
    return tensor<float>({std::ssize(values)}, DType::f32, values);
  }
};

template <class T>
std::vector<T> values_of(const Tensor& t) {
  return {t.data<T>(), t.data<T>() + t.num_elements()};
}

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

class Collectives : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, Collectives, testing::Values(1, 2, 3, 5));

TEST_P(Collectives, AllReduceAddsInRankOrder) {
  spawn_ranks(GetParam(), [](Communicator& world) {
    Rank rank;
    // 1e8 + 1 is 1e8 in f32: the sum tells in which order it was made.
    std::vector<float> mine(7, world.rank() == 0 ? 1e8F : 1.0F);
    Tensor x = rank.floats(mine);
    world.all_reduce(x, Reduce::sum);
    float expected = 1e8F;
    for (int r = 1; r < world.size(); ++r)
      expected += 1.0F;
    EXPECT_EQ(values_of<float>(x), std::vector<float>(7, expected));

    Tensor counts = rank.tensor<std::int64_t>({2}, DType::i64, {world.rank(), -world.rank()});
    world.all_reduce(counts, Reduce::max);
    EXPECT_EQ(values_of<std::int64_t>(counts), (std::vector<std::int64_t>{world.size() - 1, 0}));
    Tensor doubles = rank.tensor<double>({1}, DType::f64, {1.0 + world.rank()});
    world.all_reduce(doubles, Reduce::min);
    EXPECT_EQ(doubles.data<double>()[0], 1.0);
    Tensor nothing = rank.floats({});
    world.all_reduce(nothing, Reduce::sum);
  });
}

TEST_P(Collectives, ReduceScatterAndAllGatherAreTheHalvesOfAllReduce) {
  spawn_ranks(GetParam(), [](Communicator& world) {
    Rank rank;
    const int n = world.size();
    std::vector<float> mine;
    for (int i = 0; i < 3 * n * 2; ++i)
      mine.push_back(static_cast<float>(i * (world.rank() + 1)));
    const Tensor x = rank.tensor<float>({3 * n, 2}, DType::f32, mine);
    Tensor shard = Tensor::empty(*rank.backend, {3, 2}, DType::f32, MemoryKind::workspace);
    world.reduce_scatter(x, shard, Reduce::sum);
    const int ranks_sum = n * (n + 1) / 2;
    for (int i = 0; i < 6; ++i)
      EXPECT_EQ(shard.data<float>()[i], static_cast<float>((6 * world.rank() + i) * ranks_sum));

    Tensor whole = Tensor::empty(*rank.backend, {3 * n, 2}, DType::f32, MemoryKind::workspace);
    world.all_gather(shard, whole);
    Tensor reduced = rank.tensor<float>({3 * n, 2}, DType::f32, mine);
    world.all_reduce(reduced, Reduce::sum);
    EXPECT_EQ(values_of<float>(whole), values_of<float>(reduced));
  });
}

TEST_P(Collectives, AllToAllMovesRowsInRankOrder) {
  spawn_ranks(GetParam(), [](Communicator& world) {
    Rank rank;
    // Rank s sends s + r rows to rank r; each row holds (sender, receiver, number).
    std::vector<std::int64_t> send;
    std::vector<std::int64_t> recv;
    std::vector<std::int32_t> rows;
    for (int r = 0; r < world.size(); ++r) {
      send.push_back(world.rank() + r);
      recv.push_back(world.rank() + r);
      for (int i = 0; i < world.rank() + r; ++i)
        rows.insert(rows.end(), {world.rank(), r, i});
    }
    const std::int64_t count = std::ssize(rows) / 3;
    const Tensor x = rank.tensor<std::int32_t>({count, 3}, DType::i32, rows);
    Tensor y = Tensor::empty(*rank.backend, {count, 3}, DType::i32, MemoryKind::workspace);
    world.all_to_all(x, send, y, recv);
    std::vector<std::int32_t> expected;
    for (int r = 0; r < world.size(); ++r) {
      for (int i = 0; i < world.rank() + r; ++i)
        expected.insert(expected.end(), {r, world.rank(), i});
    }
    EXPECT_EQ(values_of<std::int32_t>(y), expected);
  });
}

TEST_P(Collectives, BroadcastFromEveryRoot) {
  spawn_ranks(GetParam(), [](Communicator& world) {
    Rank rank;
    for (int root = 0; root < world.size(); ++root) {
      Tensor x = rank.floats({static_cast<float>(world.rank()), 7.0F});
      world.broadcast(x, root);
      EXPECT_EQ(values_of<float>(x), (std::vector<float>{static_cast<float>(root), 7.0F}));
    }
  });
}

TEST_P(Collectives, MessagesArriveInOrderAndFromTheRightRank) {
  spawn_ranks(GetParam(), [](Communicator& world) {
    Rank rank;
    for (int i = 0; i < 3; ++i) {
      for (int to = 0; to < world.size(); ++to)
        world.send(rank.floats({static_cast<float>(10 * world.rank() + i)}), to);
    }
    for (int from = world.size() - 1; from >= 0; --from) {
      for (int i = 0; i < 3; ++i) {
        Tensor x = rank.floats({-1.0F});
        world.recv(x, from);
        EXPECT_EQ(x.data<float>()[0], static_cast<float>(10 * from + i));
      }
    }
    world.barrier();
  });
}

TEST_P(Collectives, SplitGroupsByColorOrderedByKey) {
  spawn_ranks(GetParam(), [](Communicator& world) {
    Rank rank;
    // Even and odd ranks, in reverse order.
    const auto group = world.split(world.rank() % 2, -world.rank());
    const int parity = world.rank() % 2;
    const int members = (world.size() - parity + 1) / 2;
    EXPECT_EQ(group->size(), members);
    EXPECT_EQ(group->rank(), members - 1 - world.rank() / 2);
    Tensor x = rank.floats({static_cast<float>(world.rank())});
    group->all_reduce(x, Reduce::sum);
    float expected = 0;
    for (int r = parity; r < world.size(); r += 2)
      expected += static_cast<float>(r);
    EXPECT_EQ(x.data<float>()[0], expected);
    const auto again = world.split(0, world.rank());
    EXPECT_EQ(again->size(), world.size());
    EXPECT_EQ(again->rank(), world.rank());
  });
}

TEST_P(Collectives, SplitsInARowDoNotMixTheirGroups) {
  spawn_ranks(GetParam(), [](Communicator& world) {
    for (int i = 0; i < 60; ++i) {
      // Ranks linger in turn, so that the first to leave a split meets the last of the one before.
      if (i % world.size() == world.rank())
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      const auto group = world.split(i % 2 == 0 ? 0 : world.rank(), world.rank());
      ASSERT_EQ(group->size(), i % 2 == 0 ? world.size() : 1) << i;
    }
  });
}

TEST_P(Collectives, ManyInARowStayInStep) {
  spawn_ranks(GetParam(), [](Communicator& world) {
    Rank rank;
    for (int i = 0; i < 200; ++i) {
      Tensor x = rank.floats({static_cast<float>(i + world.rank())});
      world.all_reduce(x, Reduce::max);
      ASSERT_EQ(x.data<float>()[0], static_cast<float>(i + world.size() - 1));
    }
  });
}

TEST_P(Collectives, RefuseTensorsTheyCannotServe) {
  spawn_ranks(GetParam(), [](Communicator& world) {
    Rank rank;
    Tensor ids = rank.tensor<std::int32_t>({1}, DType::i32, {1});
    EXPECT_THROW(world.all_reduce(ids, Reduce::sum), ContractError);
    const Tensor shard = rank.floats({1, 2});
    Tensor whole =
        Tensor::empty(*rank.backend, {2 * world.size() + 1}, DType::f32, MemoryKind::workspace);
    EXPECT_THROW(world.all_gather(shard, whole), ContractError);
    Tensor square = Tensor::zeros(*rank.backend, {2, 2}, DType::f32, MemoryKind::workspace);
    Tensor gaps = square.slice(1, 0, 1);
    EXPECT_THROW(world.broadcast(gaps, 0), ContractError);
    EXPECT_THROW(world.send(shard, world.size()), ContractError);
    EXPECT_THROW(world.recv(whole, -1), ContractError);
  });
}

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
    Rank rank;
    Tensor x = rank.floats({0});
    world.recv(x, 1);
  });
  EXPECT_THAT(message_of(errors[0]),
              testing::HasSubstr("recv on world: rank 0 waited 0.1 s for rank 1"));
}

TEST(ThreadCommunicators, AnAbortWakesEverybodyInEveryGroup) {
  const auto errors = spawn_ranks_catching(4, 600, [](Communicator& world) {
    const auto half = world.split(world.rank() / 2, world.rank());
    if (world.rank() == 3) {
      world.abort("rank 3 ran out of disk");
      return;
    }
    Rank rank;
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
    Rank rank;
    Tensor x = rank.floats({1, 2});
    if (world.rank() == 2) return world.broadcast(x, 0);
    world.all_reduce(x, Reduce::sum);
  });
  for (const std::exception_ptr& error : different_ops) {
    EXPECT_THAT(message_of(error), testing::HasSubstr("rank 0 calls all_reduce"));
    EXPECT_THAT(message_of(error), testing::HasSubstr("rank 2 calls broadcast"));
  }
  const auto different_shapes = spawn_ranks_catching(2, 5, [](Communicator& world) {
    Rank rank;
    Tensor x = world.rank() == 0 ? rank.floats({1, 2}) : rank.floats({1, 2, 3});
    world.all_reduce(x, Reduce::sum);
  });
  for (const std::exception_ptr& error : different_shapes)
    EXPECT_THAT(message_of(error), testing::HasSubstr("of f32 [2], rank 1 calls"));
  const auto different_rows = spawn_ranks_catching(2, 5, [](Communicator& world) {
    Rank rank;
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

TEST(SelfCommunicator, CopiesAndKeepsItsMessages) {
  const auto self = make_self_communicator();
  Rank rank;
  EXPECT_EQ(self->size(), 1);
  const Tensor x = rank.floats({1, 2, 3});
  Tensor y = rank.floats({0, 0, 0});
  self->all_gather(x, y);
  EXPECT_EQ(values_of<float>(y), (std::vector<float>{1, 2, 3}));
  self->send(x, 0);
  Tensor z = rank.floats({0, 0, 0});
  self->split(3, 4)->reduce_scatter(x, z, Reduce::sum);
  EXPECT_EQ(values_of<float>(z), (std::vector<float>{1, 2, 3}));
  self->recv(z, 0);
  EXPECT_THROW(self->recv(z, 0), CommunicationError);
  self->abort("enough");
  EXPECT_THROW(self->barrier(), CommunicationError);
}

}  // namespace
}  // namespace tera::comm
