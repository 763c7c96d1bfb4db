#include "core/spec/this_machine.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <utility>

#include <sched.h>

#include <fmt/format.h>

#include "core/base/vfs.h"
#include "core/spec/own_runs.h"
#include "core/spec/yaml_decode.h"

namespace tera::spec {
namespace {

namespace fs = std::filesystem;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// "key : value" -> value; false when the line has another key.
bool value_of(std::string_view line, std::string_view key, std::string_view& value) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || trimmed(line.substr(0, colon)) != key) return false;
  value = trimmed(line.substr(colon + 1));
  return true;
}

double number_in(std::string_view text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value > 0 ? value : 0;
}

// Flops of one core and cycle from its vector units. Two fused multiply-add pipes on every AVX2
// core; AVX-512 doubles the width, except on AMD family 25 (Zen 4), which runs it in two halves.
void set_rates(const std::set<std::string>& flags, bool half_width_avx512, ProcessorInfo& info) {
  const auto has = [&flags](const char* flag) { return flags.count(flag) > 0; };
  if (has("avx512f")) {
    info.f32_flops_per_cycle = half_width_avx512 ? 32 : 64;
    info.simd = half_width_avx512 ? "AVX-512 in two halves" : "AVX-512";
  } else if (has("avx2") && has("fma")) {
    info.f32_flops_per_cycle = 32;
    info.simd = "AVX2 with FMA";
  } else if (has("avx")) {
    info.f32_flops_per_cycle = 16;
    info.simd = "AVX";
  } else if (has("asimd") || has("neon")) {
    info.f32_flops_per_cycle = 16;
    info.simd = "NEON";
  } else {
    info.f32_flops_per_cycle = 8;
    info.simd = "SSE";
  }
  info.bf16_flops_per_cycle = info.f32_flops_per_cycle;
  if (has("avx512_bf16")) {
    info.bf16_flops_per_cycle *= 2;
    info.simd += " with bf16 dot products";
  }
}

struct DeviceProfile {
  std::string measured_on;
  std::string processor;
  DeviceSpec device;
};

// Keys of the profile that are measurements: they replace the estimates where they are given.
struct ProfileResult {
  DeviceProfile profile;
  std::set<std::string> given;  // device fields
  std::string problem;          // why it cannot be used
};

ProfileResult read_profile(const std::string& text, const DeviceSpec& start) {
  ProfileResult result;
  result.profile.device = start;
  const YamlTree tree = parse_yaml_tree(text, {});
  YamlDecoder decoder;
  decoder.extra_keys[""] = {"measured_on", "processor"};
  if (tree.ok()) decoder.read_section(tree.root, {}, result.profile.device);
  if (!tree.ok() || has_errors(decoder.diagnostics)) {
    const Diagnostic& first = tree.ok() ? decoder.diagnostics.front() : tree.diagnostics.front();
    result.problem = fmt::format("line {}: {}{}{}", first.line, first.field,
                                 first.field.empty() ? "" : ": ", first.message);
    return result;
  }
  for (const auto& [path, position] : decoder.positions)
    result.given.insert(path);
  if (const YamlEntry* entry = tree.root.find("measured_on")) {
    result.profile.measured_on = entry->value.text;
  }
  if (const YamlEntry* entry = tree.root.find("processor")) {
    result.profile.processor = entry->value.text;
  }
  return result;
}

void estimate_device(const ProcessorInfo& info, int cores, ClusterPreset& preset) {
  DeviceSpec& device = preset.cluster.device;
  constexpr double kAssumedClockHz = 2.5e9;
  const double clock_hz = info.clock_hz > 0 ? info.clock_hz : kAssumedClockHz;
  const auto peak_source = [&](double per_cycle) {
    return fmt::format(
        "estimate: {} cores x {:.2f} GHz x {:.0f} flop per cycle ({}); `teragpt bench device` "
        "measures it",
        cores, clock_hz * 1e-9, per_cycle, info.simd);
  };
  device.peak_flops_per_s_f32 = cores * clock_hz * info.f32_flops_per_cycle;
  device.peak_flops_per_s_bf16 = cores * clock_hz * info.bf16_flops_per_cycle;
  preset.sources["device.peak_flops_per_s_f32"] = peak_source(info.f32_flops_per_cycle);
  preset.sources["device.peak_flops_per_s_bf16"] = peak_source(info.bf16_flops_per_cycle);
  // One core draws about 20 GB/s; a socket's memory is busy at about ten such cores.
  constexpr double kBytesPerCore = 20e9;
  constexpr int kCoresThatFillMemory = 10;
  device.memory_bytes_per_s = kBytesPerCore * std::min(cores, kCoresThatFillMemory);
  preset.sources["device.memory_bytes_per_s"] = fmt::format(
      "estimate: 20 GB/s per core, at most {} cores' worth; `teragpt bench device` measures it",
      kCoresThatFillMemory);
}

void use_profile(const std::string& text, const std::string& processor, ClusterPreset& preset) {
  DeviceSpec& device = preset.cluster.device;
  const ProfileResult measured = read_profile(text, device);
  const auto ignore = [&preset](std::string message) {
    preset.notes.push_back({.severity = Severity::note,
                            .field = "cluster.preset",
                            .message = std::move(message),
                            .hint = "run `teragpt bench device` to measure this machine"});
  };
  if (!measured.problem.empty()) {
    ignore("the measured device profile is not readable and was ignored: " + measured.problem);
  } else if (measured.profile.processor != processor) {
    ignore(fmt::format("the measured device profile was ignored: it is of '{}', this is '{}'",
                       measured.profile.processor, processor));
  } else {
    device = measured.profile.device;
    device.is_cpu = true;
    for (const std::string& field : measured.given) {
      preset.sources["device." + field] =
          fmt::format("measured by `teragpt bench device` on {}", measured.profile.measured_on);
    }
  }
}

