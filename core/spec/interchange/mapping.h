// One table per format says which of its settings is which of our fields; the same rows are read
// and written. Relations between settings (a world size, a default that depends on another setting)
// stand in the code of the format beside the table.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/spec/interchange/settings.h"
#include "core/spec/yaml.h"

namespace tera::spec {

// One word of theirs for one of ours, as YAML has it.
struct Word {
  std::string_view theirs;
  std::string_view ours;
};

struct Row {
  std::string_view key;             // theirs
  std::string_view field;           // path of ours
  std::string_view otherwise = {};  // their value when the key is absent; empty: ours stays
  // The values and what they mean here; empty: the same number or word on both sides. A flag has
  // one, without a word of theirs: what its presence means.
  std::span<const Word> words = {};
  bool (*when)(const RunSpec&) = nullptr;  // written only then; null: always
  bool required = false;

  bool is_flag() const { return words.size() == 1 && words.front().theirs.empty(); }
};

// Settings that change nothing here, with the reason. "--log-*" is all that begin so. `harmless` is
// the value with which there is nothing to say, if there is one.
struct IdleKeys {
  std::string_view why;
  std::span<const std::string_view> keys;
  std::string_view harmless = {};
};

struct Mapping {
  std::string_view title;  // of the other project
  std::span<const Row> rows;
  std::span<const IdleKeys> idle;
  bool fractions_have_point = false;  // 1.0 where 1 is a number of another type
};

class Importer {
 public:
  Importer(const Mapping& mapping, SettingList settings, ImportedConfig& out);

  // Reads every row of the table into the spec.
  void read_rows();
  // Reads of single settings; a wrong type is an error and counts as absent.
  bool has(std::string_view key) const;
  bool flag(std::string_view key);  // present, or true
  std::optional<std::int64_t> integer(std::string_view key);
  std::optional<double> number(std::string_view key);
  std::optional<std::string> text(std::string_view key);
  std::optional<std::string> list(std::string_view key);  // as JSON
  // Our word for theirs; none when absent. Another word is an error that names the known ones.
  std::optional<std::string> word(std::string_view key, std::span<const Word> words);

  void error(std::string_view key, std::string message, std::string hint = {});
  void warning(std::string_view key, std::string message, std::string hint = {});
  void leave_out(std::string_view key, std::string why);
  // Lists what nobody has read, with the nearest known key for those nobody knows.
  void report_unused();
  // Adds what validation says about the spec, in the words of the file.
  void validate_result();

  RunSpec& spec() { return out_.spec; }
  bool ok() const { return out_.ok(); }

 private:
  void read_row(const Row& row);
  Setting* find(std::string_view key);
  const Setting* find(std::string_view key) const;
  void add(Severity severity, std::string_view key, std::string message, std::string hint);
  std::string in_their_words(std::string text) const;

  const Mapping& mapping_;
  SettingList settings_;
  ImportedConfig& out_;
};

// The settings of a spec by the rows of the table, in their order.
SettingList written_rows(const Mapping& mapping, const RunSpec& spec);
Setting number_setting(std::string key, double value);  // with a point or an exponent
Setting whole_setting(std::string key, std::int64_t value);
Setting text_setting(std::string key, std::string value);
Setting flag_setting(std::string key);
Setting boolean_setting(std::string key, bool value);

// The ranks a run has: what the caller says, else what the files say, which must not disagree with
// the replicas' sizes. Sets layout.data_parallel_size. `key` is blamed.
void share_out_ranks(Importer& importer,
                     std::string_view key,
                     std::int64_t from_file,
                     std::int64_t from_caller);

// The field at a path of ours; null if there is none.
const FieldInfo* field_info(std::string_view path);
// The whole text as a number.
std::optional<double> number_in(std::string_view text);

// value to 12 digits: what a product with a ratio was before the ratio was written.
double without_rounding(double value);

// Fields of `spec` that `back`, which was read from what was written of it, has otherwise.
std::vector<LeftOut> differences(const RunSpec& spec, const RunSpec& back, std::string_view title);

// One importer and exporter per format.
void import_megatron(const std::vector<ConfigFile>& files,
                     const ImportOptions& options,
                     ImportedConfig& out);
void import_deepspeed(const std::vector<ConfigFile>& files,
                      const ImportOptions& options,
                      ImportedConfig& out);
void import_gpt_neox(const std::vector<ConfigFile>& files,
                     const ImportOptions& options,
                     ImportedConfig& out);
void import_torchtitan(const std::vector<ConfigFile>& files,
                       const ImportOptions& options,
                       ImportedConfig& out);
std::string export_megatron(const RunSpec& spec);
std::string export_deepspeed(const RunSpec& spec);
std::string export_gpt_neox(const RunSpec& spec);
std::string export_torchtitan(const RunSpec& spec);

}  // namespace tera::spec
