// Health: what in a run needs a person: rules over what the run has recorded. Each finding carries
// evidence.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/run/metric_stream.h"
#include "core/run/run_state.h"

namespace tera::run {

struct Finding {
  std::string key;  // the same for as long as it is the same trouble; the numbers in `what` move
  Diagnostic what;
};

// Looks at records one by one and remembers the worst; findings() says what still holds.
class Health {
 public:
  void observe(const MetricRecord& record);
  void observe_problems(const std::vector<std::string>& problems);  // unreadable lines

  // now_s: seconds since the epoch. planned_tokens_per_s: of the estimate, 0 = none.
  std::vector<Finding> findings(const RunStatus& status,
                                double now_s,
                                double planned_tokens_per_s) const;

  // No record for this long makes a living run stale: five steps, at least ten seconds.
  double stale_after_s() const;

 private:
  void observe_loss(const MetricRecord& record);
  void observe_experts(const MetricRecord& record);

  double mean_ = 0, variance_ = 0;  // of the loss, exponential, weight 0.05
  std::int64_t seen_ = 0;
  double step_s_ = 0;
  double tokens_per_s_ = 0;            // smoothed
  std::int64_t first_non_finite_ = 0;  // step; 0 = none
  std::vector<Finding> spikes_;        // the last few
  std::vector<Finding> experts_;       // of the newest record that had loads
  std::vector<std::string> problems_;
};

}  // namespace tera::run
