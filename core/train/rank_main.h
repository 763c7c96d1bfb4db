// rank_main: from a run directory to a finished attempt. Makes the ranks (threads of this process,
// or this process as one of a job), their backends and communicators, and holds the program's one
// catch-all.
#pragma once
#include "core/run/run_directory.h"
#include "core/train/trainer.h"

namespace tera::train {

// Trains the run in this process: the ranks of the layout as threads, which share the processors.
// Takes the run's lock, writes events ("starting", "completed", "stopped", "failed" with the
// reason) and the log. options.attempt is set here.
Result<TrainEnd> run_training(const run::RunDirectory& dir, TrainOptions options);

// The same as one rank of a job whose processes are the ranks of the layout; of these rank 0 takes
// the lock and writes events, and each has a log of its own. num_local_ranks share the processors.
// Collective over `world`: ranks that hold another spec, or have nothing to train, end all of them.
Result<TrainEnd> run_training_rank(const run::RunDirectory& dir,
                                   comm::Communicator& world,
                                   int num_local_ranks,
                                   TrainOptions options);

}  // namespace tera::train
