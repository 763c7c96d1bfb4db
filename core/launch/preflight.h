// Preflight: what must hold before a run starts on this machine, every point at once, each with
// what was found. Reads files and the machine and changes nothing; token files are opened as
// training opens them, so it may take a second and belongs on a worker thread.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/run/run_directory.h"
#include "core/spec/run_spec.h"

namespace tera::launch {

enum class CheckState : std::uint8_t {
  ok,
  warning,  // it can start, and somebody should know
  failed    // it would end at once, or cannot start
};
std::string_view check_state_name(CheckState state);

struct Check {
  CheckState state = CheckState::ok;
  std::string name;  // "memory"
  std::string
      detail;  // a sentence of its own: "training needs 1.2 GiB of memory, 7.1 GiB are free"
  std::string hint = {};
  ErrorCode code = ErrorCode::failed;  // of a failed check: whose fault it is
};

// spec: one check per error, of the spec or of what this build's engine lacks. Then data, memory
// (or, with a hostfile, the computers it names), disk and other runs. `dir` is the run to start:
// one that exists, or where it would be made. num_local_ranks: of the ranks, those on this machine,
// whose memory is looked at; 0: all.
std::vector<Check> preflight(const spec::RunSpec& spec,
                             const run::RunDirectory& dir,
                             const std::string& hostfile = {},
                             int num_local_ranks = 0);
// The program that a launcher would start: the path given, or the one it finds.
Check check_program(const std::string& given);

// What all ranks of the spec keep, in bytes, and what nobody uses on this machine, where known.
double needed_memory_bytes(const spec::RunSpec& spec);
std::optional<double> free_memory_bytes();

// Whether nothing has failed.
bool can_start(const std::vector<Check>& checks);

}  // namespace tera::launch
