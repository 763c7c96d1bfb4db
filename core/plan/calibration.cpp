#include "core/plan/calibration.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/plan/constant.h"
#include "core/plan/least_squares.h"
#include "core/plan/pipeline_schedule.h"
#include "core/plan/step_seconds.h"

namespace tera::plan {
namespace {

// A row to fit to, with what does not depend on the fitted values.
struct Candidate {
  spec::RunSpec spec;
  RankMesh mesh;
  PipelineSchedule schedule;
};
struct FitRow {
  std::string group;
  double measured_s = 0;
  bool is_mixture = false;
  std::vector<Candidate> candidates;
  std::vector<std::size_t> chosen;  // the fastest; of a mixture the slowest too
};

double step_s(const Candidate& candidate, const spec::RunSpec& spec, const FittedTimes& fitted) {
  const LayerCost cost(spec, candidate.mesh, fitted);
  const StageTimes times = stage_times(spec, candidate.mesh, cost);
  const Result<PlayedSchedule> played = play_pipeline(candidate.schedule, times.schedule);
  return played ? step_seconds(spec, candidate.mesh, cost, times.busiest, *played).total_s() : 0;
}

// Factors on the values in use.
double step_s(const Candidate& candidate, const FittedTimes& in_use, const Values& factors) {
  spec::RunSpec spec = candidate.spec;
  FittedTimes fitted = in_use;
  for (std::size_t i = 0; i < factors.size(); ++i)
    fitted_values()[i].scale(spec.cluster, fitted, factors[i]);
  return step_s(candidate, spec, fitted);
}

// Whether a value is of the row's device and links.
bool takes_part(const FittedValue& value, const FitRow& row) {
  const spec::Cluster& cluster = row.candidates.front().spec.cluster;
  spec::Cluster scaled = cluster;
  FittedTimes fitted;
  value.scale(scaled, fitted, 0.5);
  return !(scaled == cluster) || !(fitted == FittedTimes{});
}

// log(prediction / measurement) of the candidates that were chosen.
double error_of(const FitRow& row, const FittedTimes& in_use, const Values& factors) {
  double log = 0;
  for (const std::size_t i : row.chosen)
    log += std::log(step_s(row.candidates[i], in_use, factors));
  return log / static_cast<double>(row.chosen.size()) - std::log(row.measured_s);
}

void choose(FitRow& row, const FittedTimes& in_use, const Values& factors) {
  row.chosen = {0};
  if (row.candidates.size() == 1) return;
  Values seconds;
  for (const Candidate& candidate : row.candidates)
    seconds.push_back(step_s(candidate, in_use, factors));
  const auto [fastest, slowest] = std::minmax_element(seconds.begin(), seconds.end());
  row.chosen = {static_cast<std::size_t>(fastest - seconds.begin())};
  if (row.is_mixture) row.chosen.push_back(static_cast<std::size_t>(slowest - seconds.begin()));
}

std::vector<FitRow> fit_rows(const std::vector<PublishedRow>& rows,
                             const PublishedPresets& presets) {
  std::vector<FitRow> all;
  for (const PublishedRow& row : rows) {
    const std::optional<ComparedSpecs> compared = compared_specs(row, presets);
    if (!compared) continue;
    FitRow fit{.group = row.group,
               .measured_s = compared->measured_step_s,
               .is_mixture = compared->is_mixture,
               .candidates = {},
               .chosen = {}};
    for (const spec::RunSpec& spec : compared->candidates) {
      const Result<RankMesh> mesh = RankMesh::make(spec.layout);
      if (mesh) fit.candidates.push_back({spec, *mesh, make_schedule(spec)});
    }
    if (!fit.candidates.empty()) all.push_back(std::move(fit));
  }
  return all;
}

constexpr Constant kRowError{"error of a row", 0.08, "", false,
                             "assumption: what the time model aims at on rows it knows all about"};

// Of what is expected of one value, over that of all rows: as many as a hundred rows that err
// independently (rows of a group do not), against its spread.
double prior_weight(const FittedValue& value) {
  const double ratio = kRowError.value / value.spread;
  return ratio * ratio / 100;
}
constexpr double kStep = 0.04;  // of a logarithm, for derivatives

// Logarithms of the values, the errors there, and how they change with each.
struct Linearized {
  Values center;
  Values errors;
  std::vector<Values> slopes;  // [row][value]
};

std::optional<std::size_t> place_of(std::string_view name) {
  const std::vector<FittedValue>& all = fitted_values();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [name](const FittedValue& value) { return value.name == name; });
  if (found == all.end()) return std::nullopt;
  return static_cast<std::size_t>(found - all.begin());
}

// Least absolute deviations with a prior, without the rows of `left_out`; logarithms.
Values solve(const Linearized& problem,
             const std::vector<FitRow>& rows,
             std::string_view left_out,
             double largest_change) {
  const std::vector<FittedValue>& all = fitted_values();
  std::map<std::string, int, std::less<>> sizes;
  for (const FitRow& row : rows)
    if (row.group != left_out) ++sizes[row.group];
  Values change(all.size(), 0);
  Values low, high;  // of changes
  for (std::size_t i = 0; i < all.size(); ++i) {
    low.push_back(std::max(-largest_change, std::log(all[i].low) - problem.center[i]));
    high.push_back(std::min(largest_change, std::log(all[i].high) - problem.center[i]));
  }
  constexpr int kRounds = 30;
  constexpr double kSmallest = 0.02;  // errors below weigh as squares
  for (int round = 0; round < kRounds; ++round) {
    NormalEquations equations(all.size());
    double weights = 0;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (rows[row].group == left_out) continue;
      double rest = problem.errors[row];
      for (std::size_t i = 0; i < all.size(); ++i)
        rest += problem.slopes[row][i] * change[i];
      const double weight =
          1 / std::sqrt(sizes.find(rows[row].group)->second) / std::max(kSmallest, std::abs(rest));
      equations.add(problem.slopes[row], -problem.errors[row], weight);
      weights += weight;
    }
    if (weights == 0) weights = 1;  // no rows: what is expected decides alone
    for (std::size_t i = 0; i < all.size(); ++i) {
      Values slope(all.size(), 0);
      slope[i] = 1;
      double expected = std::log(all[i].expected) - problem.center[i];
      if (const auto like = place_of(all[i].like)) {
        slope[*like] = -1;
        expected -= std::log(all[*like].expected) - problem.center[*like];
      }
      equations.add(slope, expected, weights * prior_weight(all[i]));
    }
    change = equations.solve_within(low, high);
  }
  Values logs = problem.center;
  for (std::size_t i = 0; i < all.size(); ++i)
    logs[i] += change[i];
  return logs;
}

