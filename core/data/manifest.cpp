#include "core/data/manifest.h"

#include <chrono>
#include <ctime>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/hash.h"
#include "core/base/json_read.h"
#include "core/base/vfs.h"
#include "core/data/mapped_file.h"

namespace tera::data {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 3> kSplitNames = {"train", "valid", "test"};
constexpr std::string_view kDatasetSchema = "teragpt.dataset/1";
constexpr std::string_view kDocumentsSchema = "teragpt.documents/1";
constexpr std::uint64_t kMaxManifestBytes = 64 << 20;

json file_json(const FileEntry& file) {
  json blocks = json::array();
  for (const std::uint64_t hash : file.block_xxh3)
    blocks.push_back(to_hex(hash));
  return {{"path", file.path},
          {"bytes", file.bytes},
          {"sha256", file.sha256},
          {"blocks", {{"size", file.block_bytes}, {"xxh3", std::move(blocks)}}}};
}

json source_json(const Source& source) {
  json inputs = json::array();
  for (const InputFile& input : source.inputs) {
    inputs.push_back({{"path", input.path}, {"sha256", input.sha256}, {"bytes", input.bytes}});
  }
  const SourceLicence& licence = source.licence;
  return {{"id", source.id},
          {"title", source.title},
          {"version", source.version},
          {"origin", {{"kind", source.origin_kind}, {"ref", source.origin_ref}}},
          {"inputs", std::move(inputs)},
          {"licence",
           {{"spdx", licence.spdx},
            {"evidence", {{"path", licence.evidence_path}, {"sha256", licence.evidence_sha256}}},
            {"status", licence.status},
            {"by", licence.by}}},
          {"language", source.language},
          {"counts", {{"documents", source.documents}, {"utf8_bytes", source.utf8_bytes}}}};
}

json step_json(const ProcessingStep& step) {
  return {{"name", step.name}, {"options", step.options}, {"seed", step.seed},      {"in", step.in},
          {"out", step.out},   {"kept", step.kept},       {"dropped", step.dropped}};
}

json manifest_json(const Manifest& manifest) {
  json root;
  const bool dataset = manifest.kind == ManifestKind::dataset;
  root["schema"] = dataset ? kDatasetSchema : kDocumentsSchema;
  root["name"] = manifest.name;
  root["tool"] = {{"name", "teragpt"}, {"version", manifest.tool_version}};
  root["counts"] = {{"documents", manifest.documents}, {"utf8_bytes", manifest.utf8_bytes}};
  root["files"] = json::array();
  for (const FileEntry& file : manifest.files)
    root["files"].push_back(file_json(file));
  root["sources"] = json::array();
  for (const Source& source : manifest.sources)
    root["sources"].push_back(source_json(source));
  root["steps"] = json::array();
  for (const ProcessingStep& step : manifest.steps)
    root["steps"].push_back(step_json(step));
  root["datasheet"] = manifest.datasheet;
  if (dataset) {
    const TokenizerEntry& t = manifest.tokenizer;
    root["tokenizer"] = {{"sha256", t.sha256},
                         {"name", t.name},
                         {"vocab", t.vocab},
                         {"eod_id", t.eod_id},
                         {"eod_policy", t.eod_policy},
                         {"unicode", t.unicode},
                         {"mode", t.mode}};
    root["counts"]["sequences"] = manifest.sequences;
    root["counts"]["tokens"] = manifest.tokens;
    root["counts"]["eod_tokens"] = manifest.eod_tokens;
    for (std::size_t i = 0; i < kSplitNames.size(); ++i) {
      root["splits"][std::string(kSplitNames[i])] = {manifest.splits[i].first,
                                                     manifest.splits[i].last};
    }
  }
  return root;
}

std::string canonical(const json& root) {
  return root.dump(-1, ' ', false, json::error_handler_t::replace);
}

void read_files(const JsonReader& root, Manifest& manifest) {
  for (const JsonReader& item : root.list("files")) {
    FileEntry file;
    file.path = item.text("path");
    file.bytes = item.integer("bytes", 0);
    file.sha256 = item.text("sha256");
    const JsonReader blocks = item.object("blocks");
    file.block_bytes = blocks.integer("size", 1);
    for (const std::string& hash : blocks.texts("xxh3")) {
      std::uint64_t value = 0;
      if (hash.size() != 16 || hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
        blocks.complain("xxh3", "16 hex digits", hash);
      } else {
        value = std::stoull(hash, nullptr, 16);
      }
      file.block_xxh3.push_back(value);
    }
    const std::int64_t want =
        (file.bytes + file.block_bytes - 1) / std::max<std::int64_t>(1, file.block_bytes);
    if (want != std::ssize(file.block_xxh3)) {
      blocks.complain("xxh3", fmt::format("{} hashes for {} bytes", want, file.bytes),
                      fmt::format("{}", file.block_xxh3.size()));
    }
    if (file.path.empty() || file.path.find('/') != std::string::npos || file.path == "..") {
      item.complain("path", "the name of a file beside the manifest", file.path);
    }
    manifest.files.push_back(std::move(file));
  }
}

void read_sources(const JsonReader& root, Manifest& manifest) {
  for (const JsonReader& item : root.list("sources")) {
    Source source;
    source.id = item.text("id");
    source.title = item.text("title");
    source.version = item.text("version");
    const JsonReader origin = item.object("origin");
    source.origin_kind = origin.text("kind");
    source.origin_ref = origin.text("ref");
    for (const JsonReader& input : item.list("inputs")) {
      source.inputs.push_back(
          {input.text("path"), input.text("sha256"), input.integer("bytes", 0)});
    }
    const JsonReader licence = item.object("licence");
    source.licence.spdx = licence.text("spdx");
    source.licence.status = licence.text("status");
    source.licence.by = licence.text("by");
    const JsonReader evidence = licence.object("evidence");
    source.licence.evidence_path = evidence.text("path");
    source.licence.evidence_sha256 = evidence.text("sha256");
    source.language = item.text("language");
    const JsonReader counts = item.object("counts");
    source.documents = counts.integer("documents", 0);
    source.utf8_bytes = counts.integer("utf8_bytes", 0);
    manifest.sources.push_back(std::move(source));
  }
}

void read_steps(const JsonReader& root, Manifest& manifest) {
  for (const JsonReader& item : root.list("steps")) {
    ProcessingStep step;
    step.name = item.text("name");
    step.options = item.text_map("options");
    step.seed = static_cast<std::uint64_t>(item.integer("seed", 0));
    step.in = item.texts("in");
    step.out = item.texts("out");
    step.kept = item.integer("kept", 0);
    step.dropped = item.integer_map("dropped");
    manifest.steps.push_back(std::move(step));
  }
}

void read_dataset_part(const JsonReader& root, Manifest& manifest) {
  const JsonReader tokenizer = root.object("tokenizer");
  manifest.tokenizer = {.sha256 = tokenizer.text("sha256"),
                        .name = tokenizer.text("name"),
                        .vocab = tokenizer.integer("vocab", 1),
                        .eod_id = tokenizer.integer("eod_id", -1),
                        .eod_policy = tokenizer.text("eod_policy"),
                        .unicode = tokenizer.text("unicode"),
                        .mode = tokenizer.text("mode")};
  const JsonReader counts = root.object("counts");
  manifest.sequences = counts.integer("sequences", 0);
  manifest.tokens = counts.integer("tokens", 0);
  manifest.eod_tokens = counts.integer("eod_tokens", 0);
  const JsonReader splits = root.object("splits");
  for (std::size_t i = 0; i < kSplitNames.size(); ++i) {
    const std::vector<std::int64_t> range = splits.integers(kSplitNames[i]);
    if (range.size() != 2 || range[0] < 0 || range[1] < range[0] || range[1] > manifest.sequences) {
      splits.complain(kSplitNames[i],
                      fmt::format("[first, last) within {} sequences", manifest.sequences),
                      fmt::format("[{}]", fmt::join(range, ", ")));
      continue;
    }
    manifest.splits[i] = {range[0], range[1]};
  }
}

}  // namespace

