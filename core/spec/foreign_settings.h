// The settings of another project's JSON configuration: typed reads that record every problem, and
// which keys nobody asked for.
#pragma once
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace tera::spec {

class ForeignSettings {
 public:
  // Problems go to `diagnostics`, their fields prefixed with `path`. Both arguments outlive it.
  ForeignSettings(const nlohmann::json& values,
                  std::string path,
                  std::vector<Diagnostic>& diagnostics);

  // The value of a key; `otherwise` when it is absent or null. Without `otherwise` the key is
  // required. A value of another type is an error and gives `otherwise`, or zero.
  int integer(std::string_view key, std::optional<int> otherwise = {});
  double number(std::string_view key, std::optional<double> otherwise = {});
  bool flag(std::string_view key, bool otherwise);
  std::string text(std::string_view key, std::string otherwise);
  ForeignSettings object(std::string_view key);  // empty when absent or null
  bool has(std::string_view key) const;          // present and not null

  // Keys that carry nothing the engine reads.
  void ignore(std::initializer_list<std::string_view> keys);
  // An error when the key is present with another value than the one the engine has.
  void expect(std::string_view key, const nlohmann::json& only, std::string_view why);
  // A note when a dropout or another setting of training is not zero.
  void leave_out(std::initializer_list<std::string_view> keys);
  void error(std::string_view key, std::string message, std::string hint = {});
  // A warning for every key that no call above has named.
  void report_unknown();

  const nlohmann::json& values() const { return *values_; }

 private:
  const nlohmann::json* find(std::string_view key);
  void mistyped(std::string_view key, std::string_view expected);
  void add(Severity severity, std::string_view key, std::string message, std::string hint = {});

  const nlohmann::json* values_;
  std::string path_;
  std::vector<Diagnostic>* diagnostics_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace tera::spec
