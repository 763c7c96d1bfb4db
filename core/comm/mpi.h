// Ranks as processes that mpirun or srun started.
#pragma once
#include <memory>
#include <string>

#include "core/base/result.h"
#include "core/comm/communicator.h"

namespace tera::comm {

// Whether this build has MPI.
bool has_mpi();
// Its library, in a line: "Open MPI v4.1.4"; empty without.
std::string mpi_library();

// All processes of the job; a process started alone is a group of one. Once per process: MPI starts
// here and ends with the last communicator that was split from this one. After an abort it does not
// end in peace, which would wait for the dead: mpirun stops who is left when this process ends.
// A wait longer than timeout_s throws CommunicationError naming the ranks that are missing.
Result<std::unique_ptr<Communicator>> make_mpi_communicator(double timeout_s = 120);

// MPI's own collective that does to f32 tensors what `operation` does, once, over the whole job:
// what the communicator is measured beside. It waits without a timeout. Only between operations of
// the communicator above.
void run_raw_mpi(const Operation& operation);

}  // namespace tera::comm
