// Settings in JSON, YAML and TOML.
#include <sstream>
#include <string>
#include <utility>

#include <toml++/toml.h>

#include <fmt/format.h>

#include "core/base/json_read.h"
#include "core/spec/interchange/mapping.h"
#include "core/spec/yaml_tree.h"

namespace tera::spec {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::uint64_t kMaxBytes = 1 << 20;
constexpr int kMaxDepth = 16;
constexpr const char* kJsonHint = "expected DeepSpeed's JSON, whole";
constexpr const char* kTomlHint = "expected TorchTitan's TOML, whole";
constexpr const char* kYamlHint = "expected GPT-NeoX's YAML, whole";

std::string joined(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

void flatten(const ordered_json& value, const std::string& path, SettingList& settings) {
  for (const auto& [name, member] : value.items()) {
    Setting setting;
    setting.key = joined(path, name);
    if (member.is_null()) continue;
    if (member.is_object()) {
      flatten(member, setting.key, settings);
      continue;
    }
    setting.text = member.is_string() ? member.get<std::string>() : member.dump();
    setting.kind = member.is_string()    ? Setting::Kind::quoted
                   : member.is_boolean() ? Setting::Kind::boolean
                   : member.is_array()   ? Setting::Kind::list
                                         : Setting::Kind::number;
    settings.push_back(std::move(setting));
  }
}

// A list as JSON.
std::string list_text(const YamlNode& node, int depth = 0) {
  const bool list = node.kind == YamlNode::Kind::list;
  const bool word =
      depth > 0 && !list && (node.quoted || (!node.text.empty() && !number_in(node.text)));
  if (word) return json(node.text).dump(-1, ' ', false, json::error_handler_t::replace);
  if (!list || depth > kMaxDepth) return node.text;
  std::string items;
  for (const YamlNode& item : node.items)
    items += (items.empty() ? "" : ", ") + list_text(item, depth + 1);
  return "[" + items + "]";
}

class YamlFlattener {
 public:
  YamlFlattener(const std::vector<ConfigFile>& files, std::vector<ImportFinding>& findings)
      : files_(files), findings_(findings) {}

  SettingList settings;

  void add(const YamlNode& node, const std::string& path, std::size_t file) {
    for (const YamlEntry& entry : node.entries) {
      std::string name = entry.key;
      for (char& c : name)
        if (c == '-') c = '_';
      const std::string key = joined(path, name);
      if (entry.value.kind == YamlNode::Kind::map) {
        add(entry.value, key, file);
      } else if (entry.value.kind != YamlNode::Kind::null) {
        add_once(setting_of(entry, key, file));
      }
    }
  }

 private:
  static Setting setting_of(const YamlEntry& entry, const std::string& key, std::size_t file) {
    Setting setting;
    setting.key = key;
    setting.file = file;
    setting.line = entry.line;
    setting.column = entry.column;
    setting.text = list_text(entry.value);
    if (entry.value.kind == YamlNode::Kind::list) {
      setting.kind = Setting::Kind::list;
    } else if (entry.value.quoted) {
      setting.kind = Setting::Kind::quoted;
    } else if (setting.text == "true" || setting.text == "True" || setting.text == "false" ||
               setting.text == "False") {
      setting.text = setting.text[0] == 't' || setting.text[0] == 'T' ? "true" : "false";
      setting.kind = Setting::Kind::boolean;
    }
    return setting;
  }

  void add_once(Setting setting) {
    for (const Setting& other : settings) {
      if (other.key != setting.key) continue;
      if (other.text == setting.text) return;
      problem(findings_, setting.file,
              fmt::format("{} here, but {} in line {} of {}", shown(setting), shown(other),
                          other.line, files_[other.file].name),
              "remove one of them", setting.line, setting.column);
      findings_.back().diagnostic.field = setting.key;
      return;
    }
    settings.push_back(std::move(setting));
  }

  const std::vector<ConfigFile>& files_;
  std::vector<ImportFinding>& findings_;
};

void flatten(const toml::table& table, const std::string& path, SettingList& settings) {
  for (const auto& [name, node] : table) {
    Setting setting;
    setting.key = joined(path, name.str());
    setting.line = static_cast<int>(node.source().begin.line);
    setting.column = static_cast<int>(node.source().begin.column);
    if (const toml::table* inner = node.as_table()) {
      flatten(*inner, setting.key, settings);
      continue;
    }
    if (const auto* text = node.as_string()) {
      setting.text = text->get();
      setting.kind = Setting::Kind::quoted;
    } else {
      std::ostringstream stream;
      if (node.is_array()) {
        stream << toml::json_formatter{node};
      } else {
        node.visit([&stream](const auto& value) { stream << value; });
      }
      setting.text = stream.str();
      setting.kind = node.is_boolean()  ? Setting::Kind::boolean
                     : node.is_number() ? Setting::Kind::number
                                        : Setting::Kind::list;
      const json list = json::parse(setting.text, nullptr, false);
      if (list.is_array()) setting.text = list.dump();
    }
    settings.push_back(std::move(setting));
  }
}

ordered_json value_of(const Setting& setting) {
  if (setting.kind == Setting::Kind::quoted || setting.kind == Setting::Kind::bare)
    return setting.text;
  return ordered_json::parse(setting.text);
}

ordered_json nested(const SettingList& settings) {
  ordered_json document = ordered_json::object();
  for (const Setting& setting : settings) {
    ordered_json* at = &document;
    std::string_view path = setting.key;
    for (auto dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.')) {
      at = &(*at)[std::string(path.substr(0, dot))];
      path.remove_prefix(dot + 1);
    }
    (*at)[std::string(path)] = value_of(setting);
  }
  return document;
}

void write_yaml(const ordered_json& value, int depth, std::string& text) {
  for (const auto& [name, member] : value.items()) {
    text += std::string(static_cast<std::size_t>(2 * depth), ' ') + name + ":";
    if (member.is_object()) {
      text += "\n";
      write_yaml(member, depth + 1, text);
    } else {
      text += " " + member.dump() + "\n";
    }
  }
}

// A table's own settings come before the tables in it.
void write_toml(const ordered_json& value, const std::string& table, std::string& text) {
  bool open = table.empty();
  for (const auto& [name, member] : value.items()) {
    if (member.is_object()) continue;
    if (!open) text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", table);
    open = true;
    text += fmt::format("{} = {}\n", name, member.dump());
  }
  for (const auto& [name, member] : value.items())
    if (member.is_object()) write_toml(member, table.empty() ? name : table + "." + name, text);
}

}  // namespace

void problem(std::vector<ImportFinding>& findings,
             std::size_t file,
             std::string message,
             std::string hint,
             int line,
             int column) {
  findings.push_back({file,
                      {.severity = Severity::error,
                       .field = {},
                       .message = std::move(message),
                       .hint = std::move(hint),
                       .line = line,
                       .column = column}});
}

SettingList read_json_settings(const ConfigFile& file, std::vector<ImportFinding>& findings) {
  SettingList settings;
  const JsonLimits limits{.max_bytes = kMaxBytes, .max_depth = kMaxDepth, .unique_keys = true};
  const Result<json> parsed = parse_json(file.text, limits);
  if (!parsed) {
    problem(findings, 0, parsed.error().message, kJsonHint);
  } else if (!parsed->is_object() || parsed->empty()) {
    problem(findings, 0, "holds no settings, expected an object of them", kJsonHint);
  } else {
    flatten(ordered_json::parse(file.text), {}, settings);
  }
  return settings;
}

SettingList read_yaml_settings(const std::vector<ConfigFile>& files,
                               std::vector<ImportFinding>& findings) {
  YamlFlattener flattener(files, findings);
  for (std::size_t i = 0; i < files.size(); ++i) {
    const YamlTree tree = parse_yaml_tree(files[i].text, {});
    for (const Diagnostic& d : tree.diagnostics)
      findings.push_back({i, d});
    if (!tree.ok()) continue;
    if (tree.root.kind != YamlNode::Kind::map) {
      problem(findings, i,
              fmt::format("got {}, expected settings such as num_layers: 24", describe(tree.root)),
              kYamlHint);
    } else {
      flattener.add(tree.root, {}, i);
    }
  }
  return std::move(flattener.settings);
}

SettingList read_toml_settings(const ConfigFile& file, std::vector<ImportFinding>& findings) {
  SettingList settings;
  if (file.text.size() > kMaxBytes) {
    problem(findings, 0, fmt::format("{} bytes, expected at most {}", file.text.size(), kMaxBytes),
            {});
    return settings;
  }
  try {
    flatten(toml::parse(file.text), {}, settings);
  } catch (const toml::parse_error& error) {
    problem(findings, 0, fmt::format("not TOML: {}", error.description()), kTomlHint,
            static_cast<int>(error.source().begin.line),
            static_cast<int>(error.source().begin.column));
    return settings;
  }
  if (settings.empty())
    problem(findings, 0, "holds no settings, expected tables of them", kTomlHint);
  return settings;
}

std::string write_json_settings(const SettingList& settings) {
  return nested(settings).dump(2) + "\n";
}

std::string write_yaml_settings(const SettingList& settings) {
  std::string text;
  write_yaml(nested(settings), 0, text);
  return text;
}

std::string write_toml_settings(const SettingList& settings) {
  std::string text;
  write_toml(nested(settings), {}, text);
  return text;
}

}  // namespace tera::spec
