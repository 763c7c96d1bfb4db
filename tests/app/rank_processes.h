// The processes that a teragpt of several ranks starts: mpirun and the ranks.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <gtest/gtest.h>

#include "core/base/clock.h"

namespace tera::test {

class RankProcesses {
 public:
  // Of jobs whose commands or environments name `folder`.
  explicit RankProcesses(std::string folder) : folder_(std::move(folder)) {}

  // In the order of their start: mpirun first.
  std::vector<pid_t> all() const {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const pid_t pid = std::atoi(entry.path().filename().c_str());
      const std::string command = pid > 0 ? file_of(pid, "cmdline") : "";
      if (command.find("--rank-of-mpi-job") == std::string::npos) continue;
      if ((command + file_of(pid, "environ")).find(folder_) != std::string::npos)
        found.push_back(pid);
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  pid_t process_of(int rank) const {
    const std::string variable = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank) + '\0';
    for (const pid_t pid : all()) {
      if (file_of(pid, "environ").find(variable) != std::string::npos) return pid;
    }
    throw std::runtime_error("rank " + std::to_string(rank) + " is not there");
  }
  void expect_none_left(double within_s = 5) const {
    const double begin_s = monotonic_s();
    while (!all().empty() && monotonic_s() - begin_s < within_s)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    for (const pid_t pid : all())
      ADD_FAILURE() << pid << " is left: " << file_of(pid, "cmdline");
  }

 private:
  static std::string file_of(pid_t pid, const std::string& name) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const std::string folder_;
};

}  // namespace tera::test
