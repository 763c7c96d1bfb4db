#include "core/data/document.h"

#include <fmt/format.h>

#include "core/base/json_read.h"
#include "core/data/line_reader.h"

namespace tera::data {

std::string format_document(const Document& document) {
  const nlohmann::json line = {{"id", document.id},
                               {"source", document.source},
                               {"ordinal", document.ordinal},
                               {"text", document.text}};
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Document> parse_document(std::string_view line,
                                std::string_view text_key,
                                std::int64_t ordinal,
                                std::int64_t max_sources) {
  TERA_TRY(const nlohmann::json value,
           parse_json(line, {.max_bytes = LineReader::kMaxLineBytes, .max_depth = 64}));
  std::string problem;
  const JsonReader reader(value, "", problem);
  Document document;
  document.text = reader.text(text_key);
  document.ordinal = ordinal;
  if (value.is_object()) {
    if (value.contains("id") && value["id"].is_string()) document.id = value["id"];
    if (value.contains("ordinal")) document.ordinal = reader.integer("ordinal", 0);
    if (value.contains("source") && value["source"].is_number_integer()) {
      const std::int64_t source = reader.integer("source", 0);
      if (source >= max_sources) {
        reader.complain("source", fmt::format("a number below {}", max_sources),
                        fmt::format("{}", source));
      }
      document.source = static_cast<std::int32_t>(source);
    }
  }
  if (!problem.empty()) return fail(ErrorCode::invalid_input, problem);
  return document;
}

}  // namespace tera::data
