// What the operating system says about this computer, as a cluster of one node with one device.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/spec/presets.h"

namespace tera::spec {

// The part of /proc/cpuinfo that an estimate of the peak needs.
struct ProcessorInfo {
  std::string name;                // "AMD EPYC 9654"
  int num_cores = 1;               // distinct physical cores among the processors
  int num_processors = 1;          // hardware threads
  double clock_hz = 0;             // highest reported; 0 = not reported
  double f32_flops_per_cycle = 4;  // of one core, fused multiply-adds counted as two
  double bf16_flops_per_cycle = 4;
  std::string simd;  // "AVX-512 with bf16": what the two figures come from
};
ProcessorInfo parse_cpuinfo(std::string_view cpuinfo);
ProcessorInfo this_processor();

// Fills the device of the preset: measured figures from the device profile if there is one for this
// processor, else estimates; then what own runs refine of them. The sources say which. Never fails:
// what cannot be read stays as given, with a note.
void describe_this_machine(ClusterPreset& preset);

// Where the device profile is kept: $XDG_CACHE_HOME/teragpt/device.yaml, else under ~/.cache; empty
// when neither is known.
std::filesystem::path device_profile_path();

// The same with the texts given instead of read: profile and own_runs are empty when there are
// none.
struct MachineTexts {
  std::string cpuinfo;
  std::string meminfo;
  std::string profile;
  std::string own_runs = {};
  int available_processors = 0;  // that this process may use; 0 = all
};
void describe_machine(const MachineTexts& texts, ClusterPreset& preset);

}  // namespace tera::spec