std::string Manifest::id() const {
  return sha256_hex(canonical(manifest_json(*this)));
}

std::string Manifest::to_json() const {
  json root = manifest_json(*this);
  root["created"] = created;
  return root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<Manifest> Manifest::parse(std::string_view text) {
  TERA_TRY(const json root_json,
           parse_json(text, {.max_bytes = kMaxManifestBytes, .max_depth = 16}));
  std::string problem;
  const JsonReader root(root_json, "", problem);
  Manifest manifest;
  const std::string schema = root.text("schema");
  if (problem.empty() && schema != kDatasetSchema && schema != kDocumentsSchema) {
    root.complain("schema", fmt::format("\"{}\" or \"{}\"", kDatasetSchema, kDocumentsSchema),
                  schema);
  }
  if (problem.empty()) {
    manifest.kind = schema == kDatasetSchema ? ManifestKind::dataset : ManifestKind::documents;
    manifest.name = root.text("name");
    manifest.created = root.text("created");
    manifest.tool_version = root.object("tool").text("version");
    const JsonReader counts = root.object("counts");
    manifest.documents = counts.integer("documents", 0);
    manifest.utf8_bytes = counts.integer("utf8_bytes", 0);
    read_files(root, manifest);
    read_sources(root, manifest);
    read_steps(root, manifest);
    manifest.datasheet = root.text_map("datasheet");
    if (manifest.kind == ManifestKind::dataset) read_dataset_part(root, manifest);
  }
  if (!problem.empty()) return fail(ErrorCode::invalid_input, "manifest: " + problem);
  // What this version does not know would silently fall out of the id, so it is refused.
  json again = manifest_json(manifest);
  again["created"] = manifest.created;
  if (canonical(again) != canonical(root_json)) {
    return fail(ErrorCode::unsupported,
                fmt::format("manifest \"{}\": has fields that this version ({}) does not know",
                            manifest.name, schema),
                "use the version of teragpt that wrote it");
  }
  return manifest;
}

Result<Manifest> Manifest::load(const std::filesystem::path& path) {
  TERA_TRY(const std::string text, read_text(posix_vfs(), path, kMaxManifestBytes));
  Result<Manifest> manifest = parse(text);
  if (!manifest) {
    Error error = manifest.error();
    error.message = path.string() + ": " + error.message;
    if (error.hint.empty()) error.hint = "restore it, or make it again with `teragpt data`";
    return tl::unexpected<Error>(std::move(error));
  }
  return manifest;
}

const FileEntry* Manifest::file(std::string_view extension) const {
  for (const FileEntry& entry : files) {
    if (entry.path.ends_with(extension)) return &entry;
  }
  return nullptr;
}

std::filesystem::path with_suffix(const std::filesystem::path& prefix, std::string_view suffix) {
  return prefix.parent_path() / (prefix.filename().string() + std::string(suffix));
}

std::filesystem::path folder_of(const std::filesystem::path& prefix) {
  const std::filesystem::path parent = prefix.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

std::string now_rfc3339() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char text[32];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return {text, size};
}

Result<FileEntry> describe_file(const std::filesystem::path& path) {
  TERA_TRY(const ReadFile file, ReadFile::open(path));
  FileEntry entry;
  entry.path = path.filename().string();
  entry.bytes = file.size_bytes();
  Sha256 sha256;
  Xxh3 block;
  std::vector<std::byte> buffer(1 << 20);
  std::int64_t in_block = 0;
  for (std::int64_t at = 0; at < entry.bytes;) {
    const std::int64_t want = std::min(
        {static_cast<std::int64_t>(buffer.size()), entry.bytes - at, entry.block_bytes - in_block});
    const std::span<std::byte> piece(buffer.data(), static_cast<std::size_t>(want));
    TERA_TRY_VOID(file.read_at(at, piece));
    sha256.update(piece);
    block.update(piece);
    at += want;
    in_block += want;
    if (in_block == entry.block_bytes || at == entry.bytes) {
      entry.block_xxh3.push_back(block.value());
      block.reset();
      in_block = 0;
    }
  }
  entry.sha256 = sha256.hex();
  return entry;
}

Result<InputFile> describe_input(const std::filesystem::path& path) {
  TERA_TRY(const FileEntry entry, describe_file(path));
  return InputFile{path.string(), entry.sha256, entry.bytes};
}

Result<void> verify_file(const std::filesystem::path& folder, const FileEntry& entry, bool deep) {
  const std::filesystem::path path = folder / entry.path;
  TERA_TRY(const std::uint64_t size, posix_vfs().file_size(path));
  if (static_cast<std::int64_t>(size) != entry.bytes) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: got {} bytes, expected {}", path.string(), size, entry.bytes),
                "restore the file or make it again");
  }
  if (!deep) return {};
  TERA_TRY(const FileEntry found, describe_file(path));
  for (std::size_t i = 0; i < entry.block_xxh3.size() && entry.block_bytes == found.block_bytes;
       ++i) {
    if (found.block_xxh3[i] != entry.block_xxh3[i]) {
      return fail(
          ErrorCode::corrupt,
          fmt::format("{}: block {} (bytes {} to {}): expected XXH3 {}, got {}", path.string(), i,
                      static_cast<std::int64_t>(i) * entry.block_bytes,
                      std::min(entry.bytes, static_cast<std::int64_t>(i + 1) * entry.block_bytes),
                      to_hex(entry.block_xxh3[i]), to_hex(found.block_xxh3[i])),
          "restore the file or make it again");
    }
  }
  if (found.sha256 != entry.sha256) {
    return fail(ErrorCode::corrupt, fmt::format("{}: expected SHA-256 {}, got {}", path.string(),
                                                entry.sha256, found.sha256));
  }
  return {};
}

}  // namespace tera::data
