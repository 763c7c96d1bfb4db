// YAML text <-> RunSpec. Reading never throws and never half-reads: it returns a spec, or every
// problem found with line and column.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/spec/run_spec.h"

namespace tera::spec {

// Limits against hostile text. Source: design of the input hardening; defaults are far above any
// spec.
struct YamlLimits {
  std::int64_t max_bytes = 1 << 20;
  int max_depth = 32;
  int max_nodes = 20000;
  int max_scalar_bytes = 64 << 10;
  int max_aliases = 64;
};

struct ParsedSpec {
  RunSpec spec;                         // complete only when no diagnostic is an error
  std::vector<Diagnostic> diagnostics;  // parse errors, unknown keys, wrong types, out of range
  // Where each field that the text names stands: "model.num_layers" -> {line, column}.
  std::map<std::string, std::pair<int, int>> positions;
  bool ok() const { return !has_errors(diagnostics); }
};

// Parses and resolves `preset:` keys (model, cluster) from resources/. Sections are model, layout,
// cluster, training, lora, data, launch, inference; name and seed at the top.
ParsedSpec parse_run_spec(std::string_view text, const YamlLimits& limits = {});
// Reads a file (not_found, too large and unreadable become a diagnostic); paths in data.*,
// training.init_from and layout.schedule_file that are relative become relative to the file's
// folder.
ParsedSpec load_run_spec(const std::filesystem::path& path);

// Writes a spec: every field, in the order of the field lists, with help as comments when
// commented.
std::string to_yaml(const RunSpec& spec, bool commented = false);
// The text a person starts from: commented, and of the cluster only its preset and what differs
// from it, so that `preset: this-machine` means whichever machine reads it.
std::string to_template_yaml(const RunSpec& spec);

// Sets one field, such as "layout.tensor_parallel_size" or "data.datasets[0].weight"; lists and
// sections take YAML ("[0.7, 0.3]"), "model.preset" and "cluster.preset" replace the section.
// Errors name the path, or the nearest one if there is no such. Used by --set and the GUI.
Result<void> set_field(RunSpec& spec, std::string_view path, std::string_view value);
// The value of a field as set_field takes it; texts without quotes.
Result<std::string> get_field(const RunSpec& spec, std::string_view path);

// One leaf of the field lists, flattened: what a form or --help needs.
struct FieldInfo {
  std::string path;  // "model.num_layers"
  Field field;
  enum class Kind : std::uint8_t {
    integer,
    number,
    boolean,
    text,
    choice,
    list
  } kind = Kind::integer;
  std::vector<std::string_view> choices;  // Kind::choice
};
const std::vector<FieldInfo>& all_fields();

}  // namespace tera::spec
