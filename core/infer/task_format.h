// Records of evaluation sets as questions, by the rules that published results were made with.
// Source: EleutherAI/lm-evaluation-harness, tasks of the names below.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/fields.h"
#include "core/base/result.h"

namespace tera::infer {

// What the lines of a task's file look like (fields of each in task_format.cpp).
enum class TaskFormat : std::uint8_t {
  multiple_choice,  // query, choices, gold
  arc,
  boolq,
  hellaswag,
  lambada,
  mmlu,
  openbookqa,
  piqa,
  sciq,
  winogrande,
  text  // text: loss per word and byte
};

// A text to go on from and what may follow, one of which is right.
struct Question {
  std::vector<std::string> contexts;  // one for all choices, or one for each
  std::vector<std::string> choices;   // without the delimiter before them; one: how likely is it
  int gold = 0;
  std::string group;  // the subject of mmlu; empty elsewhere

  const std::string& context(std::size_t choice) const {
    return contexts[contexts.size() == 1 ? 0 : choice];
  }
};

// Errors (invalid_input) say which field is missing or what it is. Not for TaskFormat::text.
Result<Question> parse_question(TaskFormat format, const nlohmann::json& record);

// What mmlu says before the questions of a subject.
std::string mmlu_description(std::string_view subject);

}  // namespace tera::infer

namespace tera {
template <>
struct EnumNames<infer::TaskFormat> {
  static constexpr std::array<std::string_view, 11> value = {
      "multiple_choice", "arc",  "boolq", "hellaswag",  "lambada", "mmlu",
      "openbookqa",      "piqa", "sciq",  "winogrande", "text"};
};
}  // namespace tera
