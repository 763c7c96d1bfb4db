#include "core/data/text_sources.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "core/base/vfs.h"
#include "core/data/child_output.h"
#include "core/data/debian_package.h"
#include "core/data/gunzip.h"
#include "core/data/line_reader.h"
#include "core/data/mapped_file.h"

namespace tera::data {
namespace {

constexpr std::size_t kMaxSourceBytes = std::size_t{1} << 30;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

Result<void> add_input(const std::filesystem::path& path, Source& source) {
  TERA_TRY(InputFile input, describe_input(path));
  source.inputs.push_back(std::move(input));
  return {};
}

// The King James text as the `bible` program prints it, "Ge1:1 In the beginning...": one document
// per chapter, one verse per line, without the references.
Result<void> read_bible(const DebianPackage& package, Source& source, const DocumentSink& sink) {
  TERA_TRY(const std::filesystem::path program, package.file_ending("/bin/bible"));
  TERA_TRY(const DebianPackage text, find_debian_package("bible-kjv-text"));
  TERA_TRY(const std::filesystem::path data, text.file_ending("/bible.data"));
  TERA_TRY_VOID(add_input(program, source));
  TERA_TRY_VOID(add_input(data, source));
  TERA_TRY(const std::string output,
           child_output({program.string(), "-f", "Gen1:1-Rev22:21"}, kMaxSourceBytes, 60));
  std::string chapter;
  std::string verses;
  for (const std::string_view line : lines_of(output)) {
    const std::size_t colon = line.find(':');
    const std::size_t space = line.find(' ');
    if (colon == std::string_view::npos || space == std::string_view::npos || colon > space) {
      return fail(ErrorCode::corrupt, fmt::format("{}: printed \"{}\", expected a verse such as "
                                                  "\"Ge1:1 In the beginning\"",
                                                  program.string(), line.substr(0, 60)));
    }
    if (line.substr(0, colon) != chapter) {
      if (!verses.empty()) TERA_TRY_VOID(sink(chapter, std::move(verses)));
      verses.clear();
      chapter = line.substr(0, colon);
    }
    verses += line.substr(space + 1);
    verses += '\n';
  }
  if (!verses.empty()) TERA_TRY_VOID(sink(chapter, std::move(verses)));
  return {};
}

// The Jargon File: entries begin with ":word:" after a margin of three spaces, chapters at the left
// edge; the alphabetical lists of entry names ("  A") are no prose and are left out.
Result<void> read_jargon(const DebianPackage& package, Source& source, const DocumentSink& sink) {
  TERA_TRY(const std::filesystem::path path, package.file_ending("/jargon.txt.gz"));
  TERA_TRY_VOID(add_input(path, source));
  TERA_TRY(const std::string text, gunzip_file(path, kMaxSourceBytes));
  constexpr std::string_view kMargin = "   ";
  std::string id = "front";
  std::string body;
  bool is_list = false;
  const auto flush = [&]() -> Result<void> {
    if (!is_list && !body.empty()) TERA_TRY_VOID(sink(id, std::move(body)));
    body.clear();
    return {};
  };
  for (std::string_view line : lines_of(text)) {
    const std::size_t word_end =
        line.starts_with("   :") ? line.find(':', 5) : std::string_view::npos;
    const bool entry = word_end != std::string_view::npos;
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
    const bool chapter = indent == 0 && !line.empty() && static_cast<unsigned char>(line[0]) < 0x80;
    const bool letter = indent == 2 && line.size() == 3;
    if (entry || chapter || letter) {
      TERA_TRY_VOID(flush());
      id = entry ? line.substr(4, word_end - 4) : line;
      is_list = letter || line == "Glossary";
    }
    if (line.starts_with(kMargin)) line.remove_prefix(kMargin.size());
    body += line;
    body += '\n';
  }
  return flush();
}

// A number of dictd's index: base 64, most significant digit first.
std::int64_t dictd_number(std::string_view digits) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::int64_t value = 0;
  for (const char c : digits) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos || value >= std::int64_t{1} << 40) return -1;
    value = value * 64 + static_cast<std::int64_t>(digit);
  }
  return value;
}

// A dictd dictionary: NAME.index holds "word TAB offset TAB length" of the entries of NAME.dict.dz.
Result<void> read_devil(const DebianPackage& package, Source& source, const DocumentSink& sink) {
  TERA_TRY(const std::filesystem::path dict, package.file_ending("/devil.dict.dz"));
  TERA_TRY(const std::filesystem::path index, package.file_ending("/devil.index"));
  TERA_TRY_VOID(add_input(dict, source));
  TERA_TRY_VOID(add_input(index, source));
  TERA_TRY(const std::string text, gunzip_file(dict, kMaxSourceBytes));
  TERA_TRY(const std::string entries, read_text(posix_vfs(), index, kMaxSourceBytes));
  std::map<std::pair<std::int64_t, std::int64_t>, std::string_view> by_place;
  for (const std::string_view line : lines_of(entries)) {
    const std::size_t first = line.find('\t');
    const std::size_t second = line.find('\t', first == std::string_view::npos ? first : first + 1);
    if (second == std::string_view::npos) continue;
    const std::int64_t offset = dictd_number(line.substr(first + 1, second - first - 1));
    const std::int64_t length = dictd_number(line.substr(second + 1));
    if (offset < 0 || length < 0 || offset + length > std::ssize(text)) {
      return fail(ErrorCode::corrupt,
                  fmt::format("{}: entry \"{}\" lies outside of the dictionary's {} bytes",
                              index.string(), line.substr(0, first), text.size()));
    }
    const std::string_view word = line.substr(0, first);
    if (!word.starts_with("00database")) by_place.try_emplace({offset, length}, word);
  }
  for (const auto& [place, word] : by_place) {
    TERA_TRY_VOID(sink(std::string(word), text.substr(static_cast<std::size_t>(place.first),
                                                      static_cast<std::size_t>(place.second))));
  }
  return {};
}

