// A job of Open MPI's mpirun, seen from outside.
#pragma once
#include <array>
#include <cstdio>
#include <string>

#include <sys/wait.h>

#include "core/base/clock.h"

namespace tera::test {

struct JobEnd {
  int exit_code = 0;
  std::string output;  // of all processes, and of mpirun
  double seconds = 0;

  std::size_t count(const std::string& text) const {
    std::size_t found = 0;
    for (auto at = output.find(text); at != std::string::npos; at = output.find(text, at + 1))
      ++found;
    return found;
  }
};

// processes: the words of a shell that say how many there are and what they run.
inline JobEnd run_mpi_job(const std::string& processes) {
  const std::string command =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 " TERA_MPIEXEC
      " --oversubscribe --bind-to none " +
      processes + " 2>&1 </dev/null";
  JobEnd end;
  const double begin_s = monotonic_s();
  std::FILE* pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (std::fgets(buffer.data(), static_cast<int>(buffer.size()), pipe) != nullptr)
    end.output += buffer.data();
  const int status = ::pclose(pipe);
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  end.seconds = monotonic_s() - begin_s;
  return end;
}

}  // namespace tera::test
