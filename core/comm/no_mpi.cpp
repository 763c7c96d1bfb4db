// A build without MPI.
#include "core/base/error.h"
#include "core/comm/mpi.h"

namespace tera::comm {

bool has_mpi() {
  return false;
}

std::string mpi_library() {
  return {};
}

Result<std::unique_ptr<Communicator>> make_mpi_communicator(double /*timeout_s*/) {
  return fail(ErrorCode::unsupported, "this build of TeraGPT has no MPI",
              "install libopenmpi-dev and openmpi-bin (packaging/dependencies.sh does) and build "
              "again");
}

void run_raw_mpi(const Operation& /*operation*/) {
  throw CommunicationError("this build of TeraGPT has no MPI");
}

}  // namespace tera::comm
