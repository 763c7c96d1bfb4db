#include "core/spec/own_runs.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "core/base/counted.h"
#include "core/base/hash.h"
#include "core/base/median.h"

namespace tera::spec {
namespace {

// What the runs of a spec say.
struct Voice {
  double log_ratio = 0;  // measured over planned
  double weight = 0;
};

// Runs that are planned alike are of one spec as far as planning goes.
std::vector<Voice> voices_of(const std::vector<OwnRun>& runs, std::string_view figures) {
  std::map<double, std::vector<double>> by_plan;
  for (const OwnRun& run : runs) {
    if (why_not(run, figures).empty())
      by_plan[run.planned_s].push_back(std::log(run.step_s / run.planned_s));
  }
  std::vector<Voice> voices;
  for (auto& [planned_s, ratios] : by_plan)
    voices.push_back({median(std::move(ratios)), std::sqrt(planned_s)});
  return voices;
}

// Where half of the weight is below and half above.
double middle(std::vector<Voice> voices) {
  std::sort(voices.begin(), voices.end(),
            [](const Voice& a, const Voice& b) { return a.log_ratio < b.log_ratio; });
  double left = 0;
  for (const Voice& voice : voices)
    left += voice.weight / 2;
  for (std::size_t i = 0; i + 1 < voices.size(); ++i) {
    left -= voices[i].weight;
    if (left <= 0) return voices[i].log_ratio;
  }
  return voices.back().log_ratio;
}

}  // namespace

std::string figures_key(std::string_view device, std::string_view profile) {
  return to_hex(xxh3_64(fmt::format("{}\n{}\n{}", TERA_VERSION, device, profile)));
}

std::optional<StepTimes> steady_step_times(const std::vector<double>& steps_s) {
  constexpr std::ptrdiff_t kWarmUp = 3;  // memory is touched and threads settle
  constexpr std::ptrdiff_t kFewest = 10;
  if (std::ssize(steps_s) < kWarmUp + kFewest) return std::nullopt;
  std::vector<double> steady(steps_s.begin() + kWarmUp, steps_s.end());
  std::sort(steady.begin(), steady.end());
  const double middle_s = median(steady);
  if (!(middle_s > 0)) return std::nullopt;
  const std::size_t quarter = steady.size() / 4;
  return StepTimes{.median_s = middle_s,
                   .spread = (steady[steady.size() - 1 - quarter] - steady[quarter]) / middle_s,
                   .num_steps = std::ssize(steady)};
}

std::string why_not(const OwnRun& run, std::string_view figures) {
  constexpr double kMostSpread = 0.5;
  constexpr double kMostRatio = 4;
  if (run.figures != figures) return "planned with another profile or version";
  if (run.spread > kMostSpread) return "its steps took too different times";
  const double ratio = run.step_s / run.planned_s;
  if (ratio > kMostRatio || ratio < 1 / kMostRatio)
    return fmt::format("more than {} times off: not what was planned", kMostRatio);
  return {};
}

OwnRunsFit fit_own_runs(const std::vector<OwnRun>& runs, std::string_view figures) {
  OwnRunsFit fit;
  for (const OwnRun& run : runs)
    fit.num_runs += why_not(run, figures).empty() ? 1 : 0;
  const std::vector<Voice> voices = voices_of(runs, figures);
  fit.num_specs = static_cast<int>(voices.size());
  if (voices.empty()) return fit;
  fit.factor = std::exp(middle(voices));
  if (voices.size() < 2) return fit;
  double errors = 0;
  double weights = 0;
  for (std::size_t i = 0; i < voices.size(); ++i) {
    std::vector<Voice> others = voices;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    const double error = std::abs(std::exp(middle(std::move(others)) - voices[i].log_ratio) - 1);
    errors += voices[i].weight * error;
    weights += voices[i].weight;
  }
  fit.left_out_error = errors / weights;
  return fit;
}

std::string describe(const OwnRunsFit& fit) {
  std::string text =
      fmt::format("{} of {}, whose steps took {:.3g} times as long as planned",
                  counted(fit.num_runs, "own run"), counted(fit.num_specs, "spec"), fit.factor);
  return text + (fit.left_out_error
                     ? fmt::format("; error on specs left out {:.1f} %", 100 * *fit.left_out_error)
                     : "; error on other specs not known before a second one has run");
}

std::vector<std::string> slow_down(Cluster& cluster, double factor) {
  DeviceSpec& d = cluster.device;
  // Those of f32 would follow those of 16 bits where the peak of these rises.
  if (d.f32_matmul_efficiency == 0) d.f32_matmul_efficiency = d.matmul_efficiency;
  if (d.f32_attention_efficiency == 0) d.f32_attention_efficiency = d.attention_efficiency;
  std::vector<std::string> changed;
  using Named = std::pair<const char*, double*>;
  const auto scale = [&changed](double by, const Named& field) {
    *field.second *= by;
    changed.push_back(field.first);
  };
  const auto scale_shares = [&](const Named& peak, std::initializer_list<Named> shares) {
    constexpr double kLeast = 0.01;  // that a spec may say of a share
    double low = kLeast * factor;
    double high = factor;
    for (const Named& share : shares) {
      low = std::min(low, *share.second);
      high = std::max(high, *share.second);
    }
    const double over = high > factor ? high / factor : low / (kLeast * factor);
    for (const Named& share : shares)
      scale(1 / (factor * over), share);
    if (over != 1) scale(over, peak);
  };
  scale_shares({"device.peak_flops_per_s_bf16", &d.peak_flops_per_s_bf16},
               {{"device.matmul_efficiency", &d.matmul_efficiency},
                {"device.attention_efficiency", &d.attention_efficiency}});
  scale_shares({"device.peak_flops_per_s_f32", &d.peak_flops_per_s_f32},
               {{"device.f32_matmul_efficiency", &d.f32_matmul_efficiency},
                {"device.f32_attention_efficiency", &d.f32_attention_efficiency}});
  scale_shares({"device.memory_bytes_per_s", &d.memory_bytes_per_s},
               {{"device.memory_efficiency", &d.memory_efficiency}});
  scale(factor, {"device.op_overhead_s", &d.op_overhead_s});
  scale(1 / factor, {"intra_node.bytes_per_s", &cluster.intra_node.bytes_per_s});
  scale(factor, {"intra_node.latency_s", &cluster.intra_node.latency_s});
  return changed;
}

}  // namespace tera::spec
