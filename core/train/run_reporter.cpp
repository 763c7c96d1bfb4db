#include "core/train/run_reporter.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/run/run_state.h"

namespace tera::train {

Result<RunReporter> RunReporter::open(const run::RunDirectory& dir,
                                      int attempt,
                                      std::function<void(const run::MetricRecord&)> on_record) {
  TERA_TRY(run::MetricWriter metrics,
           run::MetricWriter::open(dir.vfs(), dir.metrics_file(attempt)));
  return RunReporter(dir, attempt, std::move(on_record), std::move(metrics));
}

Result<void> RunReporter::report(run::MetricRecord record) {
  const run::HostReading host = telemetry_.read();
  const auto add = [&record](std::string_view name, const auto& reading) {
    if (reading) record.values.emplace_back(std::string(name), static_cast<double>(*reading));
  };
  add("cpu_utilization", host.cpu_utilization);
  add("process_memory", host.process_bytes);
  add("host_memory_used", host.used_bytes);
  add("host_power", host.power_w);
  if (checkpoint_s_ > 0) record.values.emplace_back("checkpoint_s", checkpoint_s_);
  checkpoint_s_ = 0;
  TERA_TRY_VOID(metrics_.write(record));
  if (!std::exchange(running_noted_, true)) {
    TERA_TRY_VOID(event("running",
                        fmt::format("step {}, loss {:.4f}", record.step, record.value("loss", 0)),
                        record.step));
  }
  if (on_record_) on_record_(record);
  return {};
}

Result<void> RunReporter::event(std::string state, std::string detail, std::int64_t step) const {
  return run::append_event(*dir_, {.time_s = wall_s(),
                                   .attempt = attempt_,
                                   .state = std::move(state),
                                   .detail = std::move(detail),
                                   .step = step});
}

}  // namespace tera::train
