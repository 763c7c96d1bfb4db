#include "core/infer/eval_task.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <utility>

#include <fmt/format.h>

#include "core/base/vfs.h"
#include "core/data/unicode_class.h"
#include "core/infer/encode_pair.h"
#include "core/infer/few_shot.h"
#include "core/infer/task_records.h"
#include "core/spec/yaml_decode.h"

namespace tera::infer {
namespace {

using Answer = std::vector<Likelihood>;  // of each choice

std::size_t first_largest(const std::vector<double>& values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

std::int64_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

// Values of one metric over questions.
using Columns = std::map<std::string, std::vector<double>>;

void add_answer(const Question& question, const Answer& answer, Columns& columns) {
  if (question.choices.size() == 1) {  // how likely, and whether it would have been said
    columns["acc"].push_back(answer[0].greedy ? 1 : 0);
    columns["logprob"].push_back(answer[0].logprob);
    return;
  }
  const auto right_by = [&](const auto& length) {
    std::vector<double> values;
    for (std::size_t c = 0; c < question.choices.size(); ++c)
      values.push_back(answer[c].logprob / static_cast<double>(length(question.choices[c])));
    return first_largest(values) == static_cast<std::size_t>(question.gold) ? 1.0 : 0.0;
  };
  columns["acc"].push_back(right_by([](const std::string&) { return 1; }));
  columns["acc_norm"].push_back(right_by([](const std::string& text) { return characters(text); }));
  columns["acc_bytes"].push_back(right_by([](const std::string& text) { return text.size(); }));
}

std::vector<Metric> metrics_of(const Columns& columns) {
  std::vector<Metric> metrics;
  for (const auto& [name, values] : columns) {
    if (name == "logprob") {
      metrics.push_back(perplexity(values));
    } else {
      metrics.push_back({name, mean(values), standard_error(values)});
    }
  }
  return metrics;
}

Result<Answer> answer_question(LikelihoodScorer& scorer,
                               const data::Tokenizer& tokenizer,
                               const TaskConfig& task,
                               const std::string& before,
                               const Question& question) {
  std::vector<std::vector<std::int32_t>> contexts;
  std::vector<std::vector<std::int32_t>> continuations;
  for (std::size_t c = 0; c < question.choices.size(); ++c) {
    TERA_TRY(EncodedPair pair, encode_pair(tokenizer, before + question.context(c),
                                           task.delimiter + question.choices[c]));
    if (std::ssize(pair.continuation) > scorer.max_length()) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("a choice has {} tokens, the model reads {}",
                              pair.continuation.size(), scorer.max_length()),
                  "use a model with a longer context");
    }
    contexts.push_back(std::move(pair.context));
    continuations.push_back(std::move(pair.continuation));
  }
  Answer answer;
  for (std::size_t c = 0; c < contexts.size();) {  // runs of equal contexts
    std::size_t end = c + 1;
    while (end < contexts.size() && contexts[end] == contexts[c])
      ++end;
    for (const Likelihood& likelihood :
         scorer.score(contexts[c], std::span(continuations).subspan(c, end - c)))
      answer.push_back(likelihood);
    c = end;
  }
  return answer;
}

Result<void> report(const TaskOptions& options,
                    const TaskConfig& task,
                    std::size_t done,
                    std::size_t all) {
  if (!options.on_progress ||
      options.on_progress(static_cast<std::int64_t>(done), static_cast<std::int64_t>(all)))
    return {};
  return fail(ErrorCode::failed, fmt::format("task {} was stopped", task.name),
              "nothing is reported of a part of it");
}

std::size_t limited(std::size_t count, const TaskOptions& options) {
  return options.limit > 0 ? std::min(count, static_cast<std::size_t>(options.limit)) : count;
}

Result<TaskResult> run_questions(LikelihoodScorer& scorer,
                                 const data::Tokenizer& tokenizer,
                                 const TaskConfig& task,
                                 const TaskOptions& options) {
  TERA_TRY(const std::vector<Question> questions, read_questions(task.data, task.format));
  TERA_TRY(FewShot shots, FewShot::open(task, questions));
  const std::size_t count = limited(questions.size(), options);
  Columns all;
  std::map<std::string, Columns> groups;
  for (std::size_t i = 0; i < count; ++i) {
    TERA_TRY_VOID(report(options, task, i, count));
    const Result<Answer> answer =
        answer_question(scorer, tokenizer, task, shots.before(i), questions[i]);
    if (!answer) {
      return fail(answer.error().code,
                  fmt::format("{}: question {}: {}", task.data, i + 1, answer.error().message),
                  answer.error().hint);
    }
    add_answer(questions[i], *answer, all);
    if (!questions[i].group.empty()) add_answer(questions[i], *answer, groups[questions[i].group]);
  }
  TaskResult result{.items = static_cast<std::int64_t>(count), .metrics = metrics_of(all)};
  for (const auto& [name, columns] : groups) {
    result.groups.push_back({name, std::ssize(columns.at("acc")), metrics_of(columns)});
  }
  return result;
}

// Pieces between runs of white space, empty ones at the ends included.
std::int64_t words(std::string_view text) {
  std::int64_t count = 1;
  bool in_space = false;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const data::DecodedChar c =
        byte < 128 ? data::DecodedChar{.char_class = data::kAsciiClasses[byte]}
                   : data::decode_non_ascii(text.data() + i, text.data() + text.size());
    const bool space = (c.char_class & (data::class_space | data::class_newline)) != 0;
    count += space && !in_space ? 1 : 0;
    in_space = space;
    i += c.size;
  }
  return count;
}

