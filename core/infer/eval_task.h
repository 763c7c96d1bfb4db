// Evaluation tasks: questions and texts from files, scored by log-likelihood as
// lm-evaluation-harness does, to the token. Source: github.com/EleutherAI/lm-evaluation-harness,
// evaluator and api/metrics.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/fields.h"
#include "core/base/result.h"
#include "core/data/tokenizer.h"
#include "core/infer/eval_metrics.h"
#include "core/infer/log_likelihood.h"
#include "core/infer/task_format.h"

namespace tera::infer {

// Which records are shown before a question: drawn with PythonRandom(1234) over all questions in
// turn, or always the first.
enum class FewShotOrder : std::uint8_t { random, first };

struct TaskConfig {  // a YAML file; paths in it are relative to its folder
  std::string name;  // empty: that of the file
  TaskFormat format = TaskFormat::multiple_choice;
  std::string data;         // JSON lines
  std::string description;  // before everything; empty: what the format says, often nothing
  int few_shot = 0;
  std::string few_shot_data;  // JSON lines; empty: the others of `data`
  FewShotOrder few_shot_order = FewShotOrder::random;
  std::string delimiter = " ";  // between a question and its answer

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit);
};
Result<TaskConfig> load_task(const std::filesystem::path& file);

struct TaskOptions {
  std::int64_t limit = 0;  // questions; 0 = all
  // (done, total); false stops with an error.
  std::function<bool(std::int64_t, std::int64_t)> on_progress = {};
};
struct TaskResult {
  std::string name = {};
  TaskFormat format = TaskFormat::multiple_choice;
  int few_shot = 0;
  std::int64_t items = 0;
  std::vector<Metric> metrics = {};
  struct Group {
    std::string name;
    std::int64_t items = 0;
    std::vector<Metric> metrics;
  };
  std::vector<Group> groups = {};  // subjects of mmlu, in order of name
};
// Errors name file and line of a record that is not what the format expects.
Result<TaskResult> run_task(LikelihoodScorer& scorer,
                            const data::Tokenizer& tokenizer,
                            const TaskConfig& task,
                            const TaskOptions& options);

template <class Self, class Visitor>
void TaskConfig::visit_fields(Self& self, Visitor&& visit) {
  visit(Field{.name = "name", .help = "Name in the results."}, self.name);
  visit(Field{.name = "format", .help = "What the records look like.", .required = true},
        self.format);
  visit(Field{.name = "data", .help = "Records, JSON lines.", .required = true}, self.data);
  visit(Field{.name = "description", .help = "Text before everything."}, self.description);
  visit(Field{.name = "few_shot", .min = 0, .max = 1000, .help = "Answered questions before each."},
        self.few_shot);
  visit(Field{.name = "few_shot_data", .help = "Where they come from; empty: data."},
        self.few_shot_data);
  visit(Field{.name = "few_shot_order", .help = "Which ones: random or first."},
        self.few_shot_order);
  visit(Field{.name = "delimiter", .help = "Between a question and its answer."}, self.delimiter);
}

}  // namespace tera::infer

namespace tera {
template <>
struct EnumNames<infer::FewShotOrder> {
  static constexpr std::array<std::string_view, 2> value = {"random", "first"};
};
}  // namespace tera
