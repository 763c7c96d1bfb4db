// The answered questions that a task shows before each of its own, and the description before them.
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/infer/eval_task.h"
#include "core/infer/python_random.h"
#include "core/infer/task_format.h"

namespace tera::infer {

class FewShot {
 public:
  // Both arguments outlive it. Errors: those of the file of examples, and fewer examples than
  // task.few_shot for some question.
  static Result<FewShot> open(const TaskConfig& task, const std::vector<Question>& questions);

  // The text before a question. Call once for each, in order.
  std::string before(std::size_t number);

 private:
  FewShot(const TaskConfig& task, const std::vector<Question>& questions)
      : task_(&task), questions_(&questions) {}

  bool own() const { return task_->few_shot_data.empty(); }
  std::vector<std::size_t> choose(std::size_t number, const std::vector<std::size_t>& places);

  const TaskConfig* task_;
  const std::vector<Question>* questions_;
  std::vector<Question> examples_;
  std::map<std::string, std::vector<std::size_t>> by_group_;
  std::map<std::string, PythonRandom> random_;
};

}  // namespace tera::infer
