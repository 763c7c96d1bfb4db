// Documents to token files: NAME.bin, NAME.idx, NAME.prov and NAME.tgd.json, with explicit splits.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "core/base/result.h"
#include "core/base/thread_pool.h"
#include "core/base/vfs.h"
#include "core/data/manifest.h"

namespace tera::data {

struct TokenizeOptions {
  std::filesystem::path documents;  // .jsonl; its .docs.json is used when it lies beside it
  std::filesystem::path tokenizer;  // tokenizer.json
  std::filesystem::path prefix;     // of what is written
  double valid_share = 0;           // of the documents, by hash of their text
  double test_share = 0;
  std::uint64_t split_seed = 1234;
  bool overwrite = false;
  std::string tool_version;
  // Called with (documents done, documents in all or 0); returning false stops.
  std::function<bool(std::int64_t, std::int64_t)> on_progress;
};

// One sequence per document, the end-of-document token appended; train documents first, then valid,
// then test. The manifest is written last: without it the other files are not a dataset.
Result<Manifest> tokenize(Vfs& vfs, ThreadPool& pool, const TokenizeOptions& options);

}  // namespace tera::data
