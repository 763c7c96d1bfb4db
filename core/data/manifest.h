// NAME.tgd.json: what a dataset is made of. Every file with its hashes, every source with its
// licence evidence, every processing step, and explicit splits. See FORMAT.md.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace tera::data {

inline constexpr std::int64_t kBlockBytes = 64 << 20;  // unit of verification of a file

// One file and its content: SHA-256 for identity, XXH3-64 of each block for checks while reading.
struct FileEntry {
  std::string path;  // relative to the manifest's folder
  std::int64_t bytes = 0;
  std::string sha256;
  std::int64_t block_bytes = kBlockBytes;
  std::vector<std::uint64_t> block_xxh3;
  bool operator==(const FileEntry&) const = default;
};

// A file that a source was read from.
struct InputFile {
  std::string path;
  std::string sha256;
  std::int64_t bytes = 0;
  bool operator==(const InputFile&) const = default;
};

struct SourceLicence {
  std::string spdx;                // SPDX expression
  std::string evidence_path;       // the file that states it
  std::string evidence_sha256;     // empty: no evidence
  std::string status = "unclear";  // declared, confirmed, unclear
  std::string by;                  // who declared or confirmed it
  bool operator==(const SourceLicence&) const = default;
};

struct Source {
  std::string id;
  std::string title;
  std::string version;
  std::string origin_kind;  // debian, file
  std::string origin_ref;   // package or file name
  std::vector<InputFile> inputs;
  SourceLicence licence;
  std::string language;
  std::int64_t documents = 0;
  std::int64_t utf8_bytes = 0;
  bool operator==(const Source&) const = default;
};

// One processing step: what it was told, what it read and wrote (SHA-256), what it kept and
// dropped.
struct ProcessingStep {
  std::string name;
  std::map<std::string, std::string> options;
  std::uint64_t seed = 0;
  std::vector<std::string> in;
  std::vector<std::string> out;
  std::int64_t kept = 0;
  std::map<std::string, std::int64_t> dropped;  // reason -> documents
  bool operator==(const ProcessingStep&) const = default;
};

struct TokenizerEntry {
  std::string sha256;  // Tokenizer::sha256
  std::string name;
  std::int64_t vocab = 0;
  std::int64_t eod_id = -1;
  std::string eod_policy = "append";
  std::string unicode;  // version of the character classes
  std::string mode = "merges";
  bool operator==(const TokenizerEntry&) const = default;
};

// Half-open range of sequences.
struct SequenceRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t size() const { return last - first; }
  bool operator==(const SequenceRange&) const = default;
};

enum class ManifestKind : std::uint8_t { dataset, documents };

struct Manifest {
  ManifestKind kind = ManifestKind::dataset;
  std::string name;
  std::string created;  // RFC 3339, UTC; the one field outside the id
  std::string tool_version;
  TokenizerEntry tokenizer;  // datasets only
  std::int64_t documents = 0;
  std::int64_t sequences = 0;  // datasets only, as the two below
  std::int64_t tokens = 0;
  std::int64_t eod_tokens = 0;
  std::int64_t utf8_bytes = 0;
  std::vector<FileEntry> files;
  std::vector<Source> sources;
  std::vector<ProcessingStep> steps;
  std::map<std::string, std::string> datasheet;  // human text by section, may be empty
  std::array<SequenceRange, 3> splits;           // train, valid, test; datasets only
  bool operator==(const Manifest&) const = default;

  // SHA-256 of the canonical JSON (sorted keys, no white space) without `created`.
  std::string id() const;
  // Sorted keys, two spaces, LF.
  std::string to_json() const;
  // Errors: invalid_input naming the field, what it is and what was expected.
  static Result<Manifest> parse(std::string_view json);
  static Result<Manifest> load(const std::filesystem::path& path);
  // The entry whose path ends with the extension (".bin"); nullptr if there is none.
  const FileEntry* file(std::string_view extension) const;
};

// The names of one dataset's files.
std::filesystem::path with_suffix(const std::filesystem::path& prefix, std::string_view suffix);
// The folder they are in; "." for a bare prefix.
std::filesystem::path folder_of(const std::filesystem::path& prefix);
// RFC 3339 time of now, UTC.
std::string now_rfc3339();

// Reads a whole file and compares size, SHA-256 and every block with its entry; names the first
// block that differs. `deep` false compares the size only.
Result<void> verify_file(const std::filesystem::path& folder, const FileEntry& entry, bool deep);
// Hashes a file into an entry.
Result<FileEntry> describe_file(const std::filesystem::path& path);
Result<InputFile> describe_input(const std::filesystem::path& path);

}  // namespace tera::data
