#include "core/infer/task_format.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

namespace tera::infer {
namespace {

using nlohmann::json;

// Reads fields; the first problem is kept and all later reads give empty values.
class Record {
 public:
  explicit Record(const json& record) : record_(record) {
    if (!record.is_object()) complain("the line is not a JSON object");
  }

  std::string text(const char* key) { return text_of(find(key), key); }
  std::vector<std::string> texts(const char* key) { return texts_of(find(key), key); }
  // A number, or its text.
  int integer(const char* key) {
    const json& value = find(key);
    if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
    constexpr int kLargest = 99999999;  // as many digits as of a text
    const bool fits = value.is_number_unsigned()
                          ? value.get<std::uint64_t>() <= kLargest
                          : value.is_number_integer() && value.get<std::int64_t>() >= -kLargest;
    if (fits) return value.get<int>();
    if (value.is_string()) {
      const std::string text = value.get<std::string>();
      if (!text.empty() && text.size() < 9 && std::all_of(text.begin(), text.end(), is_digit))
        return std::stoi(text);
    }
    complain(fmt::format("\"{}\" is {}, expected a whole number of at most 8 digits", key,
                         value.dump()));
    return 0;
  }
  // A choice by number or by letter.
  int letter_or_integer(const char* key) {
    const json& value = find(key);
    if (value.is_string()) {
      const std::string text = value.get<std::string>();
      if (text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z') return text[0] - 'A';
    }
    return integer(key);
  }
  // {"text": [...], "label": [...]}: the texts, and the place of the label that `key` holds.
  std::vector<std::string> labelled(const char* choices, const char* key, int& gold) {
    const json& both = find(choices);
    if (!both.is_object() || !both.contains("text") || !both.contains("label")) {
      complain(fmt::format("\"{}\" is not {{\"text\": [...], \"label\": [...]}}", choices));
      return {};
    }
    const std::vector<std::string> labels = texts_of(both["label"], choices);
    std::string wanted = text(key);
    while (!wanted.empty() && wanted.back() == ' ')
      wanted.pop_back();
    const auto at = std::find(labels.begin(), labels.end(), wanted);
    if (at == labels.end())
      complain(fmt::format("\"{}\" is \"{}\", expected one of the labels", key, wanted));
    gold = static_cast<int>(at - labels.begin());
    return texts_of(both["text"], choices);
  }
  void complain(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }
  const std::string& problem() const { return problem_; }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  const json& find(const char* key) {
    static const json kMissing;
    if (record_.is_object() && record_.contains(key)) return record_[key];
    complain(fmt::format("\"{}\" is missing", key));
    return kMissing;
  }
  std::string text_of(const json& value, const char* key) {
    if (value.is_string()) return value.get<std::string>();
    complain(fmt::format("\"{}\" is not a text", key));
    return {};
  }
  std::vector<std::string> texts_of(const json& value, const char* key) {
    std::vector<std::string> texts;
    if (!value.is_array()) complain(fmt::format("\"{}\" is not a list of texts", key));
    if (value.is_array()) {
      for (const json& item : value)
        texts.push_back(text_of(item, key));
    }
    return texts;
  }

  const json& record_;
  std::string problem_;
};

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

std::string strip_left(std::string text) {
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), is_space));
  return text;
}

std::string strip(std::string text) {
  text = strip_left(std::move(text));
  while (!text.empty() && is_space(text.back()))
    text.pop_back();
  return text;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// First letter upper, the rest lower case, as Python's capitalize for ASCII.
std::string capitalize(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    text[i] = static_cast<char>(i == 0 ? std::toupper(c) : std::tolower(c));
  }
  return text;
}

// Marks that hellaswag has from WikiHow.
std::string without_marks(std::string text) {
  text = strip(std::move(text));
  replace_all(text, " [title]", ". ");
  for (std::size_t open = 0; (open = text.find('[', open)) != std::string::npos;) {
    const std::size_t close = text.find(']', open);
    if (close == std::string::npos) break;
    text.erase(open, close - open + 1);
  }
  replace_all(text, "  ", " ");
  return text;
}

Question hellaswag(Record& r) {
  Question q;
  q.contexts = {without_marks(r.text("activity_label") + ": " + r.text("ctx_a") + " " +
                              capitalize(r.text("ctx_b")))};
  for (std::string& ending : r.texts("endings"))
    q.choices.push_back(without_marks(std::move(ending)));
  q.gold = r.integer("label");
  return q;
}

