#include "core/infer/eval_task.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numbers>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/infer/python_random.h"
#include "tests/core/infer/test_models.h"
#include "tests/support/temp_dir.h"

namespace tera::infer {
namespace {

namespace fs = std::filesystem;
using test::byte_tokenizer;
using test::kNumTokens;
using test::RandomModel;
using testing::HasSubstr;

// A model without layers that matter: the next token depends on the last alone, by known logits.
// After any byte, 'a' has twice the probability of 'b' and 'c', four times that of 'd'; the rest
// has none to speak of.
class BigramModel {
 public:
  BigramModel() {
    config_.num_layers = 1;
    config_.hidden_size = 1;
    config_.num_attention_heads = 1;
    config_.num_key_value_heads = 1;
    config_.head_dim = 2;
    config_.ffn_hidden_size = 2;
    config_.vocab_size = kNumTokens;
    config_.max_position_embeddings = 64;
    config_.norm = spec::NormKind::layer;  // of one element: 0, so the bias alone counts
    params_.emplace(*backend_, plan::make_param_table(config_),
                    nn::ParamStoreOptions{.compute = DType::f32, .gradients = false});
    params_->get("final_norm.bias").value.data<float>()[0] = 1;
    float* head = params_->get("head.weight").value.data<float>();
    std::fill(head, head + kNumTokens, -60.0F);
    head['a'] = static_cast<float>(std::log(4.0));
    head['b'] = static_cast<float>(std::log(2.0));
    head['c'] = static_cast<float>(std::log(2.0));
    head['d'] = 0;
    model_.emplace(config_, *params_);
  }
  nn::Model& model() { return *model_; }

 private:
  ThreadPool pool_{1};
  std::unique_ptr<Backend> backend_ = make_cpu_backend(pool_, CpuOps::reference);
  spec::ModelConfig config_;
  std::optional<nn::ParamStore> params_;
  std::optional<nn::Model> model_;
};
// Probabilities 4/9, 2/9, 2/9, 1/9.
const double kA = std::log(4.0 / 9);
const double kB = std::log(2.0 / 9);
const double kD = std::log(1.0 / 9);

class EvalTask : public testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(root_ / name) << text;
    return root_ / name;
  }
  Result<TaskResult> run(const fs::path& file, const TaskOptions& options = {}) {
    TERA_TRY(const TaskConfig task, load_task(file));
    LikelihoodScorer scorer(bigram_.model(), kNumTokens);
    return run_task(scorer, byte_tokenizer(), task, options);
  }
  std::string problem(const fs::path& file) {
    const Result<TaskResult> result = run(file);
    return result ? "none" : result.error().message;
  }

  const tera::test::TempDir dir_;
  const fs::path root_ = dir_.path();
  BigramModel bigram_;
};

std::map<std::string, Metric> by_name(const std::vector<Metric>& metrics) {
  std::map<std::string, Metric> map;
  for (const Metric& metric : metrics)
    map[metric.name] = metric;
  return map;
}

// f32 logits of up to 60 make errors of 4e-6 per token.
constexpr double kTolerance = 1e-4;

// The delimiter costs every choice the same. By sums: "dd" < "b" < "a"; by length "a" > "b" > "dd".
TEST_F(EvalTask, ChoosesByLikelihoodAndByLength) {
  write(
      "q.jsonl",
      R"({"query": "x", "choices": ["a", "b"], "gold": 0})"
      "\n"
      R"({"query": "x", "choices": ["d", "bb"], "gold": 1})"  // -2.2 against -3.0, per letter -1.5
      "\n\n"
      R"({"query": "x", "choices": ["b", "c"], "gold": 1})"  // equal: the first
      "\n"
      R"({"query": "x", "choices": ["b", "é"], "gold": 1})"
      "\n");
  const auto task = write("q.yaml", "format: multiple_choice\ndata: q.jsonl\ndelimiter: ''\n");
  const Result<TaskResult> result = run(task);
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->name, "q");
  EXPECT_EQ(result->items, 4);
  const auto metrics = by_name(result->metrics);
  EXPECT_DOUBLE_EQ(metrics.at("acc").value, 0.25);
  EXPECT_DOUBLE_EQ(metrics.at("acc").standard_error.value(), 0.25);
  EXPECT_DOUBLE_EQ(metrics.at("acc_norm").value, 0.5);
  EXPECT_DOUBLE_EQ(metrics.at("acc_bytes").value, 0.5);
  const Result<TaskResult> two = run(task, {.limit = 2});
  EXPECT_EQ(two->items, 2);
  EXPECT_DOUBLE_EQ(by_name(two->metrics).at("acc").value, 0.5);
}

