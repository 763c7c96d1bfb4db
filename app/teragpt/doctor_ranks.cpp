// teragpt doctor: what starts ranks as processes here, and what they share.
#include <array>
#include <cstdio>
#include <memory>
#include <regex>

#include <unistd.h>

#include <fmt/format.h>

#include "app/teragpt/doctor.h"
#include "app/teragpt/mpi_job.h"
#include "core/base/counted.h"
#include "core/base/thread_pool.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/comm/mpi.h"
#include "core/comm/nccl.h"

namespace tera::app {
namespace {

constexpr const char* kThreads = "until then ranks are threads of one process";
// btl_vader_segment_size of Open MPI 4.1 (ompi_info): what a rank maps for short messages.
constexpr double kSharedBytesPerRank = 4 << 20;

// What the mpirun on PATH says first: "mpirun (Open MPI) 4.1.4".
std::string mpirun_version() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(
      ::popen("mpirun --version 2>/dev/null </dev/null", "r"), ::pclose);
  std::array<char, 256> line = {};
  if (!pipe || std::fgets(line.data(), line.size(), pipe.get()) == nullptr) return {};
  std::string text(line.data());
  return text.substr(0, text.find('\n'));
}

// "4.1.4" of either text.
std::string number_of(const std::string& text) {
  static const std::regex kNumber(R"(\d+(\.\d+)+)");
  std::smatch found;
  return std::regex_search(text, found, kNumber) ? found[0].str() : "";
}

Check mpi_check() {
  const Result<MpiJob> job = make_mpi_job(1, {});
  if (!job) return {"MPI", "optional", job.error().message, job.error().hint + "; " + kThreads};
  const std::string library = comm::mpi_library();
  const std::string starter = mpirun_version();
  const std::string found = fmt::format("{}; {}", library, starter.empty() ? "mpirun" : starter);
  if (number_of(library) != number_of(starter)) {
    return {"MPI", "missing", found,
            "mpirun on PATH is of another MPI than this program was built with, and would start "
            "each rank alone: put the right one first on PATH"};
  }
  return {"MPI", "ok", found, ""};
}

Check nccl_check() {
  const Result<int> devices = comm::num_nccl_devices();
  if (!devices) {
    const std::string library = comm::nccl_library();
    return {"NCCL", "optional",
            fmt::format("{}{}{}", library, library.empty() ? "" : "; ", devices.error().message),
            "only needed for train --transport nccl; " + devices.error().hint};
  }
  return {"NCCL", "ok",
          fmt::format("{}; {}, one for each rank", comm::nccl_library(), counted(*devices, "GPU")),
          ""};
}

Check ranks_check() {
  const int processors = ThreadPool::available_processors();
  std::string found = fmt::format("{} at full speed; more take turns on {}",
                                  counted(processors, "rank"), counted(processors, "processor"));
  if (::geteuid() == 0) found += "; as root, which mpirun is told to allow";
  return {"ranks", "ok", found, ""};
}

Check shared_memory_check() {
  constexpr const char* kFolder = "/dev/shm";
  const Result<std::uint64_t> free = posix_vfs().free_bytes(kFolder);
  if (!free) {
    return {"shared memory", "optional", free.error().message,
            "mount a tmpfs at /dev/shm: without it ranks talk through files or TCP"};
  }
  const double ranks = static_cast<double>(*free) / kSharedBytesPerRank;
  const bool low = ranks < 2;
  return {"shared memory", low ? "missing" : "ok",
          fmt::format("{} free in {}", format_bytes(static_cast<double>(*free)), kFolder),
          low ? "each rank needs 4 MiB: enlarge it (docker run --shm-size=1g)" : ""};
}

}  // namespace

std::vector<Check> engine_checks() {
  return {mpi_check(), nccl_check(), ranks_check(), shared_memory_check()};
}

}  // namespace tera::app
