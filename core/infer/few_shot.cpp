#include "core/infer/few_shot.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/infer/task_records.h"

namespace tera::infer {
namespace {

constexpr std::uint32_t kFewShotSeed = 1234;

}  // namespace

Result<FewShot> FewShot::open(const TaskConfig& task, const std::vector<Question>& questions) {
  FewShot shots(task, questions);
  if (!task.few_shot_data.empty() && task.few_shot > 0) {
    TERA_TRY(shots.examples_, read_questions(task.few_shot_data, task.format));
  }
  const std::vector<Question>& pool = shots.own() ? questions : shots.examples_;
  for (std::size_t i = 0; i < pool.size(); ++i)
    shots.by_group_[pool[i].group].push_back(i);
  for (const Question& question : questions) {
    const std::int64_t others = std::ssize(shots.by_group_[question.group]) - (shots.own() ? 1 : 0);
    if (others >= task.few_shot) continue;
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: few_shot is {}, there are {} examples{}", task.name, task.few_shot,
                            others, question.group.empty() ? "" : " of " + question.group),
                "lower few_shot, or name a larger few_shot_data");
  }
  return shots;
}

std::string FewShot::before(std::size_t number) {
  const Question& question = (*questions_)[number];
  std::string text = task_->description;
  if (text.empty() && task_->format == TaskFormat::mmlu) text = mmlu_description(question.group);
  const std::vector<Question>& pool = own() ? *questions_ : examples_;
  for (const std::size_t i : choose(number, by_group_[question.group])) {
    const Question& example = pool[i];
    const auto gold = static_cast<std::size_t>(example.gold);
    text += example.context(gold) + task_->delimiter + example.choices[gold] + "\n\n";
  }
  return text;
}

std::vector<std::size_t> FewShot::choose(std::size_t number,
                                         const std::vector<std::size_t>& places) {
  const auto wanted = static_cast<std::size_t>(task_->few_shot);
  std::vector<std::size_t> drawn = places;
  if (wanted == 0) return {};
  if (task_->few_shot_order == FewShotOrder::random) {
    PythonRandom& random =
        random_.try_emplace((*questions_)[number].group, kFewShotSeed).first->second;
    drawn.clear();
    for (const std::int64_t i :
         random.sample(std::ssize(places), task_->few_shot + (own() ? 1 : 0)))
      drawn.push_back(places[static_cast<std::size_t>(i)]);
  }
  if (own()) std::erase(drawn, number);  // a question is no example of itself
  drawn.resize(std::min(drawn.size(), wanted));
  return drawn;
}

}  // namespace tera::infer
