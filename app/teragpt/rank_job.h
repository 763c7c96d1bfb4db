// The ranks of a run as processes of an MPI job on this computer: started, passed what a person
// asks of this program, and waited for.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "app/teragpt/mpi_job.h"
#include "app/teragpt/nccl_ranks.h"
#include "core/base/result.h"
#include "core/comm/launched_rank.h"
#include "core/run/rank_errors.h"
#include "core/run/run_directory.h"
#include "core/run/start_watch.h"

namespace tera::app {

// Runs the job with its standard error in `log`; its output is this program's. A request to stop
// goes to all ranks once `listens` says that they listen, and they write a checkpoint and leave;
// when this program ends, or `is_lost` says that ranks wait in vain, so do they. Returns the exit
// code of the job, which says less than job_end().
Result<int> run_rank_job(const MpiJob& job,
                         const std::filesystem::path& log,
                         const std::function<bool()>& listens,
                         const std::function<bool()>& is_lost);

// Whether a job is there still, seconds after one of its ranks noted why it ends: mpirun, which
// ends the others then, is stopped itself.
class Overdue {
 public:
  Overdue(const run::RunDirectory& dir, int attempt) : dir_(dir), attempt_(attempt) {}
  bool operator()();  // may be asked as often as one likes

 private:
  run::RunDirectory dir_;
  int attempt_;
  double next_look_s_ = 0;
  std::optional<double> noted_s_;
};

// As one of its ranks: who started the job sees that this one lives while it waits for the others.
// Errors: those of make_mpi_communicator() and connect_ranks(), and that the job was given up
// before all were there.
Result<JoinedRanks> join_rank_job(const run::RunDirectory& dir, bool by_nccl, double timeout_s);

// As one of the ranks of a job that somebody else started, and nobody watches: when the others do
// not join within timeout_s, for which MPI waits for ever, `gives_up` ends this process; it is
// called on a thread of its own. Errors: those of make_mpi_communicator() and connect_ranks(), and
// a job of another size than its launcher says, which has not given it to MPI.
Result<JoinedRanks> join_launched_job(const comm::LaunchedRank& place,
                                      bool by_nccl,
                                      double timeout_s,
                                      const std::function<void(const Error&)>& gives_up);

// "rank 3 of 8", of as many as the launcher says.
std::string text_of(const comm::LaunchedRank& place);

// What a person reads of ranks that never came together.
run::RankError error_of(const run::LostRanks& lost);

// The ranks of a job on one computer share its processors: how many they are on this one, told by
// the launcher of the job, else all.
int num_local_ranks(int world_size);

}  // namespace tera::app
