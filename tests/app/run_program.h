// Runs the built teragpt and returns what it printed.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace tera::test {

struct ProgramResult {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string out;
  std::string err;
};

// Waits at most timeout_s, then kills it (exit_code 137). `input` is its standard input.
ProgramResult run_teragpt(const std::vector<std::string>& arguments,
                          const std::string& input = {},
                          double timeout_s = 120);

// A teragpt that goes on while the test does something to it; killed when the test forgets it. Its
// standard output is a pipe that holds 4 KiB, so that it is never far ahead of its reader, or a
// terminal of its own, which takes all three streams. A closed pipe kills it unless it says
// otherwise, whatever the test itself does about SIGPIPE.
class RunningTeragpt {
 public:
  enum class Output { pipe, terminal };
  RunningTeragpt(const std::vector<std::string>& arguments, Output output);
  ~RunningTeragpt();
  RunningTeragpt(const RunningTeragpt&) = delete;
  RunningTeragpt& operator=(const RunningTeragpt&) = delete;

  // The next line without its end; nothing when none came in time or none will come.
  std::optional<std::string> read_line(double timeout_s = 60);
  // The reader leaves, or the terminal closes.
  void close_output();
  void send(int signal_number) const;
  // Exit code, or 128 + signal. Kills it after timeout_s.
  int wait(double timeout_s = 60);

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  std::string unread_;
};

}  // namespace tera::test
