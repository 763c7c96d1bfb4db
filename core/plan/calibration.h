// What the time model takes from devices, links and software that no data sheet says, fitted to
// published step times, and fitted again without each group of rows.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/plan/published_spec.h"
#include "core/plan/published_table.h"
#include "core/plan/validation.h"

namespace tera::plan {

// One for a family of devices and a precision, a kind of link, or a habit of software; never for a
// group of rows.
struct FittedValue {
  std::string_view name;
  // Before any published step time: where the fit starts and what holds it where rows say little.
  double expected = 0;
  double low = 0;  // bounds of what is physical
  double high = 0;
  double spread = 0;        // relative, of what is expected
  std::string_view source;  // of what is expected
  // Another value it moves with: what is expected is their ratio. Empty: nothing.
  std::string_view like;
  std::function<double(const PublishedPresets&)> in_use;
  // Nothing if the value is of other devices.
  std::function<void(spec::Cluster&, FittedTimes&, double factor)> scale;
};
const std::vector<FittedValue>& fitted_values();

// One for each of fitted_values(), in their units.
using Values = std::vector<double>;
Values values_in_use(const PublishedPresets& presets);
Values expected_values();
PublishedPresets with_values(const PublishedPresets& presets, const Values& values);

struct Calibration {
  Values values;  // of all groups
  // Fitted to all groups but one.
  std::map<std::string, Values, std::less<>> without;
  int num_rows = 0;  // that count: compared
  // Of a group of rows: those without it, or those of all where it took no part.
  const Values& for_group(std::string_view group) const;
};

// Least absolute deviations of log(prediction / measurement) by weighted least squares
// (Gauss-Newton from the expected values; each group weighs as the root of its rows; what is
// expected weighs as a measurement of it with an error of its spread would beside a hundred rows
// with 8 %).
// Values in use have no part in it. Deterministic. `go_on` is asked between passes over the rows,
// with the share done; false stops with the values so far. Of a row's candidates the fastest at the
// values so far counts.
Calibration calibrate(const std::vector<PublishedRow>& rows,
                      const PublishedPresets& presets,
                      const std::function<bool(double)>& go_on);

}  // namespace tera::plan
