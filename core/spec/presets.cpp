#include "core/spec/presets.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/base/resources.h"
#include "core/base/vfs.h"
#include "core/spec/suggest.h"
#include "core/spec/this_machine.h"
#include "core/spec/yaml_decode.h"

namespace tera::spec {
namespace {

struct PublishedFigures {
  double total_params = 0;
  double active_params = 0;
  double tolerance = 0.005;

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "total_params", .min = 0, .help = "Published parameters."},
          self.total_params);
    visit(Field{.name = "active_params", .min = 0, .help = "Published parameters per token."},
          self.active_params);
    visit(
        Field{
            .name = "tolerance", .min = 0, .max = 1, .help = "Rounding of the published figures."},
        self.tolerance);
  }
};

// One of the files; a mistake in it is an error of the installation and names the file and line.
Result<YamlTree> read_preset_file(const std::string& folder, std::string_view name) {
  TERA_TRY(const auto path, resource_path(fmt::format("{}/{}.yaml", folder, name)));
  const YamlLimits limits;
  TERA_TRY(const std::string text,
           read_text(posix_vfs(), path, static_cast<std::uint64_t>(limits.max_bytes)));
  YamlTree tree = parse_yaml_tree(text, limits);
  if (!tree.ok()) {
    const Diagnostic& first = tree.diagnostics.front();
    return fail(ErrorCode::corrupt,
                fmt::format("{}:{}: {}", path.string(), first.line, first.message), first.hint);
  }
  return tree;
}

Result<void> check_decoded(const YamlDecoder& decoder,
                           const std::string& folder,
                           std::string_view name) {
  if (!has_errors(decoder.diagnostics)) return {};
  const Diagnostic& first = decoder.diagnostics.front();
  return fail(
      ErrorCode::corrupt,
      fmt::format("{}/{}.yaml:{}: {}: {}", folder, name, first.line, first.field, first.message),
      first.hint);
}

Result<void> check_known(std::string_view kind,
                         std::string_view name,
                         const Result<std::vector<std::string>>& names) {
  if (!names) return tl::unexpected<Error>(names.error());
  if (std::find(names->begin(), names->end(), name) != names->end()) return {};
  const std::vector<std::string_view> words(names->begin(), names->end());
  const auto nearest = nearest_word(name, words);
  return fail(ErrorCode::not_found, fmt::format("no {} preset '{}'", kind, name.substr(0, 60)),
              nearest ? fmt::format("did you mean {}?", *nearest) : "use " + one_of(words));
}

// The comment lines a file starts with.
std::string_view head_comment(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && text[end] == '#') {
    end = std::min(text.find('\n', end), text.size() - 1) + 1;
  }
  return text.substr(0, end);
}

// "# A title: more.\n# And more." -> "A title"
std::string first_sentence(std::string_view comment) {
  std::string joined;
  for (const char c : comment) {
    if (c == '#') continue;
    joined += c == '\n' ? ' ' : c;
  }
  const std::size_t begin = std::min(joined.find_first_not_of(' '), joined.size());
  const std::size_t end = std::min(joined.find(". ", begin), joined.find(": ", begin));
  return joined.substr(begin, end == std::string::npos ? end : end - begin);
}

void read_title_and_sources(const YamlNode& root,
                            std::string& title,
                            std::map<std::string, std::string>& sources) {
  if (const YamlEntry* entry = root.find("title")) title = entry->value.text;
  if (const YamlEntry* entry = root.find("sources")) {
    for (const YamlEntry& source : entry->value.entries)
      sources[source.key] = source.value.text;
  }
}

}  // namespace

Result<std::vector<std::string>> model_preset_names() {
  return resource_names("models", ".yaml");
}
Result<std::vector<std::string>> cluster_preset_names() {
  return resource_names("clusters", ".yaml");
}

Result<std::vector<std::string>> run_preset_names() {
  return resource_names("runs", ".yaml");
}

Result<ModelPreset> model_preset(std::string_view name) {
  TERA_TRY_VOID(check_known("model", name, model_preset_names()));
  TERA_TRY(const YamlTree tree, read_preset_file("models", name));
  ModelPreset preset;
  preset.name = std::string(name);
  read_title_and_sources(tree.root, preset.title, preset.sources);
  YamlDecoder decoder;
  if (const YamlEntry* entry = tree.root.find("model")) {
    decoder.read_section(entry->value, "model", preset.model);
    decoder.require_fields(entry->value, "model", preset.model, "add it");
  }
  PublishedFigures published;
  if (const YamlEntry* entry = tree.root.find("published")) {
    decoder.read_section(entry->value, "published", published);
  }
  decoder.report_unknown(tree.root, {}, {"title", "model", "published", "sources"});
  TERA_TRY_VOID(check_decoded(decoder, "models", name));
  preset.published_total_params = published.total_params;
  preset.published_active_params = published.active_params;
  preset.published_tolerance = published.tolerance;
  return preset;
}

Result<ClusterPreset> cluster_preset(std::string_view name) {
  TERA_TRY_VOID(check_known("cluster", name, cluster_preset_names()));
  TERA_TRY(const YamlTree tree, read_preset_file("clusters", name));
  ClusterPreset preset;
  preset.name = std::string(name);
  read_title_and_sources(tree.root, preset.title, preset.sources);
  YamlDecoder decoder;
  if (const YamlEntry* entry = tree.root.find("cluster")) {
    decoder.read_section(entry->value, "cluster", preset.cluster);
  }
  decoder.report_unknown(tree.root, {}, {"title", "cluster", "sources"});
  TERA_TRY_VOID(check_decoded(decoder, "clusters", name));
  preset.cluster.preset = preset.name;
  if (name == "this-machine") describe_this_machine(preset);
  return preset;
}

Result<RunPreset> run_preset(std::string_view name) {
  TERA_TRY_VOID(check_known("run", name, run_preset_names()));
  TERA_TRY(const auto path, resource_path(fmt::format("runs/{}.yaml", name)));
  TERA_TRY(const std::string text,
           read_text(posix_vfs(), path, static_cast<std::uint64_t>(YamlLimits{}.max_bytes)));
  ParsedSpec parsed = parse_run_spec(text);
  if (!parsed.ok()) {
    const auto first =
        std::find_if(parsed.diagnostics.begin(), parsed.diagnostics.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::error; });
    return fail(
        ErrorCode::corrupt,
        fmt::format("{}:{}: {}: {}", path.string(), first->line, first->field, first->message),
        first->hint);
  }
  const std::string comment(head_comment(text));
  return RunPreset{std::string(name), first_sentence(comment), comment, std::move(parsed.spec)};
}

}  // namespace tera::spec
