// Values of core as JSON, shared by the verbs that print them.
#pragma once
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/plan/term.h"
#include "core/spec/interchange/interchange.h"

namespace tera::app {

// diagnostics[] {severity, field, line, column, message, hint}
nlohmann::ordered_json to_json(const std::vector<Diagnostic>& diagnostics);
// left_out[] {name, value, why}
nlohmann::ordered_json to_json(const std::vector<spec::LeftOut>& left_out);
// Every field of a spec, by sections.
nlohmann::ordered_json to_json(const spec::RunSpec& spec);
// One line on stderr for each.
void report_left_out(const std::vector<spec::LeftOut>& left_out);
// The words of --from and --to.
std::vector<std::string> config_format_names();
// {label, value, unit, formula, source, origin, children[]}
nlohmann::ordered_json to_json(const plan::Term& term);
// {label of child: value}
nlohmann::ordered_json child_values(const plan::Term& term);

}  // namespace tera::app
