#include "core/data/prepare.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "core/base/hash.h"
#include "core/base/unfinished_file.h"
#include "core/data/mapped_file.h"
#include "core/data/output_files.h"
#include "core/data/unicode_class.h"

namespace tera::data {
namespace {

// A document in the unshuffled file.
struct Place {
  std::uint64_t key = 0;  // of the shuffle
  std::int64_t offset = 0;
  std::int64_t size = 0;
};

// An unfinished file that is written in large pieces.
class PartFile {
 public:
  PartFile(Vfs& vfs, const std::filesystem::path& path) : unfinished_(vfs, path) {}

  Result<void> open() {
    TERA_TRY(file_, unfinished_.open());
    return {};
  }
  Result<void> write(std::string_view text) {
    buffer_ += text;
    size_ += std::ssize(text);
    constexpr std::size_t kFlushBytes = 1 << 20;
    return buffer_.size() >= kFlushBytes ? flush() : Result<void>{};
  }
  Result<void> close(bool durable) {
    TERA_TRY_VOID(flush());
    if (durable) TERA_TRY_VOID(file_->sync());
    return file_->close();
  }
  Result<void> publish(const std::filesystem::path& to) { return unfinished_.publish(to); }
  std::int64_t size() const { return size_; }
  const std::filesystem::path& path() const { return unfinished_.path(); }

 private:
  Result<void> flush() {
    TERA_TRY_VOID(file_->append(as_bytes(buffer_)));
    buffer_.clear();
    return {};
  }
  UnfinishedFile unfinished_;
  std::unique_ptr<WritableFile> file_;
  std::string buffer_;
  std::int64_t size_ = 0;
};

// Tells of the bytes read and passes on the wish to stop.
class Reporter {
 public:
  explicit Reporter(const PrepareOptions& options) : options_(options) {}
  // To be called for every few bytes of work; `read` of them are new.
  Result<void> advance(std::int64_t work, std::int64_t read) {
    constexpr std::int64_t kInterval = 1 << 20;
    bytes_read_ += read;
    since_ += work;
    if (!options_.on_progress || since_ < kInterval) return {};
    since_ = 0;
    if (options_.on_progress(bytes_read_)) return {};
    return fail(ErrorCode::failed, "data prepare was stopped", "nothing was left behind");
  }

 private:
  const PrepareOptions& options_;
  std::int64_t bytes_read_ = 0;
  std::int64_t since_ = 0;
};

// Cleans documents one by one, counts what goes and why, and writes what stays.
class Cleaner {
 public:
  Cleaner(const PrepareOptions& options, Reporter& reporter, PartFile& out)
      : options_(options), reporter_(reporter), out_(out) {}

  Result<void> take(Document document, Source& source) {
    TERA_TRY_VOID(reporter_.advance(std::ssize(document.text), std::ssize(document.text)));
    document.text = normalised(document.text);
    if (valid_utf8_prefix(document.text) != document.text.size()) {
      if (options_.invalid_utf8 == InvalidUtf8::drop) return drop("invalid_utf8");
      replaced_bytes_ += replace_invalid_utf8(document.text);
    }
    if (std::ssize(document.text) < options_.min_bytes) return drop("too_short");
    if (std::ssize(document.text) > options_.max_bytes) return drop("too_long");
    const Hash128 content = xxh3_128(document.text);
    if (!seen_.insert(content).second) return drop("duplicate");
    std::string key;
    append_le(key, options_.seed);
    key += canonical_bytes(content);
    append_le(key, document.ordinal);
    const std::string line = format_document(document) + "\n";
    places_.push_back({xxh3_64(key), out_.size(), std::ssize(line)});
    ++source.documents;
    source.utf8_bytes += std::ssize(document.text);
    return out_.write(line);
  }

  std::vector<Place>& places() { return places_; }
  const std::map<std::string, std::int64_t>& dropped() const { return dropped_; }
  std::int64_t replaced_bytes() const { return replaced_bytes_; }

