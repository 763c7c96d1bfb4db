// A program that this one starts and waits for, and that does not outlive it.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "core/base/result.h"

namespace tera::app {

struct ChildCommand {
  std::vector<std::string> argv;                                 // the program is found on PATH
  std::vector<std::pair<std::string, std::string>> environment;  // beside that of this program
  // Descriptors for its streams; -1: nothing to read, and nobody who reads.
  int in = -1;
  int out = -1;
  int err = -1;
};

// In a process group of its own: Ctrl-C of a terminal is for this program, which tells the child.
// When the thread that calls this ends, however it does, the child is asked to end, by SIGTERM.
Result<pid_t> start_child(const ChildCommand& command);

// Its exit code, or 128 + signal; nothing as long as it runs. Once.
std::optional<int> child_end(pid_t child);

// Asks the child to end, and makes it when it does not within seconds. mpirun ends its ranks
// first, those that are stopped as well.
int end_child(pid_t child);

}  // namespace tera::app
