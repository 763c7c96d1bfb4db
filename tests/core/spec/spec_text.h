// Helpers of the spec tests: a small legal spec and findings as text.
#pragma once
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "core/spec/validate.h"

namespace tera::spec {

// A device profile measured on this computer must not change what the tests see.
inline const bool kWithoutDeviceProfile = setenv("XDG_CACHE_HOME", "/nonexistent", 1) == 0;

inline RunSpec tiny_spec() {
  return parse_run_spec("model: {preset: tiny-moe}\n").spec;
}

// "3:5: error: model.num_layers: message (hint)" per line, notes and warnings included.
inline std::string findings_text(const std::vector<Diagnostic>& diagnostics) {
  static constexpr const char* kSeverity[] = {"note", "warning", "error"};
  std::string text;
  for (const Diagnostic& d : diagnostics) {
    text += fmt::format("{}:{}: {}: {}{}{}\n", d.line, d.column,
                        kSeverity[static_cast<int>(d.severity)], d.field,
                        d.field.empty() ? "" : ": ", d.message);
    if (!d.hint.empty()) text += fmt::format("  hint: {}\n", d.hint);
  }
  return text;
}

}  // namespace tera::spec
