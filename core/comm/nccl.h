// Ranks as processes with a GPU each, which NCCL connects. Tensors lie in host memory and pass
// through device memory on their way. Reductions keep to rank order (communicator.h): NCCL makes
// those whose result has the same bits, whole numbers and sums of two ranks; of others it carries
// the parts, which each rank adds up for its slice on the host.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/comm/communicator.h"
#include "core/comm/nccl_device.h"
#include "core/comm/store.h"

namespace tera::comm {

// Whether this build has NCCL.
bool has_nccl();
// Its library and CUDA's, in a line: "NCCL 2.28.9, CUDA runtime 13.0"; empty without.
std::string nccl_library();

// GPUs of this computer that CUDA can use. Errors: this build has no NCCL; there is no GPU.
Result<int> num_nccl_devices();
// GPU `index` of this computer. Errors: those, and that there are fewer.
Result<std::unique_ptr<NcclDevice>> make_nccl_device(int index);

struct NcclJob {
  int rank = 0;
  int size = 1;
  // A wait longer than this throws CommunicationError naming the ranks that are missing.
  double timeout_s = 120;
};
// The world of a job whose ranks share `store`, which no job used before. Returns when all ranks
// are there.
Result<std::unique_ptr<Communicator>> make_nccl_communicator(std::unique_ptr<NcclDevice> device,
                                                             std::unique_ptr<Store> store,
                                                             const NcclJob& job);
// A rank that cannot be one of `job` tells the others why, whose worlds end with that, instead. Of
// rank 0, which may hold the store, those that start seconds later hear it, too.
void decline_nccl_job(std::unique_ptr<Store> store, const NcclJob& job, std::string_view reason);
// The world over what its ranks have in common already, processes of MPI: rank 0 holds the store
// and tells the others where. Collective over `ranks`, which is not used after that.
Result<std::unique_ptr<Communicator>> make_nccl_communicator(std::unique_ptr<NcclDevice> device,
                                                             Communicator& ranks,
                                                             double timeout_s);

}  // namespace tera::comm
