#include "core/run/telemetry.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include <unistd.h>

#include "core/base/clock.h"

namespace tera::run {
namespace {

namespace fs = std::filesystem;

template <class T>
std::optional<T> read_one(const fs::path& path) {
  std::ifstream file(path);
  T value{};
  if (!(file >> value)) return std::nullopt;
  return value;
}

}  // namespace

HostTelemetry::HostTelemetry(fs::path root) : root_(std::move(root)) {}

HostReading HostTelemetry::read() {
  HostReading reading;
  const double now_s = monotonic_s();
  const double elapsed_s = now_s - last_time_s_;

  const std::optional<Processors> processors = read_processors();
  if (processors && last_processors_ && processors->total > last_processors_->total) {
    reading.cpu_utilization = std::clamp(
        (processors->busy - last_processors_->busy) / (processors->total - last_processors_->total),
        0.0, 1.0);
  }
  last_processors_ = processors;

  const std::optional<double> process_s = read_process_s();
  if (process_s && last_process_s_ && elapsed_s > 0) {
    reading.process_cpu = std::max(0.0, *process_s - *last_process_s_) / elapsed_s;
  }
  last_process_s_ = process_s;

  const std::map<std::string, Energy> energy = read_energy();
  double joules = 0;
  bool complete = !energy.empty();
  for (const auto& [name, now] : energy) {
    const auto last = last_energy_.find(name);
    if (last == last_energy_.end()) {
      complete = false;
      break;
    }
    const double used = now.joules - last->second.joules;
    joules += used >= 0 ? used : used + now.range_joules;  // the counter wrapped once
  }
  if (complete && elapsed_s > 0) reading.power_w = joules / elapsed_s;
  last_energy_ = energy;

  read_memory(reading);
  last_time_s_ = now_s;
  return reading;
}

std::optional<HostTelemetry::Processors> HostTelemetry::read_processors() const {
  std::ifstream file(root_ / "proc/stat");
  std::string label;
  if (!(file >> label) || label != "cpu") return std::nullopt;
  // user nice system idle iowait irq softirq steal; guest time is inside user already.
  std::vector<double> ticks;
  for (double value = 0; ticks.size() < 8 && file >> value;)
    ticks.push_back(value);
  if (ticks.size() < 8) return std::nullopt;
  Processors processors;
  for (const double value : ticks)
    processors.total += value;
  processors.busy = processors.total - ticks[3] - ticks[4];
  return processors;
}

std::optional<double> HostTelemetry::read_process_s() const {
  std::ifstream file(root_ / "proc/self/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field)  // proc(5): utime and stime are fields 14 and 15
    fields >> skipped;
  double user = 0;
  double system = 0;
  if (!(fields >> user >> system)) return std::nullopt;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::map<std::string, HostTelemetry::Energy> HostTelemetry::read_energy() const {
  std::map<std::string, Energy> energy;
  constexpr double kMicro = 1e-6;
  std::error_code error;
  fs::directory_iterator zone(root_ / "sys/class/powercap", error);
  for (; !error && zone != fs::directory_iterator(); zone.increment(error)) {
    // intel-rapl:N is a package; its parts intel-rapl:N:M are inside it.
    const std::string name = zone->path().filename().string();
    if (!name.starts_with("intel-rapl:") || std::count(name.begin(), name.end(), ':') != 1)
      continue;
    const auto now = read_one<double>(zone->path() / "energy_uj");
    const auto range = read_one<double>(zone->path() / "max_energy_range_uj");
    if (now && range) energy[name] = {*now * kMicro, *range * kMicro};
  }
  return energy;
}

void HostTelemetry::read_memory(HostReading& reading) const {
  constexpr std::int64_t kKibibyte = 1024;
  std::ifstream file(root_ / "proc/meminfo");
  std::optional<std::int64_t> available;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string label;
    std::int64_t kibibytes = 0;
    if (!(words >> label >> kibibytes)) continue;
    if (label == "MemTotal:") reading.total_bytes = kibibytes * kKibibyte;
    if (label == "MemAvailable:") available = kibibytes * kKibibyte;
  }
  if (reading.total_bytes && available) reading.used_bytes = *reading.total_bytes - *available;

  std::ifstream statm(root_ / "proc/self/statm");
  std::int64_t size_pages = 0;
  std::int64_t resident_pages = 0;
  if (statm >> size_pages >> resident_pages) {
    reading.process_bytes = resident_pages * std::int64_t{sysconf(_SC_PAGESIZE)};
  }
}

}  // namespace tera::run
