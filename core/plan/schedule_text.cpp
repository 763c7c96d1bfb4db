#include "core/plan/schedule_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "core/base/counted.h"
#include "core/plan/schedule_check.h"

namespace tera::plan {
namespace {

std::optional<std::int64_t> whole_number(std::string_view digits) {
  std::int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  const bool plain = !digits.empty() && digits.front() != '-';
  return plain && error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

// "BW3.1" and the like; nothing for other words.
std::optional<PipelineAction> action_from(std::string_view word) {
  struct Letter {
    std::string_view text;
    Work work;
  };
  static constexpr Letter kLetters[] = {{"BW", Work::backward},
                                        {"F", Work::forward},
                                        {"B", Work::backward_input},
                                        {"W", Work::backward_weight}};
  for (const Letter& letter : kLetters) {
    if (word.substr(0, letter.text.size()) != letter.text) continue;
    word.remove_prefix(letter.text.size());
    const std::size_t dot = word.find('.');
    const auto micro_batch = whole_number(word.substr(0, dot));
    const auto chunk = dot == std::string_view::npos ? std::optional<std::int64_t>(0)
                                                     : whole_number(word.substr(dot + 1));
    if (!micro_batch || !chunk || *chunk > 1'000'000) return std::nullopt;
    return PipelineAction{letter.work, static_cast<int>(*chunk), *micro_batch};
  }
  return std::nullopt;
}

// A word of the file as far as a message shows it.
std::string shown(std::string_view word) {
  constexpr std::size_t kLongest = 24;
  std::string text(word.substr(0, kLongest));
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text + (word.size() > kLongest ? "..." : "");
}

class Parser {
 public:
  Parser(std::string_view text, const PipelineShape& shape, std::string_view file)
      : text_(text), shape_(shape), file_(file) {}

  Result<PipelineSchedule> run() {
    PipelineSchedule schedule{.shape = shape_, .stages = {}, .overlaps_steps = false};
    for (int line = 1; !text_.empty(); ++line) {
      const std::size_t end = std::min(text_.find('\n'), text_.size());
      std::string_view rest = text_.substr(0, end);
      text_.remove_prefix(std::min(end + 1, text_.size()));
      TERA_TRY(std::vector<PipelineAction> actions,
               parse_line(rest.substr(0, rest.find('#')), line));
      if (!actions.empty()) schedule.stages.push_back({{std::move(actions), 1, 0}});
    }
    if (static_cast<int>(schedule.stages.size()) != shape_.num_stages) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}: got {} with actions, expected {}, one for each stage", file_,
                              counted(std::ssize(schedule.stages), "line"), shape_.num_stages),
                  "lines of comments alone do not count");
    }
    const Result<void> checked = check_schedule(schedule);
    if (checked) return schedule;
    return fail(checked.error().code, fmt::format("{}: {}", file_, checked.error().message),
                checked.error().hint);
  }

 private:
  Result<std::vector<PipelineAction>> parse_line(std::string_view line, int number) const {
    static constexpr std::string_view kSpaces = " \t\r";
    std::vector<PipelineAction> actions;
    for (std::size_t at = line.find_first_not_of(kSpaces); at != std::string_view::npos;
         at = line.find_first_not_of(kSpaces, at)) {
      const std::size_t end = std::min(line.find_first_of(kSpaces, at), line.size());
      const std::string_view word = line.substr(at, end - at);
      const auto action = action_from(word);
      const std::string where = fmt::format("{}:{}:{}", file_, number, at + 1);
      if (!action) {
        return fail(ErrorCode::invalid_input,
                    fmt::format("{}: got '{}', expected an action such as F0, B0, W0 or BW0", where,
                                shown(word)),
                    "with several chunks per stage F0.1 is chunk 1");
      }
      if (action->micro_batch >= shape_.num_micro_batches || action->chunk >= shape_.num_chunks) {
        return fail(
            ErrorCode::invalid_input,
            fmt::format("{}: got '{}', expected micro-batches 0 to {} and chunks 0 to {}", where,
                        shown(word), shape_.num_micro_batches - 1, shape_.num_chunks - 1),
            "the spec decides how many there are");
      }
      actions.push_back(*action);
      at = end;
    }
    return actions;
  }

  std::string_view text_;
  PipelineShape shape_;
  std::string_view file_;
};

char letter_of(const PipelineAction& action) {
  const bool first = action.chunk == 0;
  switch (action.work) {
    case Work::forward:
      return first ? 'F' : 'f';
    case Work::backward:
    case Work::backward_input:
      return first ? 'B' : 'b';
    case Work::backward_weight:
      return first ? 'W' : 'w';
  }
  return '?';
}

}  // namespace

std::string schedule_text(const PipelineSchedule& schedule) {
  std::string text;
  for (const StageOrder& order : schedule.stages) {
    std::string line;
    for (const PipelineAction& action : actions_of(order))
      line += (line.empty() ? "" : " ") + action_name(action, schedule.shape.num_chunks);
    text += line + "\n";
  }
  return text;
}

Result<PipelineSchedule> parse_schedule(std::string_view text,
                                        const PipelineShape& shape,
                                        std::string_view file) {
  return Parser(text, shape, file).run();
}

double drawable_s(const Timeline& timeline, int width) {
  std::size_t most = 1;
  for (const std::vector<PlayedAction>& stage : timeline.stages)
    most = std::max(most, stage.size());
  constexpr double kColumns = 2;  // per action, so that a forward, a third of the work, shows
  return timeline.step.step_s * std::min(1.0, width / (kColumns * static_cast<double>(most)));
}

std::string schedule_grid(const Timeline& timeline, int width) {
  const double end_s = drawable_s(timeline, width);
  const double columns_per_s = end_s > 0 ? width / end_s : 0;
  const auto column = [&](double s) {
    return static_cast<std::size_t>(
        std::clamp<long>(std::lround(std::min(s, end_s) * columns_per_s), 0, width));
  };
  std::string text;
  for (std::size_t stage = 0; stage < timeline.stages.size(); ++stage) {
    std::string line(static_cast<std::size_t>(width), '.');
    for (const PlayedAction& played : timeline.stages[stage]) {
      if (played.start_s >= end_s) break;
      const std::size_t first = column(played.start_s);
      const std::size_t last = column(played.end_s);
      std::fill(line.begin() + static_cast<std::ptrdiff_t>(first),
                line.begin() + static_cast<std::ptrdiff_t>(last), letter_of(played.action));
      const std::string number = fmt::format("{}", played.action.micro_batch);
      if (first + 1 + number.size() <= last) line.replace(first + 1, number.size(), number);
    }
    text += fmt::format("{:>4} {}\n", stage, line);
  }
  return text;
}

}  // namespace tera::plan
