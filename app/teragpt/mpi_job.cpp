#include "app/teragpt/mpi_job.h"

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include <unistd.h>

#include <fmt/format.h>

#include "core/base/thread_pool.h"
#include "core/comm/mpi.h"
#include "core/launch/hostfile.h"
#include "core/run/run_directory.h"

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

// Several ranks to a processor, if need be.
void stay_here(int num_ranks, MpiJob& job) {
  if (num_ranks <= ThreadPool::available_processors()) return;
  job.argv.emplace_back("--oversubscribe");
  job.reasons.push_back(fmt::format("--oversubscribe: {} ranks share {} processors", num_ranks,
                                    ThreadPool::available_processors()));
}

Result<void> go_to(const std::string& hostfile, int num_ranks, MpiJob& job) {
  TERA_TRY(const std::vector<launch::HostSlots> hosts,
           launch::read_hostfile(posix_vfs(), hostfile));
  if (launch::total_slots(hosts) < num_ranks) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: its computers take {} ranks, the job has {}", hostfile,
                            launch::total_slots(hosts), num_ranks),
                "name more computers, or raise slots");
  }
  job.argv.insert(job.argv.end(), {"--hostfile", hostfile, "-x", run::kAttemptVariable});
  job.reasons.push_back(fmt::format("-x {}: other computers get no variable that is not named",
                                    run::kAttemptVariable));
  for (const auto& [name, value] :
       {std::pair{"plm_rsh_no_tree_spawn", "1"}, std::pair{"oob_tcp_keepalive_time", "5"},
        std::pair{"oob_tcp_keepalive_intvl", "2"}, std::pair{"oob_tcp_keepalive_probes", "3"}})
    job.argv.insert(job.argv.end(), {"--mca", name, value});
  job.reasons.emplace_back("plm_rsh_no_tree_spawn: this computer alone needs keys to the others");
  job.reasons.emplace_back(
      "oob_tcp_keepalive: a computer that is gone ends the job after 11 s, not never");
  return {};
}

}  // namespace

std::string MpiJob::command() const {
  std::string text;
  for (const auto& [name, value] : environment)
    text += fmt::format("{}={} ", name, value);
  return text + fmt::format("{}", fmt::join(argv, " "));
}

Result<MpiJob> make_mpi_job(int num_ranks,
                            const std::vector<std::string>& arguments,
                            const std::string& hostfile) {
  if (!comm::has_mpi()) return fail(ErrorCode::unsupported, "this build has no MPI", kHint);
  if (!on_path("mpirun")) return fail(ErrorCode::not_found, "mpirun is not on PATH", kHint);
  std::error_code failed;
  const fs::path self = fs::read_symlink("/proc/self/exe", failed);
  if (failed) return fail(ErrorCode::io, "cannot tell where this program is: no /proc/self/exe");

  MpiJob job;
  // Bound to one processor each, as they come, ranks could not use threads of their own.
  job.argv = {"mpirun", "--bind-to", "none"};
  job.reasons.push_back("--bind-to none: each rank has threads of its own");
  if (hostfile.empty()) {
    stay_here(num_ranks, job);
  } else {
    TERA_TRY_VOID(go_to(hostfile, num_ranks, job));
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
