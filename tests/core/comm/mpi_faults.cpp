// A rank of an MPI job in which something goes wrong; mpi_faults_test.cpp starts it and reads what
// it says: mpi_faults CASE TIMEOUT_S.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include <unistd.h>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/comm/mpi.h"
#include "tests/core/comm/rank_tensors.h"

namespace tera::comm {
namespace {

using test::RankTensors;

void other_shape(Communicator& world) {
  RankTensors rank;
  Tensor x = rank.empty<float>({world.rank() == 1 ? 3 : 2});
  world.all_reduce(x, Reduce::sum);
}

void other_rows(Communicator& world) {
  RankTensors rank;
  const Tensor x = rank.empty<float>({2, 3});
  Tensor y = rank.empty<float>({2, 3});
  const std::vector<std::int64_t> ones = {1, 1};
  const std::vector<std::int64_t> both = {0, 2};
  world.all_to_all(x, ones, y, world.rank() == 0 ? both : ones);
}

void other_message(Communicator& world) {
  RankTensors rank;
  Tensor x = rank.empty<float>({2});
  if (world.rank() == 0) world.send(rank.empty<float>({3}), 1);
  if (world.rank() == 1) world.recv(x, 0);
  world.barrier();
}

// Ranks 1 and 3 share an axis; only rank 1 comes to its collective.
void missing(Communicator& world) {
  const auto axis = world.split(world.rank() % 2, world.rank(), "tensor");
  RankTensors rank;
  Tensor x = rank.empty<float>({2});
  if (world.rank() == 1) axis->start(Operation::all_reduce(x, Reduce::sum)).wait();
  ::sleep(100);
}

// Rank 0 waits for rank 2, which waits for rank 3, which is busy elsewhere.
void chain(Communicator& world) {
  const auto data = world.split(world.rank() / 2, world.rank(), "data");
  RankTensors rank;
  Tensor x = rank.empty<float>({2});
  if (world.rank() == 0) world.recv(x, 2);
  if (world.rank() == 2) data->all_reduce(x, Reduce::sum);
  ::sleep(100);
}

void ring(Communicator& world) {
  RankTensors rank;
  Tensor x = rank.empty<float>({2});
  world.recv(x, 1 - world.rank());
}

// Everybody waits for something else when rank 0 gives up.
void aborts(Communicator& world) {
  const auto axis = world.split(world.rank() % 2, world.rank(), "data");
  world.barrier();  // all have their axis
  RankTensors rank;
  Tensor x = rank.empty<float>({2});
  if (world.rank() == 0) {
    ::usleep(200'000);  // the others wait by now
    world.abort("rank 0 ran out of disk");
    throw CommunicationError("gives up");
  }
  if (world.rank() == 1) axis->recv(x, 1);
  if (world.rank() == 2) world.barrier();
  if (world.rank() == 3) axis->all_reduce(x, Reduce::sum);
}

void dies(Communicator& world) {
  world.barrier();
  if (world.rank() == 1) ::raise(SIGKILL);
  world.barrier();
}

void stops(Communicator& world) {
  world.barrier();
  if (world.rank() == 1) ::raise(SIGSTOP);
  world.barrier();
}

void stops_at_the_end(Communicator& world) {
  world.barrier();
  if (world.rank() == 1) ::raise(SIGSTOP);
}

}  // namespace
}  // namespace tera::comm

int main(int, char** argv) {
  using namespace tera::comm;
  const std::map<std::string, void (*)(Communicator&)> cases = {
      {"other_shape", other_shape},
      {"other_rows", other_rows},
      {"other_message", other_message},
      {"missing", missing},
      {"chain", chain},
      {"ring", ring},
      {"aborts", aborts},
      {"dies", dies},
      {"stops", stops},
      {"stops_at_the_end", stops_at_the_end}};
  auto world = make_mpi_communicator(std::atof(argv[2]));
  if (!world) return 2;
  const int rank = (*world)->rank();
  try {
    cases.at(argv[1])(**world);
  } catch (const tera::CommunicationError& error) {
    const std::string line = fmt::format("[{}] {}\n", rank, error.what());
    std::fputs(line.c_str(), stderr);
    return 3;
  }
  return 0;
}
