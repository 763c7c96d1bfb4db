#include "core/spec/interchange/interchange.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "core/spec/export.h"
#include "core/spec/import.h"
#include "core/spec/interchange/mapping.h"
#include "core/spec/interchange/torchtitan_flavors.h"

namespace tera::spec {
namespace {

void import_hugging_face(const std::vector<ConfigFile>& files,
                         const ImportOptions&,
                         ImportedConfig& out) {
  const HuggingFaceConfig config = parse_hugging_face_config(files.front().text);
  for (const Diagnostic& d : config.diagnostics) {
    if (d.severity == Severity::error) {
      out.findings.push_back({0, d});
    } else {
      out.left_out.push_back({.name = d.field, .value = {}, .why = d.message});
    }
  }
  out.spec.model = config.model;
}

struct Format {
  std::string_view title;
  void (*read)(const std::vector<ConfigFile>&, const ImportOptions&, ImportedConfig&);
  std::string (*write)(const RunSpec&);  // null: by core/spec/export.h
  bool has_experts;                      // and latent attention
};

// In the order of the enumerators.
constexpr std::array<Format, EnumNames<ConfigFormat>::value.size()> kFormats = {
    Format{"Megatron-LM", import_megatron, export_megatron, true},
    Format{"DeepSpeed", import_deepspeed, export_deepspeed, true},
    Format{"GPT-NeoX", import_gpt_neox, export_gpt_neox, false},
    Format{"TorchTitan", import_torchtitan, export_torchtitan, true},
    Format{"transformers", import_hugging_face, nullptr, true}};

const Format& format_of(ConfigFormat format) {
  return kFormats[static_cast<std::size_t>(format)];
}

// Whether the text says what the model is; where it does not, the program or a flavor would.
bool describes_model(const RunSpec& spec, ConfigFormat format) {
  return format != ConfigFormat::deepspeed &&
         (format != ConfigFormat::torchtitan || find_flavor(spec.model) != nullptr);
}

Result<ExportedConfig> export_to_transformers(const RunSpec& spec) {
  TERA_TRY(HuggingFaceExport written,
           export_hugging_face(spec.model, {.bf16 = spec.training.precision != Precision::fp32}));
  ExportedConfig exported{.text = std::move(written.config_json), .left_out = {}};
  for (const Diagnostic& d : written.notes)
    exported.left_out.push_back({.name = d.field, .value = {}, .why = d.message});
  for (const char* section : {"layout", "training", "software"}) {
    exported.left_out.push_back(
        {.name = section, .value = {}, .why = "config.json describes the model, not its training"});
  }
  return exported;
}

}  // namespace

bool ImportedConfig::ok() const {
  return std::none_of(findings.begin(), findings.end(), [](const ImportFinding& found) {
    return found.diagnostic.severity == Severity::error;
  });
}

ImportedConfig import_config(ConfigFormat format,
                             const std::vector<ConfigFile>& files,
                             const ImportOptions& options) {
  ImportedConfig imported{.spec = options.onto, .left_out = {}, .findings = {}};
  const bool several = format == ConfigFormat::gpt_neox || format == ConfigFormat::megatron;
  if (files.empty() || (files.size() > 1 && !several)) {
    imported.findings.push_back({0,
                                 {.severity = Severity::error,
                                  .field = {},
                                  .message = fmt::format("got {} files, expected one of {}",
                                                         files.size(), format_of(format).title),
                                  .hint = {}}});
    return imported;
  }
  format_of(format).read(files, options, imported);
  return imported;
}

Result<ExportedConfig> export_config(const RunSpec& spec, ConfigFormat format) {
  const Format& kind = format_of(format);
  if (kind.write == nullptr) return export_to_transformers(spec);
  if (!kind.has_experts && spec.model.num_experts > 0) {
    return fail(ErrorCode::unsupported,
                fmt::format("model.num_experts = {} cannot be written for {}, whose experts are "
                            "others",
                            spec.model.num_experts, kind.title),
                "write it for megatron");
  }
  if (!kind.has_experts && spec.model.attention == AttentionKind::latent) {
    return fail(ErrorCode::unsupported,
                fmt::format("model.attention = latent cannot be written for {}", kind.title),
                "write it for megatron");
  }
  ExportedConfig exported{.text = kind.write(spec), .left_out = {}};
  ImportOptions options;
  options.onto.cluster = spec.cluster;
  const bool described = describes_model(spec, format);
  if (!described) options.onto.model = spec.model;
  const ImportedConfig back = import_config(format, {{"", exported.text}}, options);
  for (const ImportFinding& found : back.findings) {
    if (found.diagnostic.severity != Severity::error) continue;
    return fail(ErrorCode::unsupported,
                fmt::format("{} cannot have it: {}: {}", kind.title, found.diagnostic.field,
                            found.diagnostic.message),
                found.diagnostic.hint);
  }
  exported.left_out = differences(spec, back.spec, kind.title);
  if (!described) {
    const char* why = format == ConfigFormat::deepspeed
                          ? "the program that calls DeepSpeed makes the model"
                          : "no flavor of TorchTitan is this model: register one with these sizes";
    exported.left_out.insert(exported.left_out.begin(), {.name = "model", .value = {}, .why = why});
  }
  return exported;
}

ConfigFormat guess_format(const ConfigFile& file) {
  const auto ends = [&file](std::string_view end) { return file.name.ends_with(end); };
  if (ends(".toml")) return ConfigFormat::torchtitan;
  if (ends(".yaml") || ends(".yml")) return ConfigFormat::gpt_neox;
  const auto first = file.text.find_first_not_of(" \t\r\n");
  if (!ends(".json") && (first == std::string::npos || file.text[first] != '{'))
    return ConfigFormat::megatron;
  return file.text.find("\"model_type\"") != std::string::npos ? ConfigFormat::hugging_face
                                                               : ConfigFormat::deepspeed;
}

}  // namespace tera::spec
