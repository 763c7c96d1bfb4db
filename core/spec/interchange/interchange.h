// Configurations of other projects, both ways: plan here, run there. What the other side has no
// place for is listed by name, never dropped silently.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fields.h"
#include "core/base/result.h"
#include "core/spec/run_spec.h"

namespace tera::spec {

// megatron: the arguments of Megatron-LM, as a command or a file of them; deepspeed: its JSON;
// gpt_neox: YAML, also of several files; torchtitan: TOML; hugging_face: config.json of
// transformers.
enum class ConfigFormat : std::uint8_t { megatron, deepspeed, gpt_neox, torchtitan, hugging_face };

struct ConfigFile {
  std::string name;  // for messages
  std::string text;
};

// A setting of one side that the other has no place for.
struct LeftOut {
  std::string name;  // theirs on import, the path of ours on export
  std::string value;
  std::string why;
  bool operator==(const LeftOut&) const = default;
};

struct ImportFinding {
  std::size_t file = 0;   // index of the file
  Diagnostic diagnostic;  // fields and messages in the words of the file
};

struct ImportOptions {
  RunSpec onto;               // what the files say nothing about stays as it is here
  std::int64_t num_gpus = 0;  // ranks of the run; 0: what the files say, else one replica
};

struct ImportedConfig {
  RunSpec spec;  // complete only when no finding is an error
  std::vector<LeftOut> left_out;
  std::vector<ImportFinding> findings;
  bool ok() const;
};

// Reads the files of one configuration. Never throws. Errors: text that is not of the format, wrong
// types and words, settings that contradict each other, and what validation says, in the words of
// the file.
ImportedConfig import_config(ConfigFormat format,
                             const std::vector<ConfigFile>& files,
                             const ImportOptions& options);

struct ExportedConfig {
  std::string text;               // ends with a newline
  std::vector<LeftOut> left_out;  // fields that read back from the text with another value
};

// Writes a valid spec. Errors: a model for which the format has no words at all.
Result<ExportedConfig> export_config(const RunSpec& spec, ConfigFormat format);

// The format by the file's name, and where that says nothing by its text.
ConfigFormat guess_format(const ConfigFile& file);

}  // namespace tera::spec

namespace tera {
template <>
struct EnumNames<spec::ConfigFormat> {
  static constexpr std::array<std::string_view, 5> value = {"megatron", "deepspeed", "gpt-neox",
                                                            "torchtitan", "hugging-face"};
};
}  // namespace tera
