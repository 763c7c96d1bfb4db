// Collectives over messages. MPI sums in an order of its own and knows no bf16: here it only moves
// bytes, and every rank reduces one slice of a tensor in rank order, which takes as many bytes on
// the wire as a ring.
#pragma once
#include <vector>

#include "core/comm/mpi_greeting.h"

namespace tera::comm {

// What goes with the greeting of a collective: to each member what it needs of this rank's tensor,
// or nothing where that is much for all of them. `scratch` is kept from call to call.
std::vector<Parcel> parcels_of(const MpiGroup& group,
                               const Operation& operation,
                               std::vector<std::byte>& scratch);
// After the greeting: this rank's part of the rest.
void run_collective(const MpiGroup& group,
                    const Operation& operation,
                    const std::vector<Parcel>& parcels,
                    std::vector<std::byte>& scratch);

}  // namespace tera::comm
