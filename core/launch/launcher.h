// Launcher: turns a run directory into processes. What render shows is byte for byte what start runs.
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
  std::vector<std::string> argv;                             // program first, absolute
  std::vector<std::pair<std::string, std::string>> environment;  // added to an allow-list of the caller's
  std::vector<std::pair<std::string, std::string>> files;    // path in the run directory, text
  std::string hash;                                          // SHA-256 of all of the above
  std::string command_line() const;                          // argv quoted for a shell, to show and copy
};

struct LaunchOptions {
  std::string program;  // path of teragpt; empty = beside this program, else on PATH
  bool resume = false;
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  virtual Result<LaunchScript> render(const run::RunDirectory& dir, const LaunchOptions& options) const = 0;  // pure
  // Starts it detached from the caller: it survives the caller's exit. Refuses when the run's lock is held.
  virtual Result<std::int64_t> start(const run::RunDirectory& dir, const LaunchScript& script) = 0;  // pid
  // Asks the run to write a checkpoint and leave (SIGTERM); force kills after the checkpoint is hopeless.
  virtual Result<void> stop(const run::RunDirectory& dir, bool force) = 0;
};

std::unique_ptr<Launcher> make_local_launcher();

}  // namespace tera::launch
