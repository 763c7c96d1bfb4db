// Preflight: what must hold before a run starts on this computer. Reads files and the machine, so
// it belongs on a worker thread; changes nothing that stays.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "core/plan/estimate.h"
#include "core/spec/run_spec.h"
#include "gui/models/preflight_model.h"

namespace tera::gui {

struct PreflightRequest {
  spec::RunSpec spec;   // data paths already absolute
  std::string program;  // path of teragpt; empty = not found
  std::filesystem::path runsRoot;
};

struct PreflightReport {
  std::vector<Check> checks;
  std::string command;  // the exact line a launcher would run; with the run id it would get
  double expected_s = 0, expected_usd = 0;
  bool canLaunch() const;
  bool allGreen() const;
};

PreflightReport runPreflight(const PreflightRequest& request);

// Stands for the id in the command that is shown before the run directory exists.
inline constexpr const char* kRunIdPlaceholder = "RUN-ID";

// Bytes of all checkpoints that will be kept.
double checkpointBytes(const spec::RunSpec& spec);

}  // namespace tera::gui
