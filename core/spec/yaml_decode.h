// A YAML tree -> a struct with a field list, all problems collected with their positions. Shared by
// run specs, presets and the device profile.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/fields.h"
#include "core/spec/scalars.h"
#include "core/spec/suggest.h"
#include "core/spec/yaml_tree.h"

namespace tera::spec {

class YamlDecoder {
 public:
  std::vector<Diagnostic> diagnostics;
  std::map<std::string, std::pair<int, int>> positions;  // of every key that was understood

  // Keys that sections may hold besides their fields, by path; the caller reads them.
  std::map<std::string, std::vector<std::string_view>> extra_keys;

  // Fills the struct from a section; fields it does not name keep their values. An empty section is
  // fine.
  template <HasFields T>
  void read_section(const YamlNode& node, const std::string& path, T& value) {
    if (node.kind == YamlNode::Kind::null) return;
    if (node.kind != YamlNode::Kind::map) {
      report(node, path, "got " + describe(node) + ", expected a section with keys",
             "write `key: value` lines under it");
      return;
    }
    std::vector<std::string_view> names = extra_keys[path];
    T::visit_fields(value, [&](const Field& field, auto& member) {
      names.push_back(field.name);
      if (const YamlEntry* entry = node.find(field.name)) {
        read_entry(*entry, field, join(path, field.name), member);
      }
    });
    report_unknown(node, path, names);
  }

  // Errors for required fields that the section does not give.
  template <HasFields T>
  void require_fields(const YamlNode& node,
                      const std::string& path,
                      const T& value,
                      std::string_view hint) {
    T::visit_fields(value, [&](const Field& field, const auto&) {
      if (field.required && node.find(field.name) == nullptr) {
        report(node, join(path, field.name), "missing, and there is no default", std::string(hint));
      }
    });
  }

  // Any member: section, list or scalar.
  template <class T>
  void read_value(const YamlNode& node, const Field& field, const std::string& path, T& value) {
    if constexpr (HasFields<T>) {
      read_section(node, path, value);
    } else if constexpr (ScalarValue<T>) {
      read_scalar(node, field, path, value);
    } else {
      read_list(node, field, path, value);
    }
  }

  void report(const YamlNode& node, std::string path, std::string message, std::string hint);
  void report_unknown(const YamlNode& node,
                      const std::string& path,
                      const std::vector<std::string_view>& names);
  static std::string join(std::string_view path, std::string_view name);

 private:
  template <class T>
  void read_entry(const YamlEntry& entry, const Field& field, const std::string& path, T& value) {
    positions[path] = {entry.line, entry.column};
    read_value(entry.value, field, path, value);
  }

  template <class T>
  void read_scalar(const YamlNode& node, const Field& field, const std::string& path, T& value) {
    constexpr bool kIsText = std::is_same_v<T, std::string>;
    const bool empty_text = kIsText && node.kind == YamlNode::Kind::null;
    if (node.kind != YamlNode::Kind::scalar && !empty_text) {
      report(node, path, "got " + describe(node) + ", expected " + expected_kind<T>(),
             field.help.empty() ? std::string() : std::string(field.help));
      return;
    }
    const std::string_view text = empty_text ? std::string_view() : std::string_view(node.text);
    const Result<void> assigned = assign_scalar(field, text, value);
    if (!assigned) report(node, path, assigned.error().message, assigned.error().hint);
  }

  template <class T>
  void read_list(const YamlNode& node,
                 const Field& field,
                 const std::string& path,
                 std::vector<T>& values) {
    values.clear();
    if (node.kind == YamlNode::Kind::null) return;
    if (node.kind != YamlNode::Kind::list) {
      report(node, path, "got " + describe(node) + ", expected a list",
             "write [a, b] or lines that start with `- `");
      return;
    }
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const YamlNode& item = node.items[i];
      const std::string item_path = path + "[" + std::to_string(i) + "]";
      positions[item_path] = {item.line, item.column};
      T value{};
      if constexpr (HasFields<T>) {
        read_section(item, item_path, value);
        require_fields(item, item_path, value, "add it");
      } else {
        read_scalar(item, field, item_path, value);
      }
      values.push_back(std::move(value));
    }
  }

  template <class T>
  static std::string expected_kind() {
    if constexpr (NamedEnum<T>) {
      return one_of({EnumNames<T>::value.begin(), EnumNames<T>::value.end()});
    } else if constexpr (std::is_same_v<T, bool>) {
      return "true or false";
    } else if constexpr (std::is_same_v<T, std::string>) {
      return "a text";
    } else if constexpr (std::is_same_v<T, double>) {
      return "a number";
    } else {
      return "a whole number";
    }
  }
};

}  // namespace tera::spec