Question winogrande(Record& r) {
  const std::string sentence = r.text("sentence");
  const std::size_t gap = sentence.find('_');
  if (gap == std::string::npos) {
    r.complain("\"sentence\" has no _ to fill in");
    return {};
  }
  const std::string before = sentence.substr(0, gap);
  const std::string rest = strip(sentence.substr(gap + 1));
  return {.contexts = {before + r.text("option1"), before + r.text("option2")},
          .choices = {rest, rest},
          .gold = r.integer("answer") - 1,
          .group = {}};
}

Question lambada(Record& r) {
  const std::string text = r.text("text");
  const std::size_t space = text.rfind(' ');
  if (space == std::string::npos || space + 1 == text.size()) {
    r.complain("\"text\" does not end with a word after a space");
    return {};
  }
  return {.contexts = {text.substr(0, space)},
          .choices = {text.substr(space + 1)},
          .gold = 0,
          .group = {}};
}

Question mmlu(Record& r) {
  Question q;
  std::string query = strip(r.text("question"));
  const std::vector<std::string> choices = r.texts("choices");
  for (std::size_t i = 0; i < choices.size() && i < 26; ++i) {
    const std::string letter(1, static_cast<char>('A' + i));
    query += fmt::format("\n{}. {}", letter, choices[i]);
    q.choices.push_back(letter);
  }
  q.contexts = {query + "\nAnswer:"};
  q.gold = r.letter_or_integer("answer");
  q.group = r.text("subject");
  return q;
}

Question sciq(Record& r) {
  return {.contexts = {strip_left(r.text("support")) + "\nQuestion: " + r.text("question") +
                       "\nAnswer:"},
          .choices = {r.text("distractor1"), r.text("distractor2"), r.text("distractor3"),
                      r.text("correct_answer")},
          .gold = 3,
          .group = {}};
}

Question read(TaskFormat format, Record& r) {
  Question q;
  switch (format) {
    case TaskFormat::multiple_choice:
      return {.contexts = {r.text("query")},
              .choices = r.texts("choices"),
              .gold = r.integer("gold"),
              .group = {}};
    case TaskFormat::arc:
      q.contexts = {"Question: " + r.text("question") + "\nAnswer:"};
      q.choices = r.labelled("choices", "answerKey", q.gold);
      return q;
    case TaskFormat::openbookqa:
      q.contexts = {r.text("question_stem")};
      q.choices = r.labelled("choices", "answerKey", q.gold);
      return q;
    case TaskFormat::boolq:
      return {.contexts = {r.text("passage") + "\nQuestion: " + r.text("question") + "?\nAnswer:"},
              .choices = {"no", "yes"},
              .gold = r.integer("label"),
              .group = {}};
    case TaskFormat::piqa:
      return {.contexts = {"Question: " + r.text("goal") + "\nAnswer:"},
              .choices = {r.text("sol1"), r.text("sol2")},
              .gold = r.integer("label"),
              .group = {}};
    case TaskFormat::hellaswag:
      return hellaswag(r);
    case TaskFormat::lambada:
      return lambada(r);
    case TaskFormat::mmlu:
      return mmlu(r);
    case TaskFormat::sciq:
      return sciq(r);
    case TaskFormat::winogrande:
      return winogrande(r);
    case TaskFormat::text:
      break;
  }
  return q;
}

}  // namespace

Result<Question> parse_question(TaskFormat format, const nlohmann::json& record) {
  Record reader(record);
  Question question = read(format, reader);
  if (reader.problem().empty()) {
    for (const std::string& choice : question.choices) {
      if (choice.empty()) reader.complain("a choice is empty");
    }
    if (question.choices.empty()) reader.complain("there are no choices");
    if (question.gold < 0 || question.gold >= std::ssize(question.choices)) {
      reader.complain(fmt::format("the right answer is number {} of {} choices, counted from 0",
                                  question.gold, question.choices.size()));
    }
  }
  if (!reader.problem().empty()) {
    return fail(ErrorCode::invalid_input, reader.problem(),
                fmt::format("the task's format is {}", enum_name(format)));
  }
  return question;
}

std::string mmlu_description(std::string_view subject) {
  std::string words(subject);
  std::replace(words.begin(), words.end(), '_', ' ');
  return fmt::format("The following are multiple choice questions (with answers) about {}.\n\n",
                     words);
}

}  // namespace tera::infer
