#include "app/teragpt/nccl_ranks.h"

#include <fmt/format.h>

#include "core/base/counted.h"
#include "core/base/error.h"
#include "core/comm/launched_rank.h"
#include "core/comm/nccl.h"

namespace tera::app {
namespace {

// The GPUs of a computer are its ranks', in order. A launcher that has given each rank one shows it
// no other; where ranks share one after all, NCCL says so.
Result<std::unique_ptr<comm::NcclDevice>> device_of(int rank) {
  TERA_TRY(const int num_devices, comm::num_nccl_devices());
  const std::optional<comm::LaunchedRank> place = comm::launched_rank();
  const int local_rank = place && place->local_rank >= 0 ? place->local_rank : rank;
  return comm::make_nccl_device(num_devices == 1 ? 0 : local_rank);
}

Result<std::unique_ptr<comm::Communicator>> connect_by_nccl(comm::Communicator& job,
                                                            double timeout_s) {
  try {
    Result<std::unique_ptr<comm::NcclDevice>> device = device_of(job.rank());
    if (device) return comm::make_nccl_communicator(std::move(*device), job, timeout_s);
    const Error& error = device.error();
    return fail(error.code, fmt::format("rank {}: {}", job.rank(), error.message), error.hint);
  } catch (const CommunicationError& error) {
    return fail(ErrorCode::failed, error.what());
  }
}

}  // namespace

Result<void> check_nccl_ranks(int num_ranks) {
  TERA_TRY(const int num_devices, comm::num_nccl_devices());
  if (num_ranks <= num_devices) return {};
  return fail(ErrorCode::invalid_input,
              fmt::format("NCCL: got {} for a computer with {}, expected a GPU for each",
                          counted(num_ranks, "rank"), counted(num_devices, "GPU")),
              "use fewer ranks here, or connect them by threads or MPI");
}

Result<JoinedRanks> connect_ranks(std::unique_ptr<comm::Communicator> job,
                                  bool by_nccl,
                                  double timeout_s) {
  JoinedRanks joined{.job = std::move(job), .nccl = nullptr};
  if (!by_nccl) return joined;
  Result<std::unique_ptr<comm::Communicator>> nccl = connect_by_nccl(*joined.job, timeout_s);
  if (nccl) {
    joined.nccl = std::move(*nccl);
    return joined;
  }
  joined.abort(nccl.error().message);
  return tl::unexpected<Error>(nccl.error());
}

Result<std::unique_ptr<comm::Communicator>> make_nccl_rank(double timeout_s) {
  TERA_TRY(std::unique_ptr<comm::NcclDevice> device, comm::make_nccl_device(0));
  return comm::make_nccl_communicator(std::move(device), std::make_unique<comm::MemoryStore>(),
                                      {.rank = 0, .size = 1, .timeout_s = timeout_s});
}

}  // namespace tera::app