 private:
  Result<void> drop(const std::string& reason) {
    ++dropped_[reason];
    return {};
  }
  const PrepareOptions& options_;
  Reporter& reporter_;
  PartFile& out_;
  std::set<Hash128> seen_;
  std::vector<Place> places_;
  std::map<std::string, std::int64_t> dropped_;
  std::int64_t replaced_bytes_ = 0;
};

Result<std::vector<Source>> read_sources(const PrepareOptions& options, Cleaner& cleaner) {
  std::vector<Source> sources;
  const auto read = [&](const auto& reader) -> Result<void> {
    Source counted;
    std::int64_t ordinal = 0;
    const auto index = static_cast<std::int32_t>(sources.size());
    const DocumentSink sink = [&](std::string id, std::string text) {
      return cleaner.take({std::move(id), index, ordinal++, std::move(text)}, counted);
    };
    TERA_TRY(Source source, reader(sink));
    source.documents = counted.documents;
    source.utf8_bytes = counted.utf8_bytes;
    sources.push_back(std::move(source));
    return {};
  };
  for (const std::string& package : options.debian_packages) {
    TERA_TRY_VOID(
        read([&](const DocumentSink& sink) { return read_debian_package(package, sink); }));
  }
  for (const std::filesystem::path& file : options.files) {
    TERA_TRY_VOID(read([&](const DocumentSink& sink) {
      return read_text_file(file, options.file_options, sink);
    }));
  }
  return sources;
}

// Copies the lines in the order of their shuffle keys.
Result<void> write_shuffled(std::vector<Place>& places,
                            const std::filesystem::path& from,
                            Reporter& reporter,
                            PartFile& out) {
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.key != b.key ? a.key < b.key : a.offset < b.offset;
  });
  TERA_TRY(const ReadFile file, ReadFile::open(from));
  std::string line;
  for (const Place& place : places) {
    line.resize(static_cast<std::size_t>(place.size));
    TERA_TRY_VOID(file.read_at(place.offset, std::as_writable_bytes(std::span(line))));
    TERA_TRY_VOID(out.write(line));
    TERA_TRY_VOID(reporter.advance(place.size, 0));
  }
  return {};
}

// Why no document is left: "399 too_short, 1 duplicate".
std::string what_was_dropped(const std::map<std::string, std::int64_t>& dropped) {
  std::string reasons;
  for (const auto& [reason, count] : dropped)
    reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", count, reason);
  return reasons.empty() ? "the sources hold none" : reasons;
}

ProcessingStep describe_step(const PrepareOptions& options,
                             const Manifest& manifest,
                             const Cleaner& cleaner) {
  ProcessingStep step;
  step.name = "prepare";
  step.options = {{"invalid_utf8", options.invalid_utf8 == InvalidUtf8::drop ? "drop" : "replace"},
                  {"replaced_bytes", fmt::format("{}", cleaner.replaced_bytes())},
                  {"min_bytes", fmt::format("{}", options.min_bytes)},
                  {"max_bytes", fmt::format("{}", options.max_bytes)},
                  {"dedup", "exact, XXH3-128 of the cleaned text"},
                  {"normalise", "newlines to LF, byte-order mark and outer white space removed"},
                  {"shuffle", "by XXH3-64 of seed, content and ordinal"}};
  step.seed = options.seed;
  for (const Source& source : manifest.sources) {
    for (const InputFile& input : source.inputs)
      step.in.push_back(input.sha256);
  }
  for (const FileEntry& file : manifest.files)
    step.out.push_back(file.sha256);
  step.kept = manifest.documents;
  step.dropped = cleaner.dropped();
  return step;
}

}  // namespace

