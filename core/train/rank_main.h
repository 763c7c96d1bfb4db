// rank_main: from a run directory to a finished attempt. Makes the ranks (threads of this process),
// their backends and communicators, and holds the program's one catch-all.
#pragma once
#include "core/run/run_directory.h"
#include "core/train/trainer.h"

namespace tera::train {

// Trains the run in this process: data_parallel_size ranks as threads, which share the processors.
// Takes the run's lock, writes events ("starting", "completed", "stopped", "failed" with the
// reason) and the log. options.attempt is set here.
Result<TrainEnd> run_training(const run::RunDirectory& dir, TrainOptions options);

}  // namespace tera::train
