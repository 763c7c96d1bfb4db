// parse_run_spec and load_run_spec: text -> RunSpec with every problem found.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/vfs.h"
#include "core/spec/presets.h"
#include "core/spec/yaml.h"
#include "core/spec/yaml_decode.h"

namespace tera::spec {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kThisMachine = "this-machine";

void add_error(ParsedSpec& parsed, const YamlNode& node, std::string field, const Error& error) {
  parsed.diagnostics.push_back({.severity = Severity::error,
                                .field = std::move(field),
                                .message = error.message,
                                .hint = error.hint,
                                .line = node.line,
                                .column = node.column});
}

// The name after `preset:` in a section; empty when there is none.
std::string preset_name(const YamlNode& root, std::string_view section, ParsedSpec& parsed) {
  const YamlEntry* entry = root.find(section);
  const YamlEntry* preset = entry == nullptr ? nullptr : entry->value.find("preset");
  if (preset == nullptr) return {};
  const std::string path = YamlDecoder::join(section, "preset");
  parsed.positions[path] = {preset->line, preset->column};
  if (preset->value.kind != YamlNode::Kind::scalar) {
    add_error(parsed, preset->value, path,
              {ErrorCode::invalid_input,
               fmt::format("got {}, expected the name of a preset", describe(preset->value)),
               "for example `preset: tiny-moe`"});
    return {};
  }
  return preset->value.text;
}

const YamlNode& preset_node(const YamlNode& root, std::string_view section) {
  return root.find(section)->value.find("preset")->value;
}

void apply_model_preset(const YamlNode& root, ParsedSpec& parsed) {
  const std::string name = preset_name(root, "model", parsed);
  if (name.empty()) return;
  Result<ModelPreset> preset = model_preset(name);
  if (preset) {
    parsed.spec.model = preset->model;
  } else {
    add_error(parsed, preset_node(root, "model"), "model.preset", preset.error());
  }
}

// A spec without a cluster, or with an empty one, is planned for the machine it is read on.
void apply_cluster_preset(const YamlNode& root, ParsedSpec& parsed) {
  const std::string given = preset_name(root, "cluster", parsed);
  const YamlEntry* section = root.find("cluster");
  const bool absent =
      section == nullptr || section->value.kind == YamlNode::Kind::null ||
      (section->value.kind == YamlNode::Kind::map && section->value.entries.empty());
  if (given.empty() && !absent) return;
  Result<ClusterPreset> preset = cluster_preset(given.empty() ? kThisMachine : given);
  if (preset) {
    parsed.spec.cluster = preset->cluster;
    for (Diagnostic note : preset->notes) {
      const auto at = parsed.positions.find("cluster.preset");
      if (at != parsed.positions.end()) std::tie(note.line, note.column) = at->second;
      parsed.diagnostics.push_back(std::move(note));
    }
  } else {
    add_error(parsed, given.empty() ? root : preset_node(root, "cluster"), "cluster.preset",
              preset.error());
  }
}

void require_model(const YamlNode& root, const RunSpec& spec, YamlDecoder& decoder) {
  const YamlEntry* model = root.find("model");
  if (model == nullptr || model->value.kind == YamlNode::Kind::null) {
    YamlNode at = root;
    if (model != nullptr) {
      at.line = model->line;
      at.column = model->column;
    }
    decoder.report(at, "model", "missing, and there is no default",
                   "start with `model: {preset: tiny-moe}`");
  } else if (model->value.kind == YamlNode::Kind::map && model->value.find("preset") == nullptr) {
    YamlNode at = model->value;
    at.line = model->line;
    at.column = model->column;
    decoder.require_fields(at, "model", spec.model, "add it, or start from a `preset:`");
  }
}

fs::path resolved(const fs::path& folder, const std::string& path) {
  const fs::path given(path);
  return (given.is_absolute() ? given : folder / given).lexically_normal();
}

// Nothing to read, or something that would keep a reader waiting, such as a pipe.
std::optional<Error> not_a_file(const fs::path& path) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  switch (status.type()) {
    case fs::file_type::not_found:
      return Error{ErrorCode::not_found, "no such file",
                   "`teragpt init -o FILE` writes a spec to start from"};
    case fs::file_type::directory:
      return Error{ErrorCode::invalid_input, "got a folder, expected a YAML file",
                   "name the file in it"};
    case fs::file_type::fifo:
    case fs::file_type::socket:
      return Error{ErrorCode::invalid_input, "got a pipe or socket, expected a YAML file",
                   "save the text to a file first"};
    default:
      return std::nullopt;
  }
}

}  // namespace

ParsedSpec parse_run_spec(std::string_view text, const YamlLimits& limits) {
  ParsedSpec parsed;
  const YamlTree tree = parse_yaml_tree(text, limits);
  parsed.diagnostics = tree.diagnostics;
  const bool stopped = tree.root.kind == YamlNode::Kind::null && !tree.ok();
  if (stopped) return parsed;
  YamlDecoder decoder;
  if (tree.root.kind != YamlNode::Kind::map) {
    decoder.report(tree.root, {}, fmt::format("got {}, expected sections", describe(tree.root)),
                   "start with `model: {preset: tiny-moe}`");
  } else {
    apply_model_preset(tree.root, parsed);
    apply_cluster_preset(tree.root, parsed);
    decoder.extra_keys = {{"model", {"preset"}}, {"cluster", {"preset"}}};
    decoder.read_section(tree.root, {}, parsed.spec);
    require_model(tree.root, parsed.spec, decoder);
  }
  parsed.positions.merge(decoder.positions);
  parsed.diagnostics.insert(parsed.diagnostics.end(), decoder.diagnostics.begin(),
                            decoder.diagnostics.end());
  std::stable_sort(parsed.diagnostics.begin(), parsed.diagnostics.end(),
                   [](const Diagnostic& a, const Diagnostic& b) {
                     return std::pair(a.line, a.column) < std::pair(b.line, b.column);
                   });
  return parsed;
}

ParsedSpec load_run_spec(const fs::path& path) {
  const YamlLimits limits;
  if (const std::optional<Error> error = not_a_file(path)) {
    ParsedSpec parsed;
    add_error(parsed, {}, {}, *error);
    return parsed;
  }
  const Result<std::string> text =
      read_text(posix_vfs(), path, static_cast<std::uint64_t>(limits.max_bytes));
  if (!text) {
    ParsedSpec parsed;
    add_error(parsed, {}, {}, text.error());
    return parsed;
  }
  ParsedSpec parsed = parse_run_spec(*text, limits);
  std::error_code ignored;
  const fs::path folder = fs::absolute(path, ignored).parent_path();
  DataConfig& data = parsed.spec.data;
  for (DatasetConfig& dataset : data.datasets) {
    if (!dataset.path.empty()) dataset.path = resolved(folder, dataset.path).string();
  }
  for (std::string* file :
       {&data.tokenizer, &parsed.spec.training.init_from, &parsed.spec.layout.schedule_file}) {
    if (!file->empty()) *file = resolved(folder, *file).string();
  }
  return parsed;
}

}  // namespace tera::spec
