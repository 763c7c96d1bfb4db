// What in a run needs a person: rules over what the run has recorded. Each finding carries
// evidence.
#pragma once
#include <vector>

#include "core/base/error.h"
#include "core/run/metric_stream.h"
#include "core/run/run_state.h"

namespace tera::gui {

// Looks at records one by one and remembers the worst; findings() says what still holds.
class AttentionRules {
 public:
  void clear();
  void observe(const run::MetricRecord& record);
  void observeProblems(const std::vector<std::string>& problems);  // unreadable lines of the stream

  // now_s: seconds since the epoch. planned: tokens per second of the estimate, 0 = none.
  std::vector<Diagnostic> findings(const run::RunStatus& status,
                                   double now_s,
                                   double planned) const;

  // No record for this long makes a living run stale: five steps, at least ten seconds.
  double staleAfter() const;

 private:
  void observeLoss(const run::MetricRecord& record);
  void observeExperts(const run::MetricRecord& record);

  double m_mean = 0, m_variance = 0;  // of the loss, exponential, weight 0.05
  std::int64_t m_seen = 0;
  double m_stepSeconds = 0;
  double m_speed = 0;  // smoothed tokens per second
  std::int64_t m_nonFinite = 0, m_firstNonFinite = 0;
  std::vector<Diagnostic> m_spikes;   // the last few
  std::vector<Diagnostic> m_experts;  // of the newest record that had loads
  std::vector<std::string> m_problems;
};

}  // namespace tera::gui
