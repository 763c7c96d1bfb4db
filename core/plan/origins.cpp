#include "core/plan/origins.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/plan/left_out_error.h"
#include "core/spec/yaml.h"

namespace tera::plan {
namespace {

using spec::Origin;

// Shares of the inputs, so that no two of them make up for each other.
class Mover {
 public:
  double moved(double value) {
    const double share = std::exp2(-10) * (1 + ++num_moved_ / 16.0);
    return value * (value > 0.5 ? 1 - share : 1 + share);  // shares stay in 0 to 1
  }

 private:
  int num_moved_ = 0;
};

bool differ(double a, double b) {
  constexpr double kNothing = 1e-12;  // seconds, bytes, money: what rounding leaves
  constexpr double kAlike = 1e-9;
  const double size = std::max(std::abs(a), std::abs(b));
  return !(size <= kNothing || std::abs(a - b) <= kAlike * size);
}

const Term* child_of(const Term* term, const std::string& label) {
  return term == nullptr ? nullptr : find_term(*term, label);
}

void tag(const Term* measured, const Term* calibrated, Term& term) {
  constexpr double kGone = std::numeric_limits<double>::quiet_NaN();  // differs from anything
  const auto value = [](const Term* other) { return other == nullptr ? kGone : other->value; };
  term.origin = std::max(term.origin, origin_of(term.value, value(measured), value(calibrated)));
  for (Term& child : term.children)
    tag(child_of(measured, child.label), child_of(calibrated, child.label), child);
}

TimeBasis measured_basis(const spec::OwnRunsFit& own_runs) {
  if (own_runs.num_runs == 0)
    return {Origin::measured, std::nullopt,
            "measured: the device profile; error not known before a run of this machine"};
  return {Origin::measured, own_runs.left_out_error, "measured: " + describe(own_runs)};
}

TimeBasis calibrated_basis(bool has_experts) {
  const Result<LeftOutError> error = left_out_error(has_experts);
  TimeBasis basis{Origin::calibrated, std::nullopt,
                  "calibrated: values fitted to published step times"};
  if (!error) {
    basis.text += fmt::format("; error on groups left out not known: {}", error.error().message);
    return basis;
  }
  basis.left_out_error = error->mean;
  basis.text += fmt::format(
      "; error on {} rows{} of groups left out of the fit {:.1f} %, median {:.1f} %",
      error->num_rows, has_experts ? " with experts" : "", 100 * error->mean, 100 * error->median);
  return basis;
}

TimeBasis analytic_basis(const spec::DeviceSpec& device) {
  return {Origin::analytic, std::nullopt,
          fmt::format("analytic: nothing of {} was measured{}",
                      device.name.empty() ? "the device" : device.name,
                      device.is_cpu ? "; `teragpt bench device` measures it" : "")};
}

}  // namespace

Inputs moved_inputs(const spec::RunSpec& spec, const spec::ClusterOrigins& origins, Origin origin) {
  Inputs inputs{.spec = spec, .fitted = {}};
  Mover mover;
  for (const auto& [path, of_field] : origins.fields) {
    if (of_field != origin) continue;
    const std::string text = spec::get_field(spec, path).value();
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) continue;  // a name
    const auto set = spec::set_field(inputs.spec, path, fmt::format("{}", mover.moved(value)));
    TERA_CHECK(set.has_value(), "a figure has an origin and cannot move");
  }
  if (origin != Origin::calibrated) return inputs;
  for (const FittedTime& time : kFittedTimes)
    inputs.fitted.*time.value = mover.moved(inputs.fitted.*time.value);
  return inputs;
}

Origin origin_of(double value, double if_measured_move, double if_calibrated_move) {
  if (differ(value, if_calibrated_move)) return Origin::calibrated;
  return differ(value, if_measured_move) ? Origin::measured : Origin::analytic;
}

Result<MovedEstimates> moved_estimates(const spec::RunSpec& spec,
                                       const spec::ClusterOrigins& origins) {
  const auto moved = [&](Origin origin) {
    const Inputs inputs = moved_inputs(spec, origins, origin);
    return estimate(inputs.spec, inputs.fitted);
  };
  TERA_TRY(Estimate measured, moved(Origin::measured));
  TERA_TRY(Estimate calibrated, moved(Origin::calibrated));
  return MovedEstimates{std::move(measured), std::move(calibrated)};
}

void tag_origins(const spec::RunSpec& spec,
                 const spec::ClusterOrigins& origins,
                 const MovedEstimates& moved,
                 Estimate& e) {
  tag(&moved.measured.step_time, &moved.calibrated.step_time, e.step_time);
  tag(&moved.measured.cost.terms, &moved.calibrated.cost.terms, e.cost.terms);
  for (std::size_t i = 0; i < e.stages.size(); ++i)
    tag(&moved.measured.stages[i].memory, &moved.calibrated.stages[i].memory, e.stages[i].memory);
  switch (e.step_time.origin) {
    case Origin::analytic:
      e.basis = analytic_basis(spec.cluster.device);
      break;
    case Origin::measured:
      e.basis = measured_basis(origins.own_runs);
      break;
    case Origin::calibrated:
      e.basis = calibrated_basis(spec.model.num_experts > 0);
      break;
  }
  e.step_time.source = e.basis.text;
}

Result<Estimate> tagged_estimate(const spec::RunSpec& spec) {
  TERA_TRY(Estimate e, estimate(spec));
  const spec::ClusterOrigins origins = cluster_origins(spec.cluster);
  TERA_TRY(const MovedEstimates moved, moved_estimates(spec, origins));
  tag_origins(spec, origins, moved, e);
  return e;
}

Result<MovedInference> moved_inference(const spec::RunSpec& spec, const ReplicaLayout& layout) {
  const spec::ClusterOrigins origins = cluster_origins(spec.cluster);
  const auto moved = [&](Origin origin) {
    return estimate_inference(moved_inputs(spec, origins, origin).spec, layout);
  };
  TERA_TRY(InferenceEstimate measured, moved(Origin::measured));
  TERA_TRY(InferenceEstimate calibrated, moved(Origin::calibrated));
  return MovedInference{std::move(measured), std::move(calibrated)};
}

void tag_origins(const MovedInference& moved, InferenceEstimate& e) {
  tag(&moved.measured.terms, &moved.calibrated.terms, e.terms);
}

}  // namespace tera::plan