// "éaaaa" has -127.6: -25.5 for each of 5 characters, -21.3 for each of 6 bytes; "zad" has -65.2:
// -21.7 for each of 3.
TEST_F(EvalTask, CharactersAndBytesAreCountedApart) {
  write("q.jsonl", R"({"query": "x", "choices": ["éaaaa", "zad"], "gold": 0})"
                   "\n");
  const auto task = write("q.yaml", "format: multiple_choice\ndata: q.jsonl\ndelimiter: ''\n");
  const auto metrics = by_name(run(task)->metrics);
  EXPECT_EQ(metrics.at("acc").value, 0);
  EXPECT_EQ(metrics.at("acc_norm").value, 0);
  EXPECT_EQ(metrics.at("acc_bytes").value, 1);
}

TEST_F(EvalTask, TheLastWordIsSaidOrNot) {
  write("l.jsonl", "{\"text\": \"so ab\"}\n{\"text\": \"so aa\"}\n");
  const auto task = write("l.yaml", "format: lambada\ndata: l.jsonl\ndelimiter: 'a'\n");
  const auto metrics = by_name(run(task)->metrics);
  EXPECT_DOUBLE_EQ(metrics.at("acc").value, 0.5) << "aaa is what it says";
  EXPECT_NEAR(metrics.at("perplexity").value, std::exp(-(2 * kA + kB + 3 * kA) / 2), 1e-3);
  EXPECT_GT(metrics.at("perplexity").standard_error.value(), 0);
}

TEST_F(EvalTask, TextsByTokenWordAndByte) {
  write("t.jsonl", "{\"text\": \"abd\"}\n{\"text\": \"" + std::string(70, 'a') + "\"}\n");
  const auto metrics = by_name(run(write("t.yaml", "format: text\ndata: t.jsonl\n"))->metrics);
  const double loss = -(71 * kA + kB + kD) / 73;
  EXPECT_NEAR(metrics.at("loss").value, loss, kTolerance);
  EXPECT_NEAR(metrics.at("perplexity").value, std::exp(loss), kTolerance * std::exp(loss));
  EXPECT_NEAR(metrics.at("bits_per_byte").value, loss / std::numbers::ln2, kTolerance);
  EXPECT_NEAR(metrics.at("byte_perplexity").value, std::exp(loss), kTolerance * std::exp(loss));
  EXPECT_NEAR(std::log(metrics.at("word_perplexity").value), 73 * loss / 2, 73 * kTolerance);
}

// The same numbers as with the examples written into the questions by hand.
TEST_F(EvalTask, ExamplesComeFirst) {
  RandomModel random(false, DType::f32);
  LikelihoodScorer scorer(*random.model, kNumTokens);
  const auto perplexity_of = [&](const std::string& name, const std::string& text) {
    const TaskConfig task = load_task(write(name, "format: multiple_choice\n" + text)).value();
    const Result<TaskResult> result = run_task(scorer, byte_tokenizer(), task, {});
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return by_name(result->metrics).at("perplexity").value;
  };
  const auto line = [](const char* query, const char* answer) {
    return std::string(R"({"query": ")") + query + R"(", "choices": [")" + answer +
           R"("], "gold": 0})" + "\n";
  };
  write("q.jsonl", line("x", "yes") + line("y", "no"));
  write("s.jsonl", line("s", "one") + line("t", "two") + line("u", "three"));
  write("first.jsonl",
        line("Go. s one\\n\\nt two\\n\\nx", "yes") + line("Go. s one\\n\\nt two\\n\\ny", "no"));
  const double plain = perplexity_of("plain.yaml", "data: q.jsonl\n");
  const double first =
      perplexity_of("a.yaml",
                    "data: q.jsonl\nfew_shot: 2\nfew_shot_data: s.jsonl\nfew_shot_order: first\n"
                    "description: 'Go. '\n");
  EXPECT_EQ(first, perplexity_of("b.yaml", "data: first.jsonl\n"));
  EXPECT_NE(first, plain);
  // Drawn anew for each question; of the questions themselves two are drawn for one, and the
  // question is left out.
  PythonRandom python(1234);
  const char* examples[] = {"s one", "t two", "u three"};
  const auto drawn = [&] { return std::string(examples[python.sample(3, 1).front()]) + "\\n\\n"; };
  const std::string before_x = drawn() + "x";
  const std::string before_y = drawn() + "y";
  write("random.jsonl", line(before_x.c_str(), "yes") + line(before_y.c_str(), "no"));
  EXPECT_EQ(perplexity_of("c.yaml", "data: q.jsonl\nfew_shot: 1\nfew_shot_data: s.jsonl\n"),
            perplexity_of("d.yaml", "data: random.jsonl\n"));
  write("own.jsonl", line("y no\\n\\nx", "yes") + line("x yes\\n\\ny", "no"));
  EXPECT_EQ(perplexity_of("e.yaml", "data: q.jsonl\nfew_shot: 1\n"),
            perplexity_of("f.yaml", "data: own.jsonl\n"));
  EXPECT_EQ(problem(write("g.yaml", "format: multiple_choice\ndata: q.jsonl\nfew_shot: 2\n")),
            "g: few_shot is 2, there are 1 examples");
}

