#include "core/spec/yaml_decode.h"

#include <algorithm>

#include <fmt/format.h>

namespace tera::spec {

void YamlDecoder::report(const YamlNode& node,
                         std::string path,
                         std::string message,
                         std::string hint) {
  diagnostics.push_back({.severity = Severity::error,
                         .field = std::move(path),
                         .message = std::move(message),
                         .hint = std::move(hint),
                         .line = node.line,
                         .column = node.column});
}

void YamlDecoder::report_unknown(const YamlNode& node,
                                 const std::string& path,
                                 const std::vector<std::string_view>& names) {
  for (const YamlEntry& entry : node.entries) {
    if (std::find(names.begin(), names.end(), entry.key) != names.end()) continue;
    constexpr std::size_t kShown = 128;
    const auto nearest = nearest_word(entry.key, names);
    std::string hint = nearest ? fmt::format("did you mean {}?", *nearest)
                               : fmt::format("known here: {}", fmt::join(names, ", "));
    diagnostics.push_back({.severity = Severity::error,
                           .field = join(path, std::string_view(entry.key).substr(0, kShown)),
                           .message = "unknown key",
                           .hint = std::move(hint),
                           .line = entry.line,
                           .column = entry.column});
  }
}

std::string YamlDecoder::join(std::string_view path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

}  // namespace tera::spec
