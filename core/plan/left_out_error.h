// How far off the planner is for devices, models and software that no value in it was fitted to:
// errors of published rows, each predicted with values fitted to the other groups (calibration.h).
// They take long to work out, so resources/validation/left_out.csv keeps them; `teragpt validate
// CSV --calibrate CSV --left-out FILE` writes it.
#pragma once
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/plan/validation_summary.h"

namespace tera::plan {

struct LeftOutError {
  int num_rows = 0;
  double mean = 0;    // of |predicted / measured - 1|
  double median = 0;  // likewise
};

// Of rows with experts, or of dense ones with every cell published. Errors: the file's.
Result<LeftOutError> left_out_error(bool has_experts);
// Of a file's text; errors name line, what was found and what was expected.
Result<LeftOutError> read_left_out_error(std::string_view text, bool has_experts);
// The text of the file. The report must be of rows predicted without their groups.
std::string left_out_text(const ValidationReport& report);

}  // namespace tera::plan
