#include "core/infer/task_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tera::infer {
namespace {

using testing::ElementsAre;

Question parsed(TaskFormat format, const char* record) {
  const Result<Question> question = parse_question(format, nlohmann::json::parse(record));
  EXPECT_TRUE(question.has_value()) << question.error().message;
  return question.value_or(Question{});
}

std::string problem(TaskFormat format, const char* record) {
  const Result<Question> question = parse_question(format, nlohmann::json::parse(record));
  return question ? "none" : question.error().message;
}

TEST(TaskFormat, MultipleChoice) {
  const Question q = parsed(TaskFormat::multiple_choice,
                            R"({"query": "1 + 1 =", "choices": ["1", "2"], "gold": 1})");
  EXPECT_THAT(q.contexts, ElementsAre("1 + 1 ="));
  EXPECT_THAT(q.choices, ElementsAre("1", "2"));
  EXPECT_EQ(q.gold, 1);
}

TEST(TaskFormat, HellaSwagLosesItsMarks) {
  const Question q = parsed(TaskFormat::hellaswag, R"({
      "activity_label": "Baking", "ctx_a": "[header] How to bake [title] Heat  it.",
      "ctx_b": "the OVEN", "endings": [" is hot [substeps] now.", "x  y"], "label": "1"})");
  EXPECT_THAT(q.contexts, ElementsAre("Baking: How to bake. Heat it. The oven"));
  EXPECT_THAT(q.choices, ElementsAre("is hot now.", "x y"));
  EXPECT_EQ(q.gold, 1);
}

TEST(TaskFormat, QuestionsWithLabelledChoices) {
  const char* record = R"({"question": "What?", "question_stem": "A stem",
      "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "3 "})";
  const Question arc = parsed(TaskFormat::arc, record);
  EXPECT_THAT(arc.contexts, ElementsAre("Question: What?\nAnswer:"));
  EXPECT_THAT(arc.choices, ElementsAre("a", "b", "c"));
  EXPECT_EQ(arc.gold, 2);
  EXPECT_THAT(parsed(TaskFormat::openbookqa, record).contexts, ElementsAre("A stem"));
}

TEST(TaskFormat, TwoChoices) {
  const Question piqa = parsed(
      TaskFormat::piqa, R"({"goal": "Open it", "sol1": "push", "sol2": "pull", "label": 1})");
  EXPECT_THAT(piqa.contexts, ElementsAre("Question: Open it\nAnswer:"));
  EXPECT_THAT(piqa.choices, ElementsAre("push", "pull"));
  EXPECT_EQ(piqa.gold, 1);
  const Question boolq =
      parsed(TaskFormat::boolq, R"({"passage": "It is.", "question": "is it", "label": true})");
  EXPECT_THAT(boolq.contexts, ElementsAre("It is.\nQuestion: is it?\nAnswer:"));
  EXPECT_THAT(boolq.choices, ElementsAre("no", "yes"));
  EXPECT_EQ(boolq.gold, 1);
}

TEST(TaskFormat, WinograndeHasAContextForEachChoice) {
  const Question q = parsed(TaskFormat::winogrande, R"({
      "sentence": "The cup fits the box because _ is small.", "option1": "the cup",
      "option2": "the box", "answer": "1"})");
  EXPECT_THAT(q.contexts, ElementsAre("The cup fits the box because the cup",
                                      "The cup fits the box because the box"));
  EXPECT_THAT(q.choices, ElementsAre("is small.", "is small."));
  EXPECT_EQ(q.gold, 0);
}

