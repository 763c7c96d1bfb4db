// What rank 0 writes about a run while it trains: metrics with the host's readings, and events.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "core/base/result.h"
#include "core/run/metric_stream.h"
#include "core/run/run_directory.h"
#include "core/run/telemetry.h"

namespace tera::train {

class RunReporter {
 public:
  // on_record: called with each record that is written; may be empty. Errors: the disk's.
  static Result<RunReporter> open(const run::RunDirectory& dir,
                                  int attempt,
                                  std::function<void(const run::MetricRecord&)> on_record);

  // Adds the host's readings and writes it. The first one says that the run is running.
  Result<void> report(run::MetricRecord record);
  Result<void> event(std::string state, std::string detail, std::int64_t step) const;
  // Of the last save; reported with the next step.
  void set_checkpoint_s(double seconds) { checkpoint_s_ = seconds; }
  // All records so far are on the disk.
  Result<void> sync() { return metrics_.sync(); }

 private:
  RunReporter(const run::RunDirectory& dir,
              int attempt,
              std::function<void(const run::MetricRecord&)> on_record,
              run::MetricWriter metrics)
      : dir_(&dir),
        attempt_(attempt),
        on_record_(std::move(on_record)),
        metrics_(std::move(metrics)) {}

  const run::RunDirectory* dir_;
  int attempt_;
  std::function<void(const run::MetricRecord&)> on_record_;
  run::MetricWriter metrics_;
  run::HostTelemetry telemetry_;
  double checkpoint_s_ = 0;
  bool running_noted_ = false;
};

}  // namespace tera::train
