// One document of a corpus, and the .jsonl lines documents are kept in between preparing and
// tokenizing: {"id": ..., "ordinal": n, "source": i, "text": ...}.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace tera::data {

struct Document {
  std::string id;            // a name a person recognises: "Ge1", "foo.txt#3"
  std::int32_t source = 0;   // index into the manifest's sources
  std::int64_t ordinal = 0;  // within its source, before anything was dropped
  std::string text;          // UTF-8
};

// One line without newline; keys sorted.
std::string format_document(const Document& document);
// `text_key` must hold a string; id, source and ordinal may be missing, then ordinal is as given.
// max_sources bounds `source`.
Result<Document> parse_document(std::string_view line,
                                std::string_view text_key,
                                std::int64_t ordinal,
                                std::int64_t max_sources);

}  // namespace tera::data
