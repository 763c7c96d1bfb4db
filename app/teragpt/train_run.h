// What teragpt train is asked, and what its ways to train have in common: in this process, as a
// rank, or by starting ranks.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/teragpt/cli.h"
#include "core/comm/launched_rank.h"
#include "core/run/run_directory.h"
#include "core/train/trainer.h"

namespace tera::app {

struct TrainArguments {
  std::string spec;
  std::string run;
  std::string runs_root;
  bool resume = false;
  bool dry_run = false;
  bool is_mpi_rank = false;
  std::string ranks = "processes";  // or threads, of this process
  std::string transport = "mpi";    // or nccl, between processes
  std::string store;                // in which these find each other without MPI
  std::string hostfile;
  // Long enough for the others to wait while rank 0 writes a checkpoint to a slow disk.
  double timeout_s = 600;
  std::int64_t steps = 0;
  std::vector<std::string> overrides;

  bool by_nccl() const { return transport == "nccl"; }
};

// Whether this computer can hold and connect the ranks of `spec` as it is asked; says so where not.
// Of several ranks of a --hostfile its computers find out.
bool can_connect(Cli& cli, const TrainArguments& args, const spec::RunSpec& spec);

// The run directory to train in: a new one from SPEC, or the one given. num_local_ranks: of ranks
// that are connected already, as in launch::preflight().
std::optional<run::RunDirectory> open_run(Cli& cli,
                                          const TrainArguments& args,
                                          int num_local_ranks = 0);

// Prints each record of the run, of num_steps in all, and adds its time to steps_s.
train::TrainOptions options_of(const Cli& cli,
                               const TrainArguments& args,
                               std::int64_t num_steps,
                               std::vector<double>& steps_s);

// Plans of this computer learn from the times of its runs.
void learn_from(const run::RunDirectory& dir,
                const spec::RunSpec& spec,
                const std::vector<double>& steps_s);

void tell_stopped(Cli& cli, const run::RunDirectory& dir);

// One of the processes that this program started as ranks of the run, and watches.
void train_rank(Cli& cli,
                const TrainArguments& args,
                const run::RunDirectory& dir,
                const spec::RunSpec& spec);

// One of the processes that somebody else started, such as srun: rank 0 opens the run for all, and
// each tells what ended it.
void train_launched(Cli& cli, const TrainArguments& args, const comm::LaunchedRank& place);

}  // namespace tera::app