Values exponentials(const Values& logs) {
  Values values;
  for (const double log : logs)
    values.push_back(std::exp(log));
  return values;
}

}  // namespace

const Values& Calibration::for_group(std::string_view group) const {
  const auto found = without.find(group);
  return found == without.end() ? values : found->second;
}

Calibration calibrate(const std::vector<PublishedRow>& rows,
                      const PublishedPresets& presets,
                      const std::function<bool(double)>& go_on) {
  constexpr int kRounds = 4;
  constexpr double kLargestChange = 0.3;  // as far as slopes are trusted
  const Values in_use = values_in_use(presets);
  const std::size_t count = in_use.size();
  const double passes = kRounds * static_cast<double>(count + 1);
  double done = 0;
  Calibration calibration{.values = expected_values(), .without = {}, .num_rows = 0};
  std::vector<FitRow> fits = fit_rows(rows, presets);
  const auto factors_at = [&in_use](const Values& logs) {
    Values factors = exponentials(logs);
    for (std::size_t i = 0; i < factors.size(); ++i)
      factors[i] /= in_use[i];
    return factors;
  };
  Linearized problem;
  for (const double value : calibration.values)
    problem.center.push_back(std::log(value));
  Values solution = problem.center;
  for (int round = 0; round < kRounds; ++round) {
    problem = {.center = solution, .errors = {}, .slopes = {}};
    const Values center = factors_at(solution);
    for (FitRow& row : fits) {
      choose(row, presets.fitted, center);
      problem.errors.push_back(error_of(row, presets.fitted, center));
    }
    problem.slopes.assign(fits.size(), Values(count, 0));
    if (!go_on(++done / passes)) return calibration;
    for (std::size_t i = 0; i < count; ++i) {
      Values moved = solution;
      moved[i] += kStep;
      const Values there = factors_at(moved);
      for (std::size_t row = 0; row < fits.size(); ++row) {
        if (!takes_part(fitted_values()[i], fits[row])) continue;
        problem.slopes[row][i] =
            (error_of(fits[row], presets.fitted, there) - problem.errors[row]) / kStep;
      }
      if (!go_on(++done / passes)) return calibration;
    }
    solution = solve(problem, fits, {}, kLargestChange);
    calibration.values = exponentials(solution);
  }
  calibration.num_rows = static_cast<int>(fits.size());
  std::set<std::string> groups;
  for (const FitRow& row : fits)
    groups.insert(row.group);
  for (const std::string& group : groups)
    calibration.without[group] = exponentials(solve(problem, fits, group, 2 * kLargestChange));
  return calibration;
}

}  // namespace tera::plan