Result<TaskResult> run_texts(LikelihoodScorer& scorer,
                             const data::Tokenizer& tokenizer,
                             const TaskConfig& task,
                             const TaskOptions& options) {
  TERA_TRY(const std::vector<RecordLine> lines, read_records(task.data));
  if (tokenizer.start_id() < 0) {
    return fail(ErrorCode::invalid_input, "the tokenizer names no token that begins or ends texts",
                "name it as bos_token in a tokenizer_config.json beside tokenizer.json");
  }
  const std::size_t count = limited(lines.size(), options);
  double logprob = 0;
  std::int64_t num_tokens = 0;
  std::int64_t num_words = 0;
  std::int64_t num_bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    TERA_TRY_VOID(report(options, task, i, count));
    const nlohmann::json& record = lines[i].record;
    if (!record.is_object() || !record.contains("text") || !record["text"].is_string() ||
        record["text"].get_ref<const std::string&>().empty()) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("{}:{}: expected a \"text\" that is not empty", task.data, lines[i].number),
          "the task's format is text");
    }
    const auto& text = record["text"].get_ref<const std::string&>();
    const std::vector<std::int32_t> tokens = tokenizer.encode(text);
    for (const EncodedPair& window :
         rolling_windows(tokens, tokenizer.start_id(), scorer.max_length()))
      logprob += scorer.score(window.context, {&window.continuation, 1}).front().logprob;
    num_tokens += std::ssize(tokens);
    num_words += words(text);
    num_bytes += std::ssize(text);
  }
  const double loss = -logprob / static_cast<double>(num_tokens);
  const double per_byte = -logprob / static_cast<double>(num_bytes);
  return TaskResult{
      .items = static_cast<std::int64_t>(count),
      .metrics = {{"loss", loss, {}},
                  {"perplexity", std::exp(loss), {}},
                  {"bits_per_byte", per_byte / std::numbers::ln2, {}},
                  {"byte_perplexity", std::exp(per_byte), {}},
                  {"word_perplexity", std::exp(-logprob / static_cast<double>(num_words)), {}}}};
}

}  // namespace

Result<TaskConfig> load_task(const std::filesystem::path& file) {
  const spec::YamlLimits limits;
  TERA_TRY(const std::string text,
           read_text(posix_vfs(), file, static_cast<std::uint64_t>(limits.max_bytes)));
  spec::YamlTree tree = spec::parse_yaml_tree(text, limits);
  spec::YamlDecoder decoder;
  TaskConfig task;
  if (tree.ok()) {
    decoder.read_section(tree.root, {}, task);
    decoder.require_fields(tree.root, {}, task, "add it");
  }
  const std::vector<Diagnostic>& problems = tree.ok() ? decoder.diagnostics : tree.diagnostics;
  if (has_errors(problems)) {
    const Diagnostic& first = problems.front();
    return fail(
        ErrorCode::invalid_input,
        fmt::format("{}:{}: {}{}{}", file.string(), first.line, first.field,
                    first.field.empty() ? "" : ": ", first.message),
        first.hint.empty() ? "a task file has name, format, data and few_shot" : first.hint);
  }
  if (task.name.empty()) task.name = file.stem().string();
  for (std::string* path : {&task.data, &task.few_shot_data}) {
    if (!path->empty()) *path = (file.parent_path() / *path).string();
  }
  return task;
}

Result<TaskResult> run_task(LikelihoodScorer& scorer,
                            const data::Tokenizer& tokenizer,
                            const TaskConfig& task,
                            const TaskOptions& options) {
  TERA_TRY(TaskResult result, task.format == TaskFormat::text
                                  ? run_texts(scorer, tokenizer, task, options)
                                  : run_questions(scorer, tokenizer, task, options));
  result.name = task.name;
  result.format = task.format;
  result.few_shot = task.few_shot;
  return result;
}

}  // namespace tera::infer
