#include "tests/core/comm/contract.h"

#include <array>
#include <chrono>
#include <cmath>
#include <thread>

#include "core/base/error.h"
#include "tests/core/comm/rank_tensors.h"

namespace tera::comm::test {
namespace {

// Small whole numbers, other ones on every rank: their sums are exact in every dtype.
double number(int rank, std::int64_t i) {
  return static_cast<double>((i * 7 + rank * 3) % 11 - 5);
}

double reduced(Reduce op, int size, std::int64_t i) {
  double value = number(0, i);
  for (int r = 1; r < size; ++r) {
    const double next = number(r, i);
    if (op == Reduce::sum) value += next;
    if (op == Reduce::max) value = std::max(value, next);
    if (op == Reduce::min) value = std::min(value, next);
  }
  return value;
}

constexpr std::array kReductions = {Reduce::sum, Reduce::max, Reduce::min};

template <class T>
void all_reduce_as(Communicator& world) {
  RankTensors rank;
  // None, fewer than ranks, odd, several blocks.
  for (const std::int64_t n : {0, 1, 3, 13, 5003}) {
    for (const Reduce op : kReductions) {
      Tensor x = rank.filled<T>({n}, [&](std::int64_t i) { return number(world.rank(), i); });
      world.all_reduce(x, op);
      expect_elements<T>(x, [&](std::int64_t i) { return reduced(op, world.size(), i); });
    }
  }
}

void all_reduce(Communicator& world) {
  all_reduce_as<float>(world);
  all_reduce_as<double>(world);
  all_reduce_as<std::int64_t>(world);
  all_reduce_as<kernels::Bf16>(world);
  all_reduce_as<kernels::F16>(world);
}

void sums_in_rank_order(Communicator& world) {
  RankTensors rank;
  // Of all magnitudes: among so many sums some tell in which order they were made.
  const auto mine = [](int r, std::int64_t i) {
    const auto place = static_cast<double>(i * 31 + r * 17);
    return static_cast<float>(std::ldexp(std::sin(place), (r * 5 + static_cast<int>(i % 89)) % 9));
  };
  const auto expected = [&](std::int64_t i) {
    float sum = mine(0, i);
    for (int r = 1; r < world.size(); ++r)
      sum += mine(r, i);
    return sum;
  };
  const std::int64_t n = 97L * world.size();
  Tensor x = rank.filled<float>({n}, [&](std::int64_t i) { return mine(world.rank(), i); });
  const Tensor whole =
      rank.filled<float>({n}, [&](std::int64_t i) { return mine(world.rank(), i); });
  Tensor shard = rank.empty<float>({97});
  world.all_reduce(x, Reduce::sum);
  world.reduce_scatter(whole, shard, Reduce::sum);
  expect_elements<float>(x, expected);
  expect_elements<float>(shard, [&](std::int64_t i) { return expected(97L * world.rank() + i); });
}

// `large` + 1 is `large` in the type: rounded once, the ones of many ranks count.
template <class Half>
void is_summed_in_f32(Communicator& world, float large) {
  RankTensors rank;
  const float sum = large + static_cast<float>(world.size() - 1);
  Tensor x =
      rank.filled<Half>({33}, [&](std::int64_t) { return world.rank() == 0 ? large : 1.0F; });
  world.all_reduce(x, Reduce::sum);
  expect_elements<Half>(x, [&](std::int64_t) { return sum; });
}

void halves_are_summed_in_f32(Communicator& world) {
  is_summed_in_f32<kernels::Bf16>(world, 256);
  is_summed_in_f32<kernels::F16>(world, 2048);
}

template <class T>
void reduce_scatter_as(Communicator& world) {
  RankTensors rank;
  const int n = world.size();
  for (const std::int64_t rows : {0, 1, 3, 701}) {
    for (const Reduce op : kReductions) {
      const Tensor x =
          rank.filled<T>({rows * n, 2}, [&](std::int64_t i) { return number(world.rank(), i); });
      Tensor shard = rank.empty<T>({rows, 2});
      world.reduce_scatter(x, shard, op);
      expect_elements<T>(shard, [&](std::int64_t i) {
        return reduced(op, n, world.rank() * shard.num_elements() + i);
      });
      expect_elements<T>(x, [&](std::int64_t i) { return number(world.rank(), i); });
    }
  }
}

void reduce_scatter(Communicator& world) {
  reduce_scatter_as<float>(world);
  reduce_scatter_as<double>(world);
  reduce_scatter_as<std::int64_t>(world);
  reduce_scatter_as<kernels::Bf16>(world);
}

template <class T>
void all_gather_as(Communicator& world) {
  RankTensors rank;
  for (const std::int64_t rows : {0, 1, 5, 1201}) {
    const Tensor shard =
        rank.filled<T>({rows, 3}, [&](std::int64_t i) { return (i + 100L * world.rank()) % 127; });
    Tensor x = rank.empty<T>({rows * world.size(), 3});
    world.all_gather(shard, x);
    expect_elements<T>(x, [&](std::int64_t i) {
      return (i % shard.num_elements() + 100L * (i / shard.num_elements())) % 127;
    });
  }
}

void all_gather(Communicator& world) {
  all_gather_as<float>(world);
  all_gather_as<double>(world);
  all_gather_as<std::int64_t>(world);
  all_gather_as<std::int32_t>(world);
  all_gather_as<std::uint8_t>(world);
  all_gather_as<kernels::Bf16>(world);
}

// Rank s sends count(s, r) rows to rank r; each row holds (sender, receiver, number).
template <class T, class Count>
void all_to_all_of(Communicator& world, const Count& count) {
  RankTensors rank;
  const int me = world.rank();
  std::vector<std::int64_t> send, recv;
  std::vector<std::int64_t> rows, expected;
  for (int r = 0; r < world.size(); ++r) {
    send.push_back(count(me, r));
    recv.push_back(count(r, me));
    for (std::int64_t i = 0; i < send.back(); ++i)
      rows.insert(rows.end(), {me, r, i % 100});
    for (std::int64_t i = 0; i < recv.back(); ++i)
      expected.insert(expected.end(), {r, me, i % 100});
  }
  const auto in = [](const std::vector<std::int64_t>& values) {
    return [&values](std::int64_t i) {
      return static_cast<double>(values[static_cast<std::size_t>(i)]);
    };
  };
  const Tensor x = rank.filled<T>({std::ssize(rows) / 3, 3}, in(rows));
  Tensor y = rank.empty<T>({std::ssize(expected) / 3, 3});
  world.all_to_all(x, send, y, recv);
  expect_elements<T>(y, in(expected));
}

void all_to_all(Communicator& world) {
  const auto uneven = [](int from, int to) { return (from * 5 + to * 3) % 7; };
  all_to_all_of<float>(world, uneven);
  all_to_all_of<std::int32_t>(world, uneven);
  all_to_all_of<kernels::Bf16>(world, uneven);
  all_to_all_of<std::uint8_t>(world, [](int, int) { return 401; });
}

void all_to_all_with_empty_blocks(Communicator& world) {
  all_to_all_of<float>(world, [](int, int) { return 0; });
  all_to_all_of<float>(world, [](int from, int) { return from == 0 ? 4 : 0; });
  all_to_all_of<float>(world, [](int, int to) { return to == 0 ? 4 : 0; });
}

void broadcast(Communicator& world) {
  RankTensors rank;
  for (int root = 0; root < world.size(); ++root) {
    for (const std::int64_t n : {0, 1, 2, 7777}) {
      Tensor x = rank.filled<std::int32_t>({n}, [&](std::int64_t i) { return i * world.rank(); });
      world.broadcast(x, root);
      expect_elements<std::int32_t>(x, [&](std::int64_t i) { return i * root; });
    }
  }
}

void messages(Communicator& world) {
  RankTensors rank;
  for (const std::int64_t n : {0, 1, 30000}) {
    for (int i = 0; i < 3; ++i) {
      for (int to = 0; to < world.size(); ++to)
        world.send(rank.filled<float>({n}, [&](std::int64_t) { return 10 * world.rank() + i; }),
                   to);
    }
    for (int from = world.size() - 1; from >= 0; --from) {
      for (int i = 0; i < 3; ++i) {
        Tensor x = rank.empty<float>({n});
        world.recv(x, from);
        expect_elements<float>(x, [&](std::int64_t) { return 10 * from + i; });
      }
    }
  }
  world.barrier();
}

void split(Communicator& world) {
  RankTensors rank;
  // Even and odd ranks, in reverse order.
  const int parity = world.rank() % 2;
  const auto group = world.split(parity, -world.rank(), "tensor");
  const int members = (world.size() - parity + 1) / 2;
  EXPECT_EQ(group->size(), members);
  EXPECT_EQ(group->rank(), members - 1 - world.rank() / 2);
  EXPECT_EQ(group->group().axis, "tensor");
  EXPECT_EQ(group->group().world_rank(), world.rank());
  Tensor x = rank.floats({static_cast<float>(world.rank())});
  group->all_reduce(x, Reduce::sum);
  float expected = 0;
  for (int r = parity; r < world.size(); r += 2)
    expected += static_cast<float>(r);
  EXPECT_EQ(x.data<float>()[0], expected);
  const auto again = world.split(0, world.rank(), "data");
  EXPECT_EQ(again->size(), world.size());
  EXPECT_EQ(again->rank(), world.rank());
}

void nested_split(Communicator& world) {
  RankTensors rank;
  // Rows and columns of a mesh with two columns, and halves of the columns.
  const auto row = world.split(world.rank() / 2, world.rank(), "tensor");
  const auto column = world.split(world.rank() % 2, world.rank(), "data");
  const auto half = column->split(column->rank() % 2, column->rank(), "expert");
  for (int i = 0; i < 3; ++i) {
    Tensor x = rank.filled<double>({5}, [&](std::int64_t) { return world.rank(); });
    row->all_reduce(x, Reduce::max);
    column->all_reduce(x, Reduce::max);
    // The last row of an odd world has no second column.
    const int last = world.size() - 1;
    const int column_max = last % 2 == world.rank() % 2 ? last : last - 1;
    const int highest = world.rank() % 2 == 0 && last % 2 == 1 ? last : column_max;
    expect_elements<double>(x, [&](std::int64_t) { return highest; });
    Tensor y = rank.filled<std::int64_t>({1}, [](std::int64_t) { return 1; });
    half->all_reduce(y, Reduce::sum);
    EXPECT_EQ(y.data<std::int64_t>()[0], half->size());
  }
  std::int64_t total = half->size();
  Tensor sizes =
      rank.filled<std::int64_t>({1}, [&](std::int64_t) { return half->rank() == 0 ? total : 0; });
  world.all_reduce(sizes, Reduce::sum);
  EXPECT_EQ(sizes.data<std::int64_t>()[0], world.size());  // every rank is in one half
}

void splits_in_a_row(Communicator& world) {
  for (int i = 0; i < 40; ++i) {
    // Ranks linger in turn, so that the first to leave a split meets the last of the one before.
    if (i % world.size() == world.rank())
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    const auto group = world.split(i % 2 == 0 ? 0 : world.rank(), world.rank(), "data");
    ASSERT_EQ(group->size(), i % 2 == 0 ? world.size() : 1) << i;
  }
}

void many_in_a_row(Communicator& world) {
  RankTensors rank;
  for (int i = 0; i < 200; ++i) {
    Tensor x = rank.floats({static_cast<float>(i + world.rank())});
    world.all_reduce(x, Reduce::max);
    ASSERT_EQ(x.data<float>()[0], static_cast<float>(i + world.size() - 1));
  }
}

// Larger than what any transport moves at a time, and no multiple of anything.
void large_tensors(Communicator& world) {
  RankTensors rank;
  const std::int64_t n = 400'003;  // several parts for each of eight ranks
  Tensor x = rank.filled<float>({n}, [&](std::int64_t i) { return number(world.rank(), i); });
  world.all_reduce(x, Reduce::sum);
  expect_elements<float>(x, [&](std::int64_t i) { return reduced(Reduce::sum, world.size(), i); });
  world.broadcast(x, world.size() - 1);
  Tensor all = rank.empty<float>({n * world.size()});
  world.all_gather(x, all);
  expect_elements<float>(all,
                         [&](std::int64_t i) { return reduced(Reduce::sum, world.size(), i % n); });
  Tensor shard = rank.empty<float>({n});
  world.reduce_scatter(all, shard, Reduce::max);
  expect_elements<float>(shard,
                         [&](std::int64_t i) { return reduced(Reduce::sum, world.size(), i); });
}

void started_operations_keep_their_order(Communicator& world) {
  RankTensors rank;
  std::vector<Tensor> tensors;
  std::vector<Work> works;
  for (int i = 0; i < 20; ++i) {
    tensors.push_back(rank.floats({static_cast<float>(world.rank() + i)}));
    works.push_back(world.start(Operation::all_reduce(tensors.back(), Reduce::max)));
  }
  Tensor sum = rank.floats({1.0F});
  world.all_reduce(sum, Reduce::sum);  // after what was started
  EXPECT_EQ(sum.data<float>()[0], static_cast<float>(world.size()));
  for (std::size_t i = 0; i < works.size(); ++i) {
    works[i].wait();
    EXPECT_EQ(tensors[i].data<float>()[0],
              static_cast<float>(world.size() - 1 + static_cast<int>(i)));
  }
}

// Each axis has an order of its own: what ranks start in other orders on two axes gets through.
void axes_do_not_wait_for_each_other(Communicator& world) {
  RankTensors rank;
  const auto data = world.split(0, world.rank(), "data");
  const auto expert = world.split(0, world.rank(), "expert");
  for (int i = 0; i < 10; ++i) {
    Tensor a = rank.floats({1.0F});
    Tensor b = rank.floats({2.0F});
    const bool first = (world.rank() + i) % 2 == 0;
    Work one = first ? data->start(Operation::all_reduce(a, Reduce::sum))
                     : expert->start(Operation::all_reduce(b, Reduce::sum));
    Work two = first ? expert->start(Operation::all_reduce(b, Reduce::sum))
                     : data->start(Operation::all_reduce(a, Reduce::sum));
    one.wait();
    two.wait();
    EXPECT_EQ(a.data<float>()[0], static_cast<float>(world.size()));
    EXPECT_EQ(b.data<float>()[0], 2.0F * static_cast<float>(world.size()));
  }
}

// Neighbours of a pipeline each wait in a recv before they send.
void a_send_passes_a_recv_that_waits(Communicator& world) {
  RankTensors rank;
  const int next = (world.rank() + 1) % world.size();
  const int previous = (world.rank() + world.size() - 1) % world.size();
  if (world.size() == 1) return;  // a recv from itself does not wait
  Tensor got = rank.floats({0.0F});
  Work waiting = world.start(Operation::recv(got, previous));
  world.send(rank.floats({static_cast<float>(world.rank())}), next);
  waiting.wait();
  EXPECT_EQ(got.data<float>()[0], static_cast<float>(previous));
}

void refuse_what_they_cannot_serve(Communicator& world) {
  RankTensors rank;
  Tensor ids = rank.filled<std::int32_t>({1}, [](std::int64_t) { return 1; });
  EXPECT_THROW(world.all_reduce(ids, Reduce::sum), ContractError);
  EXPECT_THROW((void)world.start(Operation::all_reduce(ids, Reduce::sum)), ContractError);
  const Tensor shard = rank.floats({1, 2});
  Tensor whole = rank.empty<float>({2 * world.size() + 1});
  EXPECT_THROW(world.all_gather(shard, whole), ContractError);
  Tensor doubles = rank.empty<double>({2 * world.size()});
  EXPECT_THROW(world.all_gather(shard, doubles), ContractError);
  EXPECT_THROW(world.reduce_scatter(doubles, whole, Reduce::sum), ContractError);
  Tensor square = rank.empty<float>({2, 2});
  Tensor gaps = square.slice(1, 0, 1);
  EXPECT_THROW(world.broadcast(gaps, 0), ContractError);
  EXPECT_THROW(world.broadcast(square, world.size()), ContractError);
  EXPECT_THROW(world.send(shard, world.size()), ContractError);
  EXPECT_THROW(world.recv(whole, -1), ContractError);
  const std::vector<std::int64_t> too_few(static_cast<std::size_t>(world.size()), 0);
  EXPECT_THROW(world.all_to_all(shard, too_few, square, too_few), ContractError);
}

constexpr std::array kCases = {
    ContractCase{"AllReduce", all_reduce},
    ContractCase{"SumsInRankOrder", sums_in_rank_order},
    ContractCase{"HalvesAreSummedInF32", halves_are_summed_in_f32},
    ContractCase{"ReduceScatter", reduce_scatter},
    ContractCase{"AllGather", all_gather},
    ContractCase{"AllToAll", all_to_all},
    ContractCase{"AllToAllWithEmptyBlocks", all_to_all_with_empty_blocks},
    ContractCase{"Broadcast", broadcast},
    ContractCase{"Messages", messages},
    ContractCase{"Split", split},
    ContractCase{"NestedSplit", nested_split},
    ContractCase{"SplitsInARow", splits_in_a_row},
    ContractCase{"ManyInARow", many_in_a_row},
    ContractCase{"LargeTensors", large_tensors},
    ContractCase{"StartedOperationsKeepTheirOrder", started_operations_keep_their_order},
    ContractCase{"AxesDoNotWaitForEachOther", axes_do_not_wait_for_each_other},
    ContractCase{"ASendPassesARecvThatWaits", a_send_passes_a_recv_that_waits},
    ContractCase{"RefuseWhatTheyCannotServe", refuse_what_they_cannot_serve},
};

}  // namespace

std::span<const ContractCase> contract_cases() {
  return kCases;
}

}  // namespace tera::comm::test
