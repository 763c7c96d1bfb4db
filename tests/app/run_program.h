// Runs the built teragpt and returns what it printed.
#pragma once
#include <string>
#include <vector>

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

}  // namespace tera::test
