// YAML text -> a small tree with positions, in a hardened way: limits are enforced while the text
// is read, before anything is built, and duplicate keys, merge keys and unknown tags are refused.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/spec/yaml.h"

namespace tera::spec {

struct YamlEntry;

struct YamlNode {
  enum class Kind : std::uint8_t { null, scalar, list, map } kind = Kind::null;
  std::string text;             // scalar
  bool quoted = false;          // scalar that was written in quotes: a text, whatever it looks like
  std::vector<YamlNode> items;  // list
  std::vector<YamlEntry> entries;  // map, in the order of the text, keys unique
  int line = 0;                    // 1-based
  int column = 0;

  const YamlEntry* find(std::string_view key) const;
};

struct YamlEntry {
  std::string key;
  int line = 0;
  int column = 0;
  YamlNode value;
};

// What a node is, for messages: "a list", "a section", "'abc'", "nothing".
std::string describe(const YamlNode& node);

struct YamlTree {
  YamlNode root;
  std::vector<Diagnostic> diagnostics;
  bool ok() const { return !has_errors(diagnostics); }
};

// Never throws and never recurses deeper than max_depth. Aliases are replaced by copies, which
// count towards the limits. The problems that do not stop the reading (duplicate keys) are all
// collected.
YamlTree parse_yaml_tree(std::string_view text, const YamlLimits& limits);

}  // namespace tera::spec
