// The project that `teragpt demo` trains: text, tokenizer, token files and spec in one folder.
#pragma once
#include <filesystem>

#include "core/base/result.h"

namespace tera::app {

// Makes DIR/data/{documents.jsonl, tokenizer.json, train.*} and DIR/tiny-moe.yaml from installed
// Debian texts, with progress on stderr; what is there already is kept. Returns the spec's path.
Result<std::filesystem::path> prepare_demo(const std::filesystem::path& dir);

// $XDG_DATA_HOME/teragpt/demo, else ~/.local/share/teragpt/demo.
std::filesystem::path default_demo_dir();

}  // namespace tera::app
