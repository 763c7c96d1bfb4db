#include "app/teragpt/spec_json.h"

#include <cstdio>

#include <fmt/format.h>

#include "app/teragpt/cli.h"

namespace tera::app {
namespace {

template <class T>
nlohmann::ordered_json fields_json(const T& value);

template <class T>
nlohmann::ordered_json value_json(const T& value) {
  if constexpr (HasFields<T>) {
    return fields_json(value);
  } else if constexpr (NamedEnum<T>) {
    return enum_name(value);
  } else if constexpr (requires { value.empty(); } && !std::is_same_v<T, std::string>) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& item : value)
      list.push_back(value_json(item));
    return list;
  } else {
    return value;
  }
}

template <class T>
nlohmann::ordered_json fields_json(const T& value) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  T::visit_fields(value, [&json](const Field& field, const auto& member) {
    json[std::string(field.name)] = value_json(member);
  });
  return json;
}

}  // namespace

nlohmann::ordered_json to_json(const spec::RunSpec& spec) {
  return fields_json(spec);
}

nlohmann::ordered_json to_json(const std::vector<spec::LeftOut>& left_out) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const spec::LeftOut& one : left_out)
    list.push_back({{"name", one.name}, {"value", one.value}, {"why", one.why}});
  return list;
}

void report_left_out(const std::vector<spec::LeftOut>& left_out) {
  for (const spec::LeftOut& one : left_out) {
    const std::string line =
        fmt::format("left out: {}{}{}: {}", one.name, one.value.empty() ? "" : " ",
                    one.value.substr(0, 80), one.why);
    std::fputs((printable(line) + "\n").c_str(), stderr);
  }
}

std::vector<std::string> config_format_names() {
  const auto& names = EnumNames<spec::ConfigFormat>::value;
  return {names.begin(), names.end()};
}

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
  nlohmann::ordered_json json = {{"label", term.label},   {"value", term.value},
                                 {"unit", term.unit},     {"formula", term.formula},
                                 {"source", term.source}, {"origin", enum_name(term.origin)}};
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
