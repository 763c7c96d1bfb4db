#include "gui/models/attention.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/base/units.h"

namespace tera::gui {
namespace {

constexpr double kWeight = 0.05;  // of the newest loss in mean and variance
constexpr double kSpikeSigmas = 6;
constexpr std::int64_t kWarmRecords = 40;  // before these the loss falls too fast for a spike rule
constexpr std::int64_t kSettlingSteps = 100;  // until here an uneven router is a note
constexpr std::size_t kMaxListed = 4;
constexpr double kHot = 4, kStarved = 1.0 / 8;  // load over ideal
constexpr double kSlow = 0.6;                   // of the planned tokens per second

Diagnostic finding(Severity severity, std::string field, std::string message, std::string hint) {
  return {.severity = severity,
          .field = std::move(field),
          .message = std::move(message),
          .hint = std::move(hint)};
}

}  // namespace

void AttentionRules::clear() {
  *this = AttentionRules();
}

void AttentionRules::observe(const run::MetricRecord& record) {
  if (record.has("loss")) observeLoss(record);
  if (record.has("step_s")) m_stepSeconds = record.value("step_s", m_stepSeconds);
  if (record.has("tokens_per_s")) {
    const double speed = record.value("tokens_per_s", m_speed);
    m_speed = m_speed > 0 ? m_speed + 0.2 * (speed - m_speed) : speed;
  }
  if (!record.expert_load.empty()) observeExperts(record);
}

void AttentionRules::observeLoss(const run::MetricRecord& record) {
  const double loss = record.value("loss", 0);
  if (!std::isfinite(loss)) {
    if (m_nonFinite++ == 0) m_firstNonFinite = record.step;
    return;
  }
  const double sigma = std::sqrt(m_variance);
  if (m_seen >= kWarmRecords && sigma > 0 && loss > m_mean + kSpikeSigmas * sigma) {
    m_spikes.push_back(
        finding(Severity::warning, "loss",
                fmt::format("spike at step {}: {:.3f}, {:.0f} deviations above {:.3f}",
                            format_integer(record.step), loss, (loss - m_mean) / sigma, m_mean),
                "often the data of that step; lower training.learning_rate or training.grad_clip "
                "if it repeats"));
    if (m_spikes.size() > kMaxListed) m_spikes.erase(m_spikes.begin());
  }
  const double delta = m_seen == 0 ? 0 : loss - m_mean;
  m_mean = m_seen == 0 ? loss : m_mean + kWeight * delta;
  m_variance = (1 - kWeight) * (m_variance + kWeight * delta * delta);
  ++m_seen;
}

void AttentionRules::observeExperts(const run::MetricRecord& record) {
  m_experts.clear();
  std::size_t hidden = 0;
  const bool early = record.step <= kSettlingSteps;
  for (std::size_t row = 0; row < record.expert_load.size(); ++row) {
    const std::vector<double>& loads = record.expert_load[row];
    double sum = 0;
    for (const double load : loads)
      sum += load;
    const double mean = loads.empty() ? 0 : sum / static_cast<double>(loads.size());
    if (mean <= 0) continue;
    const int layer =
        row < record.expert_layers.size() ? record.expert_layers[row] : static_cast<int>(row);
    for (std::size_t e = 0; e < loads.size(); ++e) {
      const double ratio = loads[e] / mean;
      if (ratio < kHot && ratio > kStarved) continue;
      if (m_experts.size() >= kMaxListed) {
        ++hidden;
        continue;
      }
      m_experts.push_back(finding(
          early ? Severity::note : Severity::warning, fmt::format("layer {} expert {}", layer, e),
          ratio >= kHot   ? fmt::format("hot: {:.1f}x the ideal load", ratio)
          : loads[e] <= 0 ? std::string("dead: no token in this step")
                          : fmt::format("starved: {:.2f}x the ideal load", ratio),
          early ? "usual in the first steps, while the router settles"
                : "raise model.aux_loss_coeff or model.expert_bias_update_rate"));
    }
  }
  if (hidden > 0) {
    m_experts.push_back(finding(Severity::note, "experts",
                                fmt::format("{} more outside 1/8x ... 4x", hidden),
                                "the map shows them"));
  }
}

void AttentionRules::observeProblems(const std::vector<std::string>& problems) {
  m_problems.insert(m_problems.end(), problems.begin(), problems.end());
  if (m_problems.size() > kMaxListed)
    m_problems.erase(m_problems.begin(),
                     m_problems.end() - static_cast<std::ptrdiff_t>(kMaxListed));
}

double AttentionRules::staleAfter() const {
  return std::max(10.0, 5 * m_stepSeconds);
}

std::vector<Diagnostic> AttentionRules::findings(const run::RunStatus& status,
                                                 double now_s,
                                                 double planned) const {
  std::vector<Diagnostic> found;
  using enum run::RunState;
  if (status.state == failed || status.state == died) {
    found.push_back(finding(Severity::error, "run", status.detail,
                            "the log says more; start it again with Launch to resume"));
  }
  if (m_nonFinite > 0) {
    found.push_back(
        finding(Severity::error, "loss",
                fmt::format("not a number since step {}", format_integer(m_firstNonFinite)),
                "resume from the last checkpoint with a lower training.learning_rate"));
  }
  const double age = now_s - status.last_record_s;
  if (status.state == running && status.last_record_s > 0 && age > staleAfter()) {
    found.push_back(finding(
        Severity::warning, "run", fmt::format("no record for {}", format_seconds(age)),
        status.alive ? "its process is alive; a checkpoint or an evaluation may take its time"
                     : "its process is gone"));
  }
  if (status.alive && planned > 0 && m_speed > 0 && m_speed < kSlow * planned) {
    found.push_back(
        finding(Severity::warning, "tokens_per_s",
                fmt::format("{} of the {} planned", format_percent(m_speed / planned),
                            format_rate(planned, "tok/s")),
                "other work on this machine, or an estimate without a measured device profile"));
  }
  found.insert(found.end(), m_spikes.begin(), m_spikes.end());
  found.insert(found.end(), m_experts.begin(), m_experts.end());
  for (const std::string& problem : m_problems)
    found.push_back(finding(Severity::warning, "metrics", problem, "the line was skipped"));
  return found;
}

}  // namespace tera::gui
