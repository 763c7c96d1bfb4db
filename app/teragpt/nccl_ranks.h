// Ranks that NCCL connects, each with a GPU of its own: over what connects them already, or on
// their own.
#pragma once
#include <memory>
#include <string>

#include "core/base/result.h"
#include "core/comm/communicator.h"
#include "core/comm/launched_rank.h"

namespace tera::app {

// Whether this computer can hold that many. Errors: this build has no NCCL, or there are not as
// many GPUs.
Result<void> check_nccl_ranks(int num_ranks);

// This process among others, and what connects it to them.
struct JoinedRanks {
  std::unique_ptr<comm::Communicator> job;   // of MPI; null where NCCL alone connects them
  std::unique_ptr<comm::Communicator> nccl;  // null: MPI does
  comm::Communicator& world() const { return nccl ? *nccl : *job; }
  // After a failure of the world: what started the ranks does not end in peace, which would wait
  // for the dead.
  void abort(const std::string& reason) const {
    if (job) job->abort(reason);
  }
};

// The ranks of `job` as they are, or connected by NCCL. Collective over the job; where a rank
// cannot, all end with its reason.
Result<JoinedRanks> connect_ranks(std::unique_ptr<comm::Communicator> job,
                                  bool by_nccl,
                                  double timeout_s);

// The process at `place` among those that a launcher started and no MPI connects: they find each
// other in a store (comm::open_store). One without a GPU ends all with its reason. Errors: those of
// comm::make_nccl_communicator(), and a launcher that does not say how many they are.
Result<JoinedRanks> join_by_store(const comm::LaunchedRank& place,
                                  const std::string& store,
                                  double timeout_s);

// A run of one rank, in this process.
Result<std::unique_ptr<comm::Communicator>> make_nccl_rank(double timeout_s);

}  // namespace tera::app
