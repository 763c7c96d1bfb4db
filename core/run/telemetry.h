// Readings of this host: processor, memory, power where the system lets us read it. A reading that
// is not available is absent, never zero.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace tera::run {

struct HostReading {
  std::optional<double> cpu_utilization;  // 0..1 of all processors, since the last reading
  std::optional<double> process_cpu;      // processors used by this process, since the last reading
  std::optional<std::int64_t> process_bytes;  // resident memory of this process
  std::optional<std::int64_t> used_bytes;     // host memory in use
  std::optional<std::int64_t> total_bytes;
  std::optional<double> power_w;  // RAPL packages, since the last reading
};

class HostTelemetry {
 public:
  // Reads below root: "/" on a real host.
  explicit HostTelemetry(std::filesystem::path root = "/");
  // Rates are absent in the first reading.
  HostReading read();

 private:
  struct Processors {
    double busy = 0, total = 0;  // clock ticks of all processors since boot
  };
  std::optional<Processors> read_processors() const;
  std::optional<double> read_process_s() const;
  // Energy counters of the packages by name, in joules, and where each wraps.
  struct Energy {
    double joules = 0, range_joules = 0;
  };
  std::map<std::string, Energy> read_energy() const;
  void read_memory(HostReading& reading) const;

  std::filesystem::path root_;
  double last_time_s_ = 0;
  std::optional<Processors> last_processors_;
  std::optional<double> last_process_s_;
  std::map<std::string, Energy> last_energy_;
};

}  // namespace tera::run