TEST_F(EvalTask, SubjectsAreReportedApart) {
  const auto line = [](const char* subject, const char* answer) {
    return std::string(R"({"question": "?", "choices": ["w", "x"], "subject": ")") + subject +
           R"(", "answer": ")" + answer + "\"}\n";
  };
  // 'A' and 'B' are equally likely: it says A.
  write("m.jsonl", line("law", "A") + line("art", "B") + line("law", "A") + line("law", "B"));
  const Result<TaskResult> result = run(write("m.yaml", "format: mmlu\ndata: m.jsonl\n"));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_DOUBLE_EQ(by_name(result->metrics).at("acc").value, 0.5);
  ASSERT_EQ(result->groups.size(), 2U);
  EXPECT_EQ(result->groups[0].name, "art");
  EXPECT_EQ(by_name(result->groups[0].metrics).at("acc").value, 0);
  EXPECT_EQ(result->groups[1].items, 3);
  EXPECT_DOUBLE_EQ(by_name(result->groups[1].metrics).at("acc").value, 2.0 / 3);
}

TEST_F(EvalTask, ProblemsNameFileAndLine) {
  EXPECT_THAT(problem(write("a.yaml", "format: nothing\ndata: q.jsonl\n")),
              HasSubstr("a.yaml:1: format: "));
  EXPECT_THAT(problem(write("b.yaml", "format: piqa\n")), HasSubstr("data: missing"));
  EXPECT_THAT(problem(write("c.yaml", "format: piqa\ndata: none.jsonl\n")),
              HasSubstr("none.jsonl"));
  write("broken.jsonl", "{\"query\": \"x\", \"choices\": [\"a\"], \"gold\": 0}\n{\"query\": 1}\n");
  EXPECT_THAT(problem(write("d.yaml", "format: multiple_choice\ndata: broken.jsonl\n")),
              HasSubstr("broken.jsonl:2: \"query\" is not a text"));
  write("empty.jsonl", "\n");
  EXPECT_THAT(problem(write("e.yaml", "format: text\ndata: empty.jsonl\n")),
              HasSubstr("empty.jsonl holds no record"));
  write("t.jsonl", "{\"text\": \"\"}\n");
  EXPECT_THAT(problem(write("f.yaml", "format: text\ndata: t.jsonl\n")),
              HasSubstr("t.jsonl:1: expected a \"text\" that is not empty"));
  write("long.jsonl",
        "{\"query\": \"x\", \"choices\": [\"" + std::string(70, 'a') + "\"], \"gold\": 0}\n");
  EXPECT_THAT(problem(write("g.yaml", "format: multiple_choice\ndata: long.jsonl\n")),
              HasSubstr("question 1: a choice has 71 tokens, the model reads 64"));
  write("q.jsonl", "{\"query\": \"x\", \"choices\": [\"a\", \"b\"], \"gold\": 0}\n");
  LikelihoodScorer scorer(bigram_.model(), kNumTokens);
  const TaskConfig task =
      load_task(write("h.yaml", "format: multiple_choice\ndata: q.jsonl\n")).value();
  const Result<TaskResult> stopped =
      run_task(scorer, byte_tokenizer(), task, {.on_progress = [](auto, auto) { return false; }});
  EXPECT_THAT(stopped.error().message, HasSubstr("task h was stopped"));
}

}  // namespace
}  // namespace tera::infer
