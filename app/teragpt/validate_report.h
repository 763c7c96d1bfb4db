// What `teragpt validate` prints: tables for people, a document for programs.
#pragma once
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/plan/calibration.h"
#include "core/plan/validation_summary.h"

namespace tera::app {

// Summary by group and by class of rows; with num_worst > 0 the rows furthest off before it.
std::string validation_text(const std::vector<plan::RowPrediction>& rows,
                            const plan::ValidationReport& report,
                            int num_worst);
// Values of the fit: expected, of all groups, how far they move when a group is left out, in use.
std::string calibration_text(const plan::Calibration& calibration,
                             const plan::PublishedPresets& presets);
nlohmann::ordered_json calibration_json(const plan::Calibration& calibration,
                                        const plan::PublishedPresets& presets);
// {schema, rows[], summary{group}, classes{name}, targets[]}; what does not hold for a row is null.
nlohmann::ordered_json validation_json(const std::vector<plan::RowPrediction>& rows,
                                       const plan::ValidationReport& report);

}  // namespace tera::app
