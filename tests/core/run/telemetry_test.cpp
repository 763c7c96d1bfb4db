#include "core/run/telemetry.h"

#include <chrono>
#include <thread>

#include <unistd.h>

#include "tests/core/run/temp_dir.h"

namespace tera::run {
namespace {

class Telemetry : public test::TempDirTest {
 protected:
  // user nice system idle iowait irq softirq steal guest guest_nice
  void processors(int user, int idle, int iowait) const {
    write("proc/stat", "cpu  " + std::to_string(user) + " 0 0 " + std::to_string(idle) + " " +
                           std::to_string(iowait) + " 0 0 0 0 0\ncpu0 1 2 3\n");
  }
  void energy(const std::string& zone, double microjoules) const {
    write("sys/class/powercap/" + zone + "/energy_uj",
          std::to_string(static_cast<long>(microjoules)));
    write("sys/class/powercap/" + zone + "/max_energy_range_uj", "1000000");
  }
};

TEST_F(Telemetry, WhatIsMissingIsAbsentNotZero) {
  HostTelemetry telemetry(dir_);
  for (int i = 0; i < 2; ++i) {
    const HostReading reading = telemetry.read();
    EXPECT_FALSE(reading.cpu_utilization || reading.process_cpu || reading.process_bytes ||
                 reading.used_bytes || reading.total_bytes || reading.power_w);
  }
}

TEST_F(Telemetry, UtilizationIsTheBusyShareBetweenReadings) {
  processors(100, 100, 0);
  HostTelemetry telemetry(dir_);
  EXPECT_FALSE(telemetry.read().cpu_utilization) << "one reading has no rate";
  processors(175, 115, 10);  // 75 busy, 15 idle, 10 waiting for the disk
  EXPECT_DOUBLE_EQ(*telemetry.read().cpu_utilization, 0.75);
  EXPECT_FALSE(telemetry.read().cpu_utilization) << "no time has passed";
  write("proc/stat", "cpu  1 2\n");
  EXPECT_FALSE(telemetry.read().cpu_utilization);
}

TEST_F(Telemetry, MemoryIsTotalLessAvailable) {
  write("proc/meminfo", "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    400 kB\n");
  write("proc/self/statm", "900 25 3 0 0 0 0\n");
  HostTelemetry telemetry(dir_);
  const HostReading reading = telemetry.read();
  EXPECT_EQ(*reading.total_bytes, 1000 * 1024);
  EXPECT_EQ(*reading.used_bytes, 600 * 1024);
  EXPECT_EQ(*reading.process_bytes, 25 * sysconf(_SC_PAGESIZE));
}

TEST_F(Telemetry, PowerSumsPackagesAndSurvivesAWrap) {
  energy("intel-rapl:0", 900000);
  energy("intel-rapl:1", 100000);
  energy("intel-rapl:0:0", 5);  // a part of package 0: counted in it already
  energy("intel-rapl-mmio:0", 5);
  HostTelemetry telemetry(dir_);
  EXPECT_FALSE(telemetry.read().power_w);
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  energy("intel-rapl:0", 100000);  // wrapped at 1 J: 0.2 J used
  energy("intel-rapl:1", 400000);  // 0.3 J used
  const HostReading reading = telemetry.read();
  const double most_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  ASSERT_TRUE(reading.power_w);
  EXPECT_LE(*reading.power_w, 0.5 / 0.05);
  EXPECT_GE(*reading.power_w, 0.5 / (most_s + 0.05));
  energy("intel-rapl:2", 1);
  EXPECT_FALSE(telemetry.read().power_w) << "a package without an earlier reading";
}

TEST_F(Telemetry, TheRealHostAnswers) {
  HostTelemetry telemetry;
  telemetry.read();
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(60);
  volatile double sink = 0;
  while (std::chrono::steady_clock::now() < until)
    sink = sink + 1;
  const HostReading reading = telemetry.read();
  ASSERT_TRUE(reading.total_bytes && reading.used_bytes && reading.process_bytes);
  EXPECT_GT(*reading.used_bytes, *reading.process_bytes / 2);
  EXPECT_LT(*reading.used_bytes, *reading.total_bytes);
  EXPECT_GT(*reading.process_bytes, 1 << 20);
  ASSERT_TRUE(reading.process_cpu);
  EXPECT_GT(*reading.process_cpu, 0.05) << "this process was busy";
}

}  // namespace
}  // namespace tera::run
