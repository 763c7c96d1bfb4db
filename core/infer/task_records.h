// Records of a task's files: JSON lines, each with its number.
#pragma once
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/result.h"
#include "core/infer/task_format.h"

namespace tera::infer {

struct RecordLine {
  nlohmann::json record;
  int number = 0;  // of the line, from 1
};
// Lines of white space are passed over. Errors name file and line; so does a file without records.
Result<std::vector<RecordLine>> read_records(const std::string& file);

// Each record as a question; not for TaskFormat::text.
Result<std::vector<Question>> read_questions(const std::string& file, TaskFormat format);

}  // namespace tera::infer
