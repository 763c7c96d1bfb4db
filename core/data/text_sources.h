// Where documents come from: installed packages with their adapters, .txt and .jsonl files.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/data/document.h"
#include "core/data/manifest.h"

namespace tera::data {

// Takes one raw document (any bytes); an error ends the reading.
using DocumentSink = std::function<Result<void>(std::string id, std::string text)>;

// Reads a source into the sink and fills its entry: inputs with hashes, version, licence evidence.
// Documents are given in the same order every time.
Result<Source> read_debian_package(std::string_view package, const DocumentSink& sink);

struct FileSourceOptions {
  std::string separator;          // .txt: line between documents; empty: the file is one document
  std::string text_key = "text";  // .jsonl
  std::string licence;            // SPDX expression that the caller declares; empty: unclear
  std::string declared_by;
};
Result<Source> read_text_file(const std::filesystem::path& path,
                              const FileSourceOptions& options,
                              const DocumentSink& sink);

// What would keep the two above from beginning: no such file or package, no reader for it.
Result<void> check_debian_package(std::string_view package);
Result<void> check_text_file(const std::filesystem::path& path);

}  // namespace tera::data
