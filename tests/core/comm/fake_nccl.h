// NCCL between threads in host memory: what core/comm/nccl_device.h asks for, as strict as the
// library is. Its reductions go round as a ring does, not in rank order, and round halves at every
// step. Ranks may be made to fail in it.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/comm/communicator.h"
#include "core/comm/nccl_device.h"
#include "core/comm/store.h"
#include "tests/support/spawn_ranks.h"

namespace tera::comm::test {

class FakeClique;

// What the ranks of a test share. Outlives them.
class FakeNccl {
 public:
  std::unique_ptr<NcclDevice> device(int rank);
  // Of one rank: joining fails with these words, or its next collective does.
  void break_joins(int rank, std::string words);
  void break_calls(int rank, std::string words);
  // Whether peers of who aborts get an error, as over a network, or wait on, as on a computer.
  bool aborts_are_seen = false;
  // How long who ends a communicator waits for its peers to end theirs, as the library does. Ranks
  // end on threads of their own then.
  double farewell_s = 0;
  int num_lone_ends() const { return num_lone_ends_; }  // where that was not long enough

  // For the fake's own classes.
  std::shared_ptr<FakeClique> clique(const NcclId& id, int size);
  NcclId next_id();
  void throw_if_broken(int rank, bool joins);
  int num_cliques() const;
  void leave(FakeClique& clique);

 private:
  mutable std::mutex mutex_;
  std::map<NcclId, std::shared_ptr<FakeClique>> cliques_;
  std::map<int, std::string> broken_joins_;
  std::map<int, std::string> broken_calls_;
  int num_ids_ = 0;
  std::atomic<int> num_lone_ends_ = 0;
};

// A store that several owners share.
std::unique_ptr<Store> shared_store(std::shared_ptr<Store> store);

// World communicators over `fake`, made on as many threads, with a store in memory.
tera::test::Worlds make_fake_worlds(FakeNccl& fake, int size, double timeout_s);

}  // namespace tera::comm::test
