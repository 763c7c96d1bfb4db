// Launcher: turns a run directory into processes. What render shows is byte for byte what start
// runs.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/run/run_directory.h"

namespace tera::launch {

struct LaunchScript {
  std::vector<std::string> argv;  // program first, absolute
  // Added to an allow-list of the caller's (inherited_variables).
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::pair<std::string, std::string>> files;  // path in the run directory, text
  int attempt = 0;
  std::string log;   // file that receives stdout and stderr
  std::string hash;  // SHA-256 of argv, environment and files; the same for every
                     // run directory, whose path counts as "{run}"
  // Environment and argv as one line that a shell reads: what every view shows, and what is copied.
  std::string command_line() const;
};

// Stands for the id of a run that is only planned, in what is shown before it exists.
inline constexpr const char* kPlannedRunId = "RUN-ID";

struct LaunchOptions {
  std::string program;  // path of teragpt; empty = beside this program, else on PATH
  bool resume = false;
  std::string spec_text = {};  // of a run that is only planned; empty reads its spec.yaml
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  // Changes nothing: reads the spec and the attempts there are.
  virtual Result<LaunchScript> render(const run::RunDirectory& dir,
                                      const LaunchOptions& options) const = 0;
  // Starts it detached from the caller: it survives the caller's exit and leaves no zombie. Refuses
  // while another process trains the run or is about to, and when the script is no longer what
  // render would show. Returns the pid.
  virtual Result<std::int64_t> start(const run::RunDirectory& dir, const LaunchScript& script) = 0;
  // Asks the run to write a checkpoint and leave (SIGTERM, once however often it is called), and
  // waits a bounded time for it; force kills, when the checkpoint is hopeless.
  virtual Result<void> stop(const run::RunDirectory& dir, bool force) = 0;
};

struct LocalOptions {
  double stop_wait_s = 60;  // until stop reports that the run has not left yet
};
std::unique_ptr<Launcher> make_local_launcher(const LocalOptions& options = {});

// Names of variables a run inherits from its launcher; a trailing '*' stands for any ending.
const std::vector<std::string>& inherited_variables();
// A word as a POSIX shell reads it back.
std::string shell_quote(const std::string& word);

}  // namespace tera::launch
