// The settings of a foreign configuration as one flat list: "zero_optimization.stage" = 1. Every
// text format is read into this, and written from it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/spec/interchange/interchange.h"

namespace tera::spec {

struct Setting {
  // bare: without quotes where the format has no types; list: JSON; flag: a name without a value.
  enum class Kind : std::uint8_t { bare, quoted, number, boolean, list, flag };
  std::string key;
  std::string text;
  Kind kind = Kind::bare;
  std::size_t file = 0;
  int line = 0;  // 1-based; 0: the format does not say
  int column = 0;
  bool used = false;
};

using SettingList = std::vector<Setting>;

// What a setting is, for messages: 'abc', true, nothing.
std::string shown(const Setting& setting);

// Adds an error at a place of a text; line 0: of all of it.
void problem(std::vector<ImportFinding>& findings,
             std::size_t file,
             std::string message,
             std::string hint,
             int line = 0,
             int column = 0);

// Readers: settings in the order of the text, keys once each. Problems become findings.
SettingList read_arguments(const ConfigFile& file, std::vector<ImportFinding>& findings);
SettingList read_json_settings(const ConfigFile& file, std::vector<ImportFinding>& findings);
SettingList read_yaml_settings(const std::vector<ConfigFile>& files,
                               std::vector<ImportFinding>& findings);
SettingList read_toml_settings(const ConfigFile& file, std::vector<ImportFinding>& findings);

// Writers. Keys with dots become objects, mappings and tables.
std::string write_arguments(const SettingList& settings);
std::string write_json_settings(const SettingList& settings);
std::string write_yaml_settings(const SettingList& settings);
std::string write_toml_settings(const SettingList& settings);

}  // namespace tera::spec
