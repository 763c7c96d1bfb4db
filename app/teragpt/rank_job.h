// The ranks of a run as processes of an MPI job on this computer: started, passed what a person
// asks of this program, and waited for.
#pragma once
#include <filesystem>
#include <functional>

#include "app/teragpt/mpi_job.h"
#include "core/base/result.h"

namespace tera::app {

// Runs the job with its standard error in `log`; its output is this program's. A request to stop
// goes to all ranks once `listens` says that they listen, and they write a checkpoint and leave;
// when this program ends, so do they. Returns the exit code of the job, which says less than
// job_end().
Result<int> run_rank_job(const MpiJob& job,
                         const std::filesystem::path& log,
                         const std::function<bool()>& listens);

// The first of a job's ranks on a computer share its processors: how many they are, told by the
// launcher of the job (Open MPI, Slurm), else all.
int num_local_ranks(int world_size);

}  // namespace tera::app
