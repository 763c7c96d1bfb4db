// Runs a function on N ranks that are threads of this process, and brings its failure back.
#pragma once
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/comm/communicator.h"

namespace tera::test {

// What each rank threw; null where it returned.
using RankErrors = std::vector<std::exception_ptr>;

using Worlds = std::vector<std::unique_ptr<comm::Communicator>>;  // [rank]

// Calls body(communicator) on every rank and waits for all. A rank that throws does not stop its
// peers: they meet their timeout or the abort that the body asks for.
inline RankErrors spawn_ranks_catching(const Worlds& worlds,
                                       const std::function<void(comm::Communicator&)>& body) {
  RankErrors errors(worlds.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t rank = 0; rank < worlds.size(); ++rank) {
      threads.emplace_back([&, rank] {
        try {
          body(*worlds[rank]);
        } catch (...) {
          errors[rank] = std::current_exception();
        }
      });
    }
  }
  return errors;
}
inline RankErrors spawn_ranks_catching(int num_ranks,
                                       double timeout_s,
                                       const std::function<void(comm::Communicator&)>& body) {
  return spawn_ranks_catching(comm::make_thread_communicators(num_ranks, timeout_s), body);
}

// The same for bodies that should succeed: the first failure aborts the group and is rethrown here.
inline void spawn_ranks(const Worlds& worlds,
                        const std::function<void(comm::Communicator&)>& body) {
  std::mutex mutex;
  std::exception_ptr first;
  spawn_ranks_catching(worlds, [&](comm::Communicator& world) {
    try {
      body(world);
    } catch (...) {
      {
        const std::scoped_lock lock(mutex);
        if (!first) first = std::current_exception();
      }
      world.abort("another rank of the test failed");
    }
  });
  if (first) std::rethrow_exception(first);
}
inline void spawn_ranks(int num_ranks, const std::function<void(comm::Communicator&)>& body) {
  spawn_ranks(comm::make_thread_communicators(num_ranks, 60), body);
}

}  // namespace tera::test
