// Collectives over messages. MPI sums in an order of its own and knows no bf16: here it only moves
// bytes, and every rank reduces one slice of a tensor in rank order, which takes as many bytes on
// the wire as a ring.
#pragma once
#include <vector>

#include "core/comm/mpi_group.h"

namespace tera::comm {

// After the greeting of a collective: this rank's part. `scratch` is kept from call to call.
void run_collective(const MpiGroup& group,
                    const Operation& operation,
                    std::vector<std::byte>& scratch);

}  // namespace tera::comm
