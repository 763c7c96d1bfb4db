// Starting a process that belongs to nobody, and signalling one that is known for sure.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/run/process.h"

namespace tera::launch {

struct DetachedCommand {
  std::vector<std::string> argv;         // program first, absolute
  std::vector<std::string> environment;  // "NAME=value", nothing else is inherited
  std::filesystem::path working_dir;
  std::filesystem::path log;  // appended to by stdout and stderr; created when it is missing
};

// Starts it in a session of its own with stdin from /dev/null, default signals and no descriptor of
// the caller. It is a child of init, so it outlives the caller and becomes no zombie of it. An
// error of exec comes back as an Error.
Result<run::ProcessId> start_detached(const DetachedCommand& command);

// Sends a signal to exactly this process; error failed when it is gone.
Result<void> send_signal(const run::ProcessId& process, int signal_number);

}  // namespace tera::launch