std::string normalised(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  constexpr std::string_view kBlank = " \t\r\n\f\v";
  const std::size_t last = text.find_last_not_of(kBlank);
  if (last == std::string_view::npos) return {};
  text = text.substr(0, last + 1);
  // Blank lines before the text go; the indentation of its first line stays.
  const std::size_t first = text.find_first_not_of(kBlank);
  const std::size_t line_end = text.substr(0, first).find_last_of("\r\n");
  if (line_end != std::string_view::npos) text.remove_prefix(line_end + 1);
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r') {
      out.push_back('\n');
      if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::int64_t replace_invalid_utf8(std::string& text) {
  std::string out;
  std::int64_t replaced = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t valid = valid_utf8_prefix(rest);
    out += rest.substr(0, valid);
    rest.remove_prefix(valid);
    if (!rest.empty()) {
      append_utf8(out, 0xFFFD);
      rest.remove_prefix(1);
      ++replaced;
    }
  }
  text = std::move(out);
  return replaced;
}

Result<Manifest> prepare(Vfs& vfs, const PrepareOptions& options) {
  if (options.debian_packages.empty() && options.files.empty()) {
    return fail(ErrorCode::invalid_input, "data prepare: no source was given",
                "name files, or --from-debian PACKAGE");
  }
  const std::filesystem::path final_path = with_suffix(options.prefix, ".jsonl");
  const std::filesystem::path manifest_path = with_suffix(options.prefix, ".docs.json");
  constexpr std::array<std::string_view, 2> kSuffixes = {".jsonl", ".docs.json"};
  TERA_TRY_VOID(check_output_files(vfs, options.prefix, kSuffixes, options.overwrite));
  for (const std::string& package : options.debian_packages)
    TERA_TRY_VOID(check_debian_package(package));
  for (const std::filesystem::path& file : options.files)
    TERA_TRY_VOID(check_text_file(file));
  PartFile unshuffled(vfs, with_suffix(options.prefix, ".unshuffled.part"));
  TERA_TRY_VOID(unshuffled.open());
  Reporter reporter(options);
  Cleaner cleaner(options, reporter, unshuffled);
  Manifest manifest;
  manifest.kind = ManifestKind::documents;
  manifest.name = options.prefix.filename().string();
  manifest.created = now_rfc3339();
  manifest.tool_version = options.tool_version;
  TERA_TRY(manifest.sources, read_sources(options, cleaner));
  TERA_TRY_VOID(unshuffled.close(false));
  for (const Source& source : manifest.sources) {
    manifest.documents += source.documents;
    manifest.utf8_bytes += source.utf8_bytes;
  }
  if (manifest.documents == 0) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("data prepare: no document is left: {}", what_was_dropped(cleaner.dropped())),
        "look at --min-bytes, --max-bytes and at what the sources hold");
  }
  PartFile shuffled(vfs, with_suffix(options.prefix, ".jsonl.part"));
  TERA_TRY_VOID(shuffled.open());
  TERA_TRY_VOID(write_shuffled(cleaner.places(), unshuffled.path(), reporter, shuffled));
  TERA_TRY_VOID(shuffled.close(true));
  TERA_TRY(FileEntry entry, describe_file(shuffled.path()));
  entry.path = final_path.filename().string();
  manifest.files.push_back(std::move(entry));
  manifest.steps.push_back(describe_step(options, manifest, cleaner));
  UnfinishedFile described(vfs, with_suffix(options.prefix, ".docs.json.part"));
  TERA_TRY_VOID(described.write(manifest.to_json()));
  // From here nothing needs space: what is replaced goes only when the new is whole on the disk.
  TERA_TRY_VOID(vfs.remove_all(manifest_path));  // an old one must not describe the new documents
  TERA_TRY_VOID(shuffled.publish(final_path));
  TERA_TRY_VOID(vfs.sync_dir(folder_of(options.prefix)));
  TERA_TRY_VOID(described.publish(manifest_path));
  TERA_TRY_VOID(vfs.sync_dir(folder_of(options.prefix)));
  return manifest;
}

}  // namespace tera::data