struct Adapter {
  std::string_view package;
  std::string_view title;
  Result<void> (*read)(const DebianPackage&, Source&, const DocumentSink&);
};

constexpr Adapter kAdapters[] = {
    {"bible-kjv", "The Bible, King James Version", read_bible},
    {"dict-devil", "The Devil's Dictionary, Ambrose Bierce", read_devil},
    {"jargon-text", "The Jargon File", read_jargon},
};

Result<const Adapter*> adapter_of(std::string_view package) {
  std::vector<std::string_view> known;
  for (const Adapter& adapter : kAdapters) {
    if (adapter.package == package) return &adapter;
    known.push_back(adapter.package);
  }
  return fail(ErrorCode::unsupported,
              fmt::format("package {}: there is no reader for it, only for {}", package,
                          fmt::join(known, ", ")),
              "give its text as .txt or .jsonl files");
}

}  // namespace

Result<void> check_debian_package(std::string_view name) {
  TERA_TRY_VOID(adapter_of(name));
  TERA_TRY_VOID(find_debian_package(name));
  return {};
}

Result<void> check_text_file(const std::filesystem::path& path) {
  TERA_TRY_VOID(ReadFile::open(path));
  if (path.extension() == ".jsonl" || path.extension() == ".txt") return {};
  return fail(ErrorCode::unsupported,
              fmt::format("{}: expected a file that ends in .txt or .jsonl", path.string()),
              "rename it after what it holds: .txt for text, .jsonl for one JSON object per line");
}

Result<Source> read_debian_package(std::string_view name, const DocumentSink& sink) {
  TERA_TRY(const Adapter* adapter, adapter_of(name));
  TERA_TRY(const DebianPackage package, find_debian_package(name));
  Source source;
  source.id = package.name;
  source.title = adapter->title;
  source.version = package.version;
  source.origin_kind = "debian";
  source.origin_ref = package.name;
  source.language = "en";
  // Each of these packages states in debian/copyright that its text is in the public domain.
  source.licence.spdx = "LicenseRef-public-domain";
  if (!package.copyright.empty()) {
    TERA_TRY(const InputFile evidence, describe_input(package.copyright));
    source.licence.evidence_path = evidence.path;
    source.licence.evidence_sha256 = evidence.sha256;
    source.licence.status = "declared";
    source.licence.by = "debian/copyright";
  }
  TERA_TRY_VOID(adapter->read(package, source, sink));
  return source;
}

Result<Source> read_text_file(const std::filesystem::path& path,
                              const FileSourceOptions& options,
                              const DocumentSink& sink) {
  TERA_TRY_VOID(check_text_file(path));
  const std::string name = path.filename().string();
  const bool jsonl = path.extension() == ".jsonl";
  Source source;
  source.id = source.title = source.origin_ref = name;
  source.origin_kind = "file";
  source.licence.spdx = options.licence;
  source.licence.status = options.licence.empty() ? "unclear" : "declared";
  source.licence.by = options.licence.empty() ? "" : options.declared_by;
  TERA_TRY_VOID(add_input(path, source));
  source.inputs.back().path = name;  // the same content is the same source wherever it lies
  TERA_TRY(LineReader lines, LineReader::open(path));
  std::string body;
  std::int64_t count = 0;
  for (std::string_view line;;) {
    TERA_TRY(const bool more, lines.next(line));
    if (!more) break;
    if (jsonl) {
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      Result<Document> document = parse_document(line, options.text_key, count, 1 << 20);
      if (!document) {
        return fail(
            ErrorCode::invalid_input,
            fmt::format("{}:{}: {}", path.string(), lines.line_number(), document.error().message),
            "expected one JSON object per line; --text-key names the field that holds the text");
      }
      ++count;
      std::string id = document->id.empty() ? fmt::format("{}#{}", name, count) : document->id;
      TERA_TRY_VOID(sink(std::move(id), std::move(document->text)));
    } else {
      std::string_view bare = line;
      if (bare.ends_with('\r')) bare.remove_suffix(1);
      if (!options.separator.empty() && bare == options.separator) {
        TERA_TRY_VOID(sink(fmt::format("{}#{}", name, ++count), std::move(body)));
        body.clear();
        continue;
      }
      body += line;
      body += '\n';
      if (body.size() > kMaxSourceBytes) {
        return fail(
            ErrorCode::invalid_input,
            fmt::format("{}: a document of more than {} bytes", path.string(), kMaxSourceBytes),
            "--separator LINE cuts a file into documents");
      }
    }
  }
  if (!jsonl) TERA_TRY_VOID(sink(fmt::format("{}#{}", name, ++count), std::move(body)));
  return source;
}

}  // namespace tera::data