void note_own_runs(std::string message, ClusterPreset& preset) {
  preset.notes.push_back({.severity = Severity::note,
                          .field = "cluster.preset",
                          .message = std::move(message),
                          .hint = "`teragpt bench runs` shows them, `--clear` forgets them"});
}

void use_own_runs(const OwnRuns& known, ClusterPreset& preset) {
  if (known.num_bad_lines > 0) {
    note_own_runs(
        fmt::format("of own runs, {} passed over; {}",
                    known.num_bad_lines == 1 ? std::string("a line was")
                                             : fmt::format("{} lines were", known.num_bad_lines),
                    known.problem),
        preset);
  }
  preset.own_runs = fit_own_runs(known.runs, preset.figures);
  if (preset.own_runs.num_runs == 0) return;
  for (const std::string& field : slow_down(preset.cluster, preset.own_runs.factor)) {
    std::string& source = preset.sources[field];
    source = fmt::format("measured in {}; before them: {}", describe(preset.own_runs), source);
  }
}

std::string file_text(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int processors_of_this_process() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
}

}  // namespace

ProcessorInfo parse_cpuinfo(std::string_view cpuinfo) {
  ProcessorInfo info;
  std::set<std::pair<std::string, std::string>> cores;  // physical id, core id
  std::set<std::string> flags;
  std::string physical = "0";
  int processors = 0;
  bool amd_family_25 = false;
  std::istringstream lines{std::string(cpuinfo)};
  for (std::string line; std::getline(lines, line);) {
    std::string_view value;
    if (value_of(line, "processor", value)) {
      ++processors;
      physical = "0";
    } else if (value_of(line, "model name", value) && info.name.empty()) {
      info.name = value;
    } else if (value_of(line, "cpu MHz", value)) {
      info.clock_hz = std::max(info.clock_hz, number_in(value) * 1e6);
    } else if (value_of(line, "physical id", value)) {
      physical = value;
    } else if (value_of(line, "core id", value)) {
      cores.insert({physical, std::string(value)});
    } else if (value_of(line, "cpu family", value)) {
      amd_family_25 = value == "25";
    } else if ((value_of(line, "flags", value) || value_of(line, "Features", value)) &&
               flags.empty()) {
      std::istringstream words{std::string(value)};
      for (std::string word; words >> word;)
        flags.insert(word);
    }
  }
  info.num_processors = std::max(1, processors);
  info.num_cores = cores.empty() ? info.num_processors : static_cast<int>(cores.size());
  set_rates(flags, amd_family_25, info);
  return info;
}

void describe_machine(const MachineTexts& texts, ClusterPreset& preset) {
  DeviceSpec& device = preset.cluster.device;
  const ProcessorInfo info = parse_cpuinfo(texts.cpuinfo);
  // A process that may use only some of the hardware threads has that share of the cores.
  int cores = info.num_cores;
  if (texts.available_processors > 0 && texts.available_processors < info.num_processors) {
    cores = std::max(1, std::min(cores, texts.available_processors));
  }
  const std::string processor = info.name.empty() ? "unknown processor" : info.name;
  device.is_cpu = true;
  device.name = fmt::format("{}, {} core{}", processor, cores, cores == 1 ? "" : "s");
  preset.sources["device.name"] = "/proc/cpuinfo, model name and distinct cores";
  std::istringstream memory(texts.meminfo);
  for (std::string line; std::getline(memory, line);) {
    std::string_view value;
    if (!value_of(line, "MemTotal", value)) continue;
    device.memory_bytes = number_in(value) * 1024;
    preset.sources["device.memory_bytes"] = "/proc/meminfo, MemTotal";
  }
  estimate_device(info, cores, preset);
  if (!texts.profile.empty()) use_profile(texts.profile, processor, preset);
  preset.figures = figures_key(device.name, texts.profile);
  preset.before_own_runs = preset.cluster;
  use_own_runs(parse_own_runs(texts.own_runs), preset);
}

std::filesystem::path device_profile_path() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return fs::path(cache) / "teragpt" / "device.yaml";
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return fs::path(home) / ".cache" / "teragpt" / "device.yaml";
  return {};
}

ProcessorInfo this_processor() {
  return parse_cpuinfo(file_text("/proc/cpuinfo"));
}

void describe_this_machine(ClusterPreset& preset) {
  MachineTexts texts{.cpuinfo = file_text("/proc/cpuinfo"),
                     .meminfo = file_text("/proc/meminfo"),
                     .profile = {},
                     .available_processors = processors_of_this_process()};
  const fs::path path = device_profile_path();
  std::error_code ignored;
  if (!path.empty() && fs::exists(path, ignored)) {
    constexpr std::uint64_t kMaxBytes = 64 << 10;
    texts.profile = read_text(posix_vfs(), path, kMaxBytes).value_or("");
  }
  Result<std::string> own_runs = read_own_runs_text(own_runs_path());
  if (!own_runs) note_own_runs("own runs were ignored: " + own_runs.error().message, preset);
  texts.own_runs = std::move(own_runs).value_or("");
  describe_machine(texts, preset);
}

}  // namespace tera::spec