TEST(TaskFormat, MmluAsksForALetter) {
  const char* record = R"({"question": " Which? ", "choices": ["w", "x", "y", "z"], "answer": 2,
      "subject": "abstract_algebra"})";
  const Question q = parsed(TaskFormat::mmlu, record);
  EXPECT_THAT(q.contexts, ElementsAre("Which?\nA. w\nB. x\nC. y\nD. z\nAnswer:"));
  EXPECT_THAT(q.choices, ElementsAre("A", "B", "C", "D"));
  EXPECT_EQ(q.gold, 2);
  EXPECT_EQ(q.group, "abstract_algebra");
  EXPECT_EQ(parsed(TaskFormat::mmlu, R"({"question": "?", "choices": ["w", "x"], "answer": "B",
      "subject": ""})")
                .gold,
            1);
  EXPECT_EQ(
      mmlu_description("abstract_algebra"),
      "The following are multiple choice questions (with answers) about abstract algebra.\n\n");
}

TEST(TaskFormat, SciqAndLambada) {
  const Question sciq = parsed(TaskFormat::sciq, R"({"support": "  Facts.", "question": "Why?",
      "distractor1": "a", "distractor2": "b", "distractor3": "c", "correct_answer": "d"})");
  EXPECT_THAT(sciq.contexts, ElementsAre("Facts.\nQuestion: Why?\nAnswer:"));
  EXPECT_THAT(sciq.choices, ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(sciq.gold, 3);
  const Question lambada = parsed(TaskFormat::lambada, R"({"text": "the very last word"})");
  EXPECT_THAT(lambada.contexts, ElementsAre("the very last"));
  EXPECT_THAT(lambada.choices, ElementsAre("word"));
}

TEST(TaskFormat, ProblemsNameTheField) {
  EXPECT_EQ(problem(TaskFormat::piqa, R"([1])"), "the line is not a JSON object");
  EXPECT_EQ(problem(TaskFormat::piqa, R"({"goal": "g", "sol1": "a", "label": 0})"),
            "\"sol2\" is missing");
  EXPECT_EQ(problem(TaskFormat::piqa, R"({"goal": 4, "sol1": "a", "sol2": "b", "label": 0})"),
            "\"goal\" is not a text");
  EXPECT_EQ(problem(TaskFormat::piqa, R"({"goal": "g", "sol1": "a", "sol2": "", "label": 0})"),
            "a choice is empty");
  EXPECT_EQ(problem(TaskFormat::piqa, R"({"goal": "g", "sol1": "a", "sol2": "b", "label": -1})"),
            "the right answer is number -1 of 2 choices, counted from 0");
  EXPECT_EQ(problem(TaskFormat::multiple_choice, R"({"query": "q", "choices": [], "gold": 0})"),
            "there are no choices");
  EXPECT_EQ(problem(TaskFormat::multiple_choice, R"({"query": "q", "choices": "ab", "gold": 0})"),
            "\"choices\" is not a list of texts");
  EXPECT_EQ(
      problem(TaskFormat::arc, R"({"question": "q", "choices": {"text": ["a"], "label": ["A"]},
      "answerKey": "B"})"),
      "\"answerKey\" is \"B\", expected one of the labels");
  EXPECT_EQ(problem(TaskFormat::winogrande, R"({"sentence": "no gap", "option1": "a",
      "option2": "b", "answer": "1"})"),
            "\"sentence\" has no _ to fill in");
  EXPECT_EQ(problem(TaskFormat::lambada, R"({"text": "word"})"),
            "\"text\" does not end with a word after a space");
  EXPECT_EQ(problem(TaskFormat::hellaswag, R"({"activity_label": "a", "ctx_a": "b", "ctx_b": "c",
      "endings": ["d"], "label": "x"})"),
            "\"label\" is \"x\", expected a whole number of at most 8 digits");
}

// Numbers that an int cannot hold must not become small ones.
TEST(TaskFormat, LargeNumbersDoNotWrap) {
  for (const char* number : {"4294967296", "-4294967296", "18446744073709551615", "100000000"}) {
    EXPECT_EQ(
        problem(TaskFormat::multiple_choice,
                (R"({"query": "q", "choices": ["a", "b"], "gold": )" + std::string(number) + "}")
                    .c_str()),
        "\"gold\" is " + std::string(number) + ", expected a whole number of at most 8 digits");
  }
}

}  // namespace
}  // namespace tera::infer
