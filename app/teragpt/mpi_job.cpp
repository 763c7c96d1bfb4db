#include "app/teragpt/mpi_job.h"

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include <unistd.h>

#include <fmt/format.h>

#include "core/base/thread_pool.h"
#include "core/comm/mpi.h"

namespace tera::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHint = "install libopenmpi-dev and openmpi-bin and build again";

bool on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (::access((fs::path(folder) / program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

}  // namespace

std::string MpiJob::command() const {
  std::string text;
  for (const auto& [name, value] : environment)
    text += fmt::format("{}={} ", name, value);
  return text + fmt::format("{}", fmt::join(argv, " "));
}

Result<MpiJob> local_mpi_job(int num_ranks, const std::vector<std::string>& arguments) {
  if (!comm::has_mpi()) return fail(ErrorCode::unsupported, "this build has no MPI", kHint);
  if (!on_path("mpirun")) return fail(ErrorCode::not_found, "mpirun is not on PATH", kHint);
  std::error_code failed;
  const fs::path self = fs::read_symlink("/proc/self/exe", failed);
  if (failed) return fail(ErrorCode::io, "cannot tell where this program is: no /proc/self/exe");

  MpiJob job;
  // Bound to one processor each, as they come, ranks could not use threads of their own.
  job.argv = {"mpirun", "--bind-to", "none"};
  job.reasons.push_back("--bind-to none: each rank has threads of its own");
  if (num_ranks > ThreadPool::available_processors()) {
    job.argv.push_back("--oversubscribe");
    job.reasons.push_back(fmt::format("--oversubscribe: {} ranks share {} processors", num_ranks,
                                      ThreadPool::available_processors()));
  }
  if (::geteuid() == 0) {
    job.environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}};
    job.reasons.push_back("OMPI_ALLOW_RUN_AS_ROOT: Open MPI wants to be told twice that root may");
  }
  job.argv.insert(job.argv.end(), {"-n", std::to_string(num_ranks), self.string()});
  job.argv.insert(job.argv.end(), arguments.begin(), arguments.end());
  return job;
}

}  // namespace tera::app
