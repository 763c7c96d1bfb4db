// teragpt doctor: what this machine has and lacks for TeraGPT, and how to get each.
#include <filesystem>
#include <functional>
#include <set>

#include <dlfcn.h>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/doctor.h"
#include "core/base/resources.h"
#include "core/base/thread_pool.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/run/run_directory.h"
#include "core/run/telemetry.h"
#include "core/spec/presets.h"

namespace tera::app {
namespace {

namespace fs = std::filesystem;

Check processor_check() {
  const Result<spec::ClusterPreset> machine = spec::cluster_preset("this-machine");
  if (!machine) return {"processor", "missing", machine.error().message, machine.error().hint};
  const spec::DeviceSpec& device = machine->cluster.device;
  const auto source = machine->sources.find("device.peak_flops_per_s_f32");
  return {"processor", "ok",
          fmt::format("{}, {} threads, {} fp32, {} bf16 ({})", device.name,
                      ThreadPool::available_processors(),
                      format_rate(device.peak_flops_per_s_f32, "FLOP/s"),
                      format_rate(device.peak_flops_per_s_bf16, "FLOP/s"),
                      source == machine->sources.end() ? "" : source->second),
          "teragpt bench device measures it"};
}

Check memory_check() {
  run::HostTelemetry telemetry;
  const run::HostReading reading = telemetry.read();
  if (!reading.total_bytes || !reading.used_bytes)
    return {"memory", "optional", "not readable", "mount /proc"};
  return {"memory", "ok",
          fmt::format("{} in use of {}", format_bytes(static_cast<double>(*reading.used_bytes)),
                      format_bytes(static_cast<double>(*reading.total_bytes))),
          ""};
}

Check disk_check() {
  const fs::path root = run::default_runs_root();
  fs::path existing = root;
  while (!fs::exists(existing) && existing.has_parent_path() && existing != existing.parent_path())
    existing = existing.parent_path();
  const Result<std::uint64_t> free = posix_vfs().free_bytes(existing);
  if (!free)
    return {"run folder", "missing", free.error().message,
            "set TERA_RUNS to a folder that is writable"};
  constexpr double kLow = 1e9;
  const bool low = static_cast<double>(*free) < kLow;
  return {"run folder", low ? "missing" : "ok",
          fmt::format("{}, {} free", root.string(), format_bytes(static_cast<double>(*free))),
          low ? "free some space, or set TERA_RUNS to another disk" : ""};
}

Check resources_check() {
  const Result<fs::path> dir = resource_dir();
  if (!dir) return {"resources", "missing", dir.error().message, dir.error().hint};
  return {"resources", "ok", dir->string(), ""};
}

Check text_check() {
  std::string absent;
  for (const char* package : {"bible-kjv", "jargon-text", "dict-devil"}) {
    if (!fs::exists(fmt::format("/var/lib/dpkg/info/{}.list", package)))
      absent += fmt::format(" {}", package);
  }
  if (absent.empty()) return {"demo text", "ok", "bible-kjv, jargon-text, dict-devil", ""};
  return {"demo text", "optional", "not installed:" + absent, "apt-get install" + absent};
}

// Libraries that only parts to come use; loading one proves that it starts here.
Check library_check(const std::string& name, const char* library, const std::string& use) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) return {name, "optional", fmt::format("{} not found", library), use};
  dlclose(handle);
  return {name, "ok", library, ""};
}

void doctor(Cli& cli) {
  std::vector<Check> checks = {
      processor_check(),
      memory_check(),
      disk_check(),
      resources_check(),
      text_check(),
      library_check("NVIDIA driver", "libcuda.so.1", "only needed to train on a GPU"),
      library_check("NVML", "libnvidia-ml.so.1", "only needed to read a GPU's state"),
  };
  for (Check& check : engine_checks())
    checks.push_back(std::move(check));
  bool missing = false;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Check& check : checks) {
    missing = missing || check.status == "missing";
    rows.push_back({{"name", check.name},
                    {"status", check.status},
                    {"found", check.found},
                    {"hint", check.hint}});
    if (cli.json) continue;
    fmt::print("{:<9} {:<14} {}\n", check.status, check.name, check.found);
    if (check.status != "ok" && !check.hint.empty())
      fmt::print("{:<9} {:<14}   {}\n", "", "", check.hint);
  }
  if (cli.json) cli.print_json({{"schema", "teragpt.doctor/1"}, {"checks", rows}});
  if (missing) cli.exit_code = exit_no;
}

}  // namespace

void add_doctor_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand("doctor", "What this machine has and lacks, and how to get it");
  verb->footer("Example:\n  teragpt doctor --json");
  verb->callback([&cli] { doctor(cli); });
}

}  // namespace tera::app
