#include "app/teragpt/spec_json.h"

namespace tera::app {

nlohmann::ordered_json to_json(const std::vector<Diagnostic>& diagnostics) {
  static constexpr const char* kSeverity[] = {"note", "warning", "error"};
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Diagnostic& d : diagnostics) {
    list.push_back({{"severity", kSeverity[static_cast<int>(d.severity)]},
                    {"field", d.field},
                    {"line", d.line},
                    {"column", d.column},
                    {"message", d.message},
                    {"hint", d.hint}});
  }
  return list;
}

nlohmann::ordered_json to_json(const plan::Term& term) {
  nlohmann::ordered_json json = {{"label", term.label},
                                 {"value", term.value},
                                 {"unit", term.unit},
                                 {"formula", term.formula},
                                 {"source", term.source}};
  nlohmann::ordered_json children = nlohmann::ordered_json::array();
  for (const plan::Term& child : term.children)
    children.push_back(to_json(child));
  json["children"] = std::move(children);
  return json;
}

nlohmann::ordered_json child_values(const plan::Term& term) {
  nlohmann::ordered_json values = nlohmann::ordered_json::object();
  for (const plan::Term& child : term.children)
    values[child.label] = child.value;
  return values;
}

}  // namespace tera::app
