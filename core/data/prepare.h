// From raw text to cleaned, deduplicated, shuffled documents: PREFIX.jsonl and PREFIX.docs.json.
// The same sources and options give the same bytes.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "core/data/manifest.h"
#include "core/data/text_sources.h"

namespace tera::data {

enum class InvalidUtf8 : std::uint8_t {
  replace,
  drop
};  // U+FFFD per bad byte, or the document goes

struct PrepareOptions {
  std::vector<std::string> debian_packages;
  std::vector<std::filesystem::path> files;  // .txt, .jsonl
  FileSourceOptions file_options;
  std::filesystem::path prefix;
  InvalidUtf8 invalid_utf8 = InvalidUtf8::replace;
  std::int64_t min_bytes = 1;  // of a cleaned document
  std::int64_t max_bytes = 16 << 20;
  std::uint64_t seed = 1234;  // of the shuffle
  bool overwrite = false;
  std::string tool_version;
  // Called now and then with bytes read; returning false stops and removes what was written.
  std::function<bool(std::int64_t bytes)> on_progress;
};

// Returns the manifest written. Nothing half-written stays behind an error.
Result<Manifest> prepare(Vfs& vfs, const PrepareOptions& options);

// CRLF and CR become LF, a byte-order mark and white space at both ends go.
std::string normalised(std::string_view text);
// Replaces every byte that is not part of valid UTF-8 by U+FFFD; returns how many there were.
std::int64_t replace_invalid_utf8(std::string& text);

}  // namespace tera::data
