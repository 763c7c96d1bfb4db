// Values of core as JSON, shared by the verbs that print them.
#pragma once
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/plan/term.h"

namespace tera::app {

// diagnostics[] {severity, field, line, column, message, hint}
nlohmann::ordered_json to_json(const std::vector<Diagnostic>& diagnostics);
// {label, value, unit, formula, source, children[]}
nlohmann::ordered_json to_json(const plan::Term& term);
// {label of child: value}
nlohmann::ordered_json child_values(const plan::Term& term);

}  // namespace tera::app
