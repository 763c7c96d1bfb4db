// Errors as values: what a user or a machine can cause. Contract violations and failures that end a
// run are exceptions (check.h).
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace tera {

enum class ErrorCode : std::uint8_t {
  invalid_input,  // a spec, file content or argument that a person can mend: exit code 2
  not_found,      // a path or name that does not exist: exit code 2
  io,             // the operating system refused: exit code 1
  corrupt,        // a checksum or structure that does not hold: exit code 1
  unsupported,    // legal, but not in this build or version: exit code 2
  failed,         // the answer is no: exit code 1
};

// message: what, got, expected, where. hint: what to do; may be empty.
struct Error {
  ErrorCode code = ErrorCode::failed;
  std::string message;
  std::string hint;
};

enum class Severity : std::uint8_t { note, warning, error };

// One finding of a validation; validation returns all of them, never only the first.
struct Diagnostic {
  Severity severity = Severity::error;
  std::string field;    // "layout.expert_parallel_size"
  std::string message;  // "6 does not divide model.num_experts = 64"
  std::string hint;     // "use 4 or 8"
  int line = 0;         // 1-based position in the YAML text; 0 = not from a text
  int column = 0;
  bool operator==(const Diagnostic&) const = default;
};

inline bool has_errors(const std::vector<Diagnostic>& diagnostics) {
  for (const Diagnostic& d : diagnostics) {
    if (d.severity == Severity::error) return true;
  }
  return false;
}

// A broken contract between parts of the program (TERA_CHECK).
class ContractError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// A group of ranks that can no longer talk to each other.
class CommunicationError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace tera
