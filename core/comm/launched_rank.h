// Which process of a job this one is, by what its launcher says in the environment: before MPI
// starts, and whichever launcher it was.
#pragma once
#include <optional>

namespace tera::comm {

struct LaunchedRank {
  int rank = 0;
  int size = 0;         // processes of the job; 0: not said
  int local_size = 0;   // of them on this computer; 0: not said
  int local_rank = -1;  // which of those; -1: not said

  bool is_alone() const { return size == 1; }
};

// Of Open MPI's mpirun, of launchers that speak PMI (those of MPICH, Flux) or PMIx, and of Slurm's
// srun, with or without these. Nothing where none of them started this process as one of its ranks,
// as in the script of a Slurm job, which is no step of it. Sources: mpirun(1) of Open MPI 4.1,
// srun(1) of Slurm 22.05, the PMI-1 and PMIx 3.1 environments of clients.
std::optional<LaunchedRank> launched_rank();

}  // namespace tera::comm
