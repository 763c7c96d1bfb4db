// Readings of this host: processor, memory, power where the system lets us read it. A reading that is
// not available is absent, never zero.
#pragma once
#include <cstdint>
#include <optional>

namespace tera::run {

struct HostReading {
  std::optional<double> cpu_utilization;      // 0..1 of all processors, since the last reading
  std::optional<double> process_cpu;          // processors used by this process, since the last reading
  std::optional<std::int64_t> process_bytes;  // resident memory of this process
  std::optional<std::int64_t> used_bytes;     // host memory in use
  std::optional<std::int64_t> total_bytes;
  std::optional<double> power_w;              // RAPL packages, since the last reading
};

class HostTelemetry {
 public:
  HostTelemetry();
  HostReading read();

 private:
  double last_time_s_ = 0, last_busy_s_ = 0, last_total_s_ = 0, last_process_s_ = 0;
  double last_energy_j_ = -1;
};

}  // namespace tera::run
