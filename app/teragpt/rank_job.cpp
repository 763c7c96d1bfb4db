#include "app/teragpt/rank_job.h"

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "app/teragpt/cli.h"

namespace tera::app {
namespace {

// What a forked child may do before it becomes another program is little: all is made ready here.
struct ReadyProgram {
  explicit ReadyProgram(const MpiJob& job) : arguments(job.argv) {
    for (const auto& [name, value] : job.environment)
      variables.push_back(name + "=" + value);
    for (std::string& argument : arguments)
      argv.push_back(argument.data());
    argv.push_back(nullptr);
  }
  std::vector<std::string> arguments;
  std::vector<std::string> variables;
  std::vector<char*> argv;
};

[[noreturn]] void become(ReadyProgram& program, int log) {
  // Ctrl-C is for this program, which tells the ranks; and without it the job has no owner.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);  // the terminal is not read in the background
  dup2(log, STDERR_FILENO);
  for (std::string& variable : program.variables)
    putenv(variable.data());
  execvp(program.argv.front(), program.argv.data());
  _exit(127);
}

}  // namespace

Result<int> run_rank_job(const MpiJob& job,
                         const std::filesystem::path& log,
                         const std::function<bool()>& listens) {
  const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) {
    return fail(ErrorCode::io,
                fmt::format("cannot write {}: {}", log.string(), std::strerror(errno)));
  }
  ReadyProgram program(job);
  const pid_t child = fork();
  if (child == 0) become(program, file);
  close(file);
  if (child < 0)
    return fail(ErrorCode::io,
                fmt::format("cannot start {}: {}", job.argv.front(), std::strerror(errno)));
  bool told = false;
  for (;;) {
    int status = 0;
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (stop_requests().load() > 0 && !told && listens()) {
      kill(child, SIGUSR1);  // mpirun hands it on to every rank
      told = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

int num_local_ranks(int world_size) {
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE"}) {
    const char* value = std::getenv(name);
    if (value == nullptr) continue;
    const std::string_view text(value);
    int count = 0;
    std::from_chars(text.data(), text.data() + text.size(), count);
    if (count > 0) return count;
  }
  return world_size;
}

}  // namespace tera::app
