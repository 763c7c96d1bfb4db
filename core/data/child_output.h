// Runs a program and reads what it prints: no shell, no input, bounded in bytes and time.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/result.h"

namespace tera::data {

// argv[0] is an absolute path. Errors: cannot start, exit status other than 0, more than max_bytes,
// or still running after timeout_s (it is then killed).
Result<std::string> child_output(const std::vector<std::string>& argv,
                                 std::size_t max_bytes,
                                 double timeout_s);

}  // namespace tera::data
