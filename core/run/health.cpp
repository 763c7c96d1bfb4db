#include "core/run/health.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/base/units.h"

namespace tera::run {
namespace {

constexpr double kWeight = 0.05;  // of the newest loss in mean and variance
constexpr double kSpikeSigmas = 6;
constexpr std::int64_t kWarmRecords = 40;  // before these the loss falls too fast for a spike rule
constexpr std::int64_t kSettlingSteps = 100;  // until here an uneven router is a note
constexpr std::size_t kMaxListed = 4;
constexpr double kHot = 4, kStarved = 1.0 / 8;  // load over ideal
constexpr double kSlow = 0.6;                   // of the planned tokens per second
constexpr double kSpeedWeight = 0.2;            // of the newest speed in its average

Finding finding(
    std::string key, Severity severity, std::string field, std::string message, std::string hint) {
  return {.key = std::move(key),
          .what = {.severity = severity,
                   .field = std::move(field),
                   .message = std::move(message),
                   .hint = std::move(hint)}};
}

Finding expert_finding(int layer, std::size_t expert, double ratio, bool early) {
  const bool hot = ratio >= kHot;
  return finding(fmt::format("{} expert {}.{}", hot ? "hot" : "starved", layer, expert),
                 early ? Severity::note : Severity::warning,
                 fmt::format("layer {} expert {}", layer, expert),
                 hot          ? fmt::format("hot: {:.1f}x the ideal load", ratio)
                 : ratio <= 0 ? std::string("dead: no token in this step")
                              : fmt::format("starved: {:.2f}x the ideal load", ratio),
                 early ? "usual in the first steps, while the router settles"
                       : "raise model.aux_loss_coeff or model.expert_bias_update_rate");
}

}  // namespace

void Health::observe(const MetricRecord& record) {
  if (record.has("loss")) observe_loss(record);
  if (record.has("step_s")) step_s_ = record.value("step_s", step_s_);
  if (record.has("tokens_per_s")) {
    const double speed = record.value("tokens_per_s", tokens_per_s_);
    tokens_per_s_ =
        tokens_per_s_ > 0 ? tokens_per_s_ + kSpeedWeight * (speed - tokens_per_s_) : speed;
  }
  if (!record.expert_load.empty()) observe_experts(record);
}

void Health::observe_loss(const MetricRecord& record) {
  const double loss = record.value("loss", 0);
  if (!std::isfinite(loss)) {
    if (first_non_finite_ == 0) first_non_finite_ = record.step;
    return;
  }
  const double sigma = std::sqrt(variance_);
  if (seen_ >= kWarmRecords && sigma > 0 && loss > mean_ + kSpikeSigmas * sigma) {
    spikes_.push_back(
        finding(fmt::format("spike {}", record.step), Severity::warning, "loss",
                fmt::format("spike at step {}: {:.3f}, {:.0f} deviations above {:.3f}",
                            format_integer(record.step), loss, (loss - mean_) / sigma, mean_),
                "often the data of that step; lower training.learning_rate or training.grad_clip "
                "if it repeats"));
    if (spikes_.size() > kMaxListed) spikes_.erase(spikes_.begin());
  }
  const double delta = seen_ == 0 ? 0 : loss - mean_;
  mean_ = seen_ == 0 ? loss : mean_ + kWeight * delta;
  variance_ = (1 - kWeight) * (variance_ + kWeight * delta * delta);
  ++seen_;
}

void Health::observe_experts(const MetricRecord& record) {
  experts_.clear();
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
      if (experts_.size() < kMaxListed) {
        experts_.push_back(expert_finding(layer, e, ratio, early));
      } else {
        ++hidden;
      }
    }
  }
  if (hidden > 0) {
    experts_.push_back(finding("more experts", Severity::note, "experts",
                               fmt::format("{} more outside 1/8x ... 4x", hidden),
                               "the map shows them"));
  }
}

void Health::observe_problems(const std::vector<std::string>& problems) {
  problems_.insert(problems_.end(), problems.begin(), problems.end());
  if (problems_.size() > kMaxListed)
    problems_.erase(problems_.begin(), problems_.end() - static_cast<std::ptrdiff_t>(kMaxListed));
}

double Health::stale_after_s() const {
  return std::max(10.0, 5 * step_s_);
}

std::vector<Finding> Health::findings(const RunStatus& status,
                                      double now_s,
                                      double planned_tokens_per_s) const {
  std::vector<Finding> found;
  using enum RunState;
  if (status.state == failed || status.state == died) {
    found.push_back(finding("end", Severity::error, "run", status.detail,
                            "the log says more; launched again with resume it goes on"));
  }
  if (first_non_finite_ > 0) {
    found.push_back(
        finding("not a number", Severity::error, "loss",
                fmt::format("not a number since step {}", format_integer(first_non_finite_)),
                "resume from the last checkpoint with a lower training.learning_rate"));
  }
  const double age = now_s - status.last_record_s;
  if (status.state == running && status.last_record_s > 0 && age > stale_after_s()) {
    found.push_back(finding(
        "stale", Severity::warning, "run", fmt::format("no record for {}", format_age(age)),
        status.alive ? "its process is alive; a checkpoint or an evaluation may take its time"
                     : "its process is gone"));
  }
  if (status.alive && planned_tokens_per_s > 0 && tokens_per_s_ > 0 &&
      tokens_per_s_ < kSlow * planned_tokens_per_s) {
    found.push_back(finding(
        "slow", Severity::warning, "tokens_per_s",
        fmt::format("{} of the {} planned", format_percent(tokens_per_s_ / planned_tokens_per_s),
                    format_rate(planned_tokens_per_s, "tok/s")),
        "other work on this machine, or an estimate without a measured device profile"));
  }
  found.insert(found.end(), spikes_.begin(), spikes_.end());
  found.insert(found.end(), experts_.begin(), experts_.end());
  for (const std::string& problem : problems_)
    found.push_back(
        finding(problem, Severity::warning, "metrics", problem, "the line was skipped"));
  return found;
}

}  // namespace tera::run
