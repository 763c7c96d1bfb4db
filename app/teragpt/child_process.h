// A program that this one starts and waits for, and that does not outlive it.
#pragma once
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

// In a session of its own, with all that it starts: Ctrl-C of a terminal is for this program, which
// tells the child. When the thread that calls this ends, however it does, the child is asked to
// end, by SIGTERM.
Result<pid_t> start_child(const ChildCommand& command);

// Whether it runs no more; end_child() tells how it ended.
bool has_ended(pid_t child);

// Asks the child to end where it still runs, and waits for it and all of its session: mpirun ends
// its ranks first, those that are stopped as well. Who is there after seconds, stopped or deaf, is
// killed. Returns its exit code, or 128 + signal. Once.
int end_child(pid_t child);

}  // namespace tera::app
