// Well-known runs, planned beside what their papers report. Figures for
// resources/guide/known_runs.md.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/plan/estimate.h"

namespace tera::plan {

enum class Reported : std::uint8_t {
  params,                // of the model
  step_s,                // of one optimizer step
  hardware_flops_per_s,  // of a device, as Narayanan et al. 2021 count: recomputation included
  utilization,           // model FLOPs over peak
  run_hours,             // wall clock of the run
  device_hours,          // of the run
  device_hours_per_t     // for each trillion tokens
};

struct KnownRun {
  std::string_view name;
  std::string_view run;               // preset
  std::vector<std::string> settings;  // "path=value" where the preset is not as published
  Reported what = Reported::step_s;
  double published = 0;
  std::string_view source;
};
std::span<const KnownRun> known_runs();

// The preset with its settings. Errors: those of presets and settings.
Result<spec::RunSpec> known_spec(const KnownRun& run);
// The figure as planned.
double predicted(const KnownRun& run, const spec::RunSpec& spec, const Estimate& estimate);

// What the notes of the page refer to.
struct KnownNotes {
  double neox_hours = 0;  // all steps of GPT-NeoX-20B at its published FLOP/s
  double deepseek_recomputed =
      0;                      // DeepSeek-V3, whole layers recomputed: predicted / published - 1
  double infinity_bytes = 0;  // ZeRO-Infinity: of a device, and how many it has
  double infinity_capacity_bytes = 0;
  double infinity_gathered_bytes = 0;  // of them weights of whole layers, gathered
};
Result<KnownNotes> known_notes();

}  // namespace tera::plan
