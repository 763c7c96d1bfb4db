#include "core/infer/task_records.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/base/json_read.h"
#include "core/data/line_reader.h"

namespace tera::infer {
namespace {

template <class T>
tl::unexpected<Error> at_line(const std::string& file, int line, const Result<T>& result) {
  return fail(result.error().code, fmt::format("{}:{}: {}", file, line, result.error().message),
              result.error().hint);
}

}  // namespace

Result<std::vector<RecordLine>> read_records(const std::string& file) {
  TERA_TRY(data::LineReader reader, data::LineReader::open(file));
  std::vector<RecordLine> lines;
  for (std::string_view text;;) {
    TERA_TRY(const bool more, reader.next(text));
    if (!more) break;
    const int number = static_cast<int>(reader.line_number());
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Result<nlohmann::json> record = tera::parse_json(text, {});
    if (!record) return at_line(file, number, record);
    lines.push_back({std::move(*record), number});
  }
  if (lines.empty())
    return fail(ErrorCode::invalid_input, fmt::format("{} holds no record", file),
                "it needs one JSON object a line");
  return lines;
}

Result<std::vector<Question>> read_questions(const std::string& file, TaskFormat format) {
  TERA_TRY(const std::vector<RecordLine> lines, read_records(file));
  std::vector<Question> questions;
  for (const RecordLine& line : lines) {
    Result<Question> question = parse_question(format, line.record);
    if (!question) return at_line(file, line.number, question);
    questions.push_back(std::move(*question));
  }
  return questions;
}

}  // namespace tera::infer
