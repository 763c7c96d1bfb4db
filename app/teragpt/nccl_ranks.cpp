#include "app/teragpt/nccl_ranks.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/counted.h"
#include "core/base/error.h"
#include "core/comm/nccl.h"
#include "core/comm/tcp_store.h"

namespace tera::app {
namespace {

// How long a rank without a GPU looks for others to tell.
constexpr double kTellS = 5;

// The GPUs of a computer are its ranks', in order. A launcher that has given each rank one shows it
// no other; where ranks share one after all, NCCL says so.
Result<std::unique_ptr<comm::NcclDevice>> find_device(int rank) {
  TERA_TRY(const int num_devices, comm::num_nccl_devices());
  const std::optional<comm::LaunchedRank> place = comm::launched_rank();
  const int local_rank = place && place->local_rank >= 0 ? place->local_rank : rank;
  return comm::make_nccl_device(num_devices == 1 ? 0 : local_rank);
}

Result<std::unique_ptr<comm::NcclDevice>> device_of(int rank) {
  Result<std::unique_ptr<comm::NcclDevice>> device = find_device(rank);
  if (!device) device.error().message = fmt::format("rank {}: {}", rank, device.error().message);
  return device;
}

Result<std::unique_ptr<comm::Communicator>> connect_by_nccl(comm::Communicator& job,
                                                            double timeout_s) {
  try {
    TERA_TRY(std::unique_ptr<comm::NcclDevice> device, device_of(job.rank()));
    return comm::make_nccl_communicator(std::move(device), job, timeout_s);
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

Result<JoinedRanks> join_by_store(const comm::LaunchedRank& place,
                                  const std::string& store,
                                  double timeout_s) {
  if (place.size == 0) {
    return fail(ErrorCode::invalid_input,
                fmt::format("--store: got rank {} of a launcher that does not say of how many, "
                            "expected one that does",
                            place.rank),
                "srun, mpirun and launchers that speak PMI do; leave --store out to find out by "
                "MPI");
  }
  const comm::NcclJob job = {.rank = place.rank, .size = place.size, .timeout_s = timeout_s};
  Result<std::unique_ptr<comm::NcclDevice>> device = device_of(job.rank);
  Result<std::unique_ptr<comm::Store>> opened =
      comm::open_store(store, job.rank, device ? timeout_s : std::min(timeout_s, kTellS));
  if (!device) {
    if (opened) comm::decline_nccl_job(std::move(*opened), job, device.error().message);
    return tl::unexpected<Error>(device.error());
  }
  if (!opened) return tl::unexpected<Error>(opened.error());
  TERA_TRY(std::unique_ptr<comm::Communicator> world,
           comm::make_nccl_communicator(std::move(*device), std::move(*opened), job));
  return JoinedRanks{.job = nullptr, .nccl = std::move(world)};
}

Result<std::unique_ptr<comm::Communicator>> make_nccl_rank(double timeout_s) {
  TERA_TRY(std::unique_ptr<comm::NcclDevice> device, comm::make_nccl_device(0));
  return comm::make_nccl_communicator(std::move(device), std::make_unique<comm::MemoryStore>(),
                                      {.rank = 0, .size = 1, .timeout_s = timeout_s});
}

}  // namespace tera::app
