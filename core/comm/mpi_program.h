// Ranks send each other structures of this program as it was built: all must run the same one.
#pragma once
#include <mpi.h>

namespace tera::comm {

// Collective. Where the files of the programs differ MPI ends, and every rank throws the same
// CommunicationError, which says who runs what, and where.
void require_same_program(MPI_Comm all);

}  // namespace tera::comm
