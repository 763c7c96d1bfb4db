// generate and eval on a small trained model: prompts from files, JSON, what is wrong with inputs.
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/run_program.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;
using testing::HasSubstr;

class InferCommands : public testing::Test {
 protected:
  void SetUp() override {
    before_ = fs::current_path();
    fs::current_path(root_);
    std::string text;
    for (int i = 0; i < 60; ++i)
      text +=
          "{\"text\": \"day " + std::to_string(i) + " the cat sat on the mat and the dog ran\"}\n";
    write("docs.jsonl", text);
    make({"tok", "train", "docs.jsonl", "--vocab", "270", "-o", "tokenizer.json"});
    make({"data", "prepare", "docs.jsonl", "-o", "corpus"});
    make({"data", "tokenize", "corpus.jsonl", "--tokenizer", "tokenizer.json", "--valid", "20",
          "-o", "corpus"});
    write("toy.yaml",
          "model: {num_layers: 2, hidden_size: 32, num_attention_heads: 2, num_key_value_heads: 2, "
          "head_dim: 16, vocab_size: 272, max_position_embeddings: 64, num_experts: 4, "
          "router_top_k: 2, moe_ffn_hidden_size: 32}\n"
          "cluster: {preset: this-machine}\n"
          "training: {seq_length: 32, global_batch_size: 4, num_steps: 12, warmup_steps: 2, "
          "learning_rate: 0.01, checkpoint_interval: 6, eval_interval: 0}\n"
          "layout: {micro_batch_size: 4}\n"
          "data: {datasets: [{path: corpus}], tokenizer: tokenizer.json}\n"
          "launch: {num_threads: 1}\n");
    make({"train", "toy.yaml"});
    for (const auto& entry : fs::directory_iterator("runs"))
      run_ = entry.path().string();
  }
  void TearDown() override { fs::current_path(before_); }

  static void write(const std::string& name, const std::string& text) {
    std::ofstream(name) << text;
  }
  static void make(const std::vector<std::string>& arguments) {
    const ProgramResult result = run_teragpt(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  // The lines of standard output as JSON.
  std::vector<json> lines(std::vector<std::string> arguments, const std::string& input = {}) const {
    arguments.insert(arguments.begin() + 1, run_);
    arguments.emplace_back("--json");
    const ProgramResult result = run_teragpt(arguments, input);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::istringstream stream(result.out);
    std::vector<json> documents;
    for (std::string line; std::getline(stream, line);)
      documents.push_back(json::parse(line));
    return documents;
  }
  // What is said on stderr of wrong input.
  std::string problem(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin() + 1, run_);
    const ProgramResult result = run_teragpt(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.out;
    EXPECT_EQ(result.out, "");
    return result.err;
  }

  const test::TempDir dir_;
  fs::path root_ = dir_.path();
  const test::ScopedVariable runs_{"TERA_RUNS", "runs"};
  const test::ScopedVariable cache_{"XDG_CACHE_HOME", root_ / "cache"};
  fs::path before_;
  std::string run_;
};

TEST_F(InferCommands, PromptsComeFromFilesAndDoNotMix) {
  write("prompts.txt", "day 1 the\nthe cat\nand the dog ran\r\n");
  const std::vector<std::string> warm = {
      "generate", "--prompts", "prompts.txt", "--max-tokens", "20", "--seed", "7"};
  const std::vector<json> together = lines(warm);
  ASSERT_EQ(together.size(), 3U);
  std::vector<std::string> one_by_one = warm;
  one_by_one.insert(one_by_one.end(), {"--batch", "1"});
  EXPECT_EQ(lines(one_by_one), together);
  const std::vector<json> alone =
      lines({"generate", "--prompt", "the cat", "--max-tokens", "20", "--seed", "8"});
  EXPECT_EQ(alone.at(0), together[1]) << "the second prompt has the next seed";
  EXPECT_EQ(together[2].at("prompt"), "and the dog ran");
  EXPECT_EQ(together[0].at("tokens").size(), together[0].at("logprobs").size());

  write("prompts.jsonl", "{\"prompt\": \"the cat\", \"seed\": 8}\n{\"tokens\": [1, 2]}\n");
  const std::vector<json> objects =
      lines({"generate", "--prompts", "prompts.jsonl", "--max-tokens", "20", "--seed", "7"});
  EXPECT_EQ(objects.at(0), together[1]);
  EXPECT_EQ(lines({"generate", "--prompts", "-", "--jsonl", "--max-tokens", "20"},
                  "{\"prompt\": \"the cat\", \"seed\": 8}\n")
                .at(0),
            together[1]);

  const ProgramResult text = run_teragpt(
      {"generate", run_, "--prompts", "prompts.txt", "--max-tokens", "20", "--seed", "7"});
  EXPECT_THAT(text.out, HasSubstr("the cat" + together[1].at("text").get<std::string>()));
}

TEST_F(InferCommands, ReportsAlternativesAndExperts) {
  const json made = lines({"generate", "--prompt", "the cat", "--max-tokens", "4", "--temperature",
                           "0", "--logprobs", "3", "--experts"})
                        .at(0);
  ASSERT_EQ(made.at("tokens").size(), 4U) << made;
  ASSERT_EQ(made.at("alternatives").size(), 4U);
  EXPECT_EQ(made["alternatives"][0].size(), 3U);
  EXPECT_EQ(made["alternatives"][0][0].at("token"), made["tokens"][0]) << "the most likely";
  EXPECT_EQ(made["alternatives"][0][0].at("logprob"), made["logprobs"][0]);
  EXPECT_EQ(made.at("experts").size(), made.at("prompt_tokens").get<std::size_t>() + 3);
  ASSERT_EQ(made["experts"][0].size(), 2U) << "layers";
  EXPECT_EQ(made["experts"][0][0].at("experts").size(), 2U);
  EXPECT_EQ(made["experts"][0][0].at("gates").size(), 2U);
  const ProgramResult text =
      run_teragpt({"generate", run_, "--prompt", "the cat", "--max-tokens", "4", "--temperature",
                   "0", "--logprobs", "3", "--experts"});
  EXPECT_THAT(text.out, HasSubstr("layer 1 "));
}

TEST_F(InferCommands, StopsBeforeAText) {
  const json whole =
      lines({"generate", "--prompt", "the cat", "--max-tokens", "20", "--temperature", "0"}).at(0);
  const std::string text = whole.at("text");
  ASSERT_GT(text.size(), 3U);
  const json cut = lines({"generate", "--prompt", "the cat", "--max-tokens", "20", "--temperature",
                          "0", "--stop", text.substr(2, 1)})
                       .at(0);
  EXPECT_EQ(cut.at("text"), text.substr(0, text.find(text[2])));
  EXPECT_EQ(cut.at("finish"), "stop");
}

TEST_F(InferCommands, WrongPromptsAreNamed) {
  write("empty.txt", "");
  EXPECT_THAT(problem({"generate", "--prompts", "empty.txt"}),
              HasSubstr("empty.txt holds no prompt"));
  write("gap.txt", "a\n\nb\n");
  EXPECT_THAT(problem({"generate", "--prompts", "gap.txt"}),
              HasSubstr("gap.txt:2: the line is empty"));
  write("long.txt", "a\n" + std::string(100, 'x') + "\n");
  EXPECT_THAT(problem({"generate", "--prompts", "long.txt", "--max-tokens", "5"}),
              HasSubstr("prompt 2 has 100 tokens: with 5 new ones they exceed the context of 64"));
  const std::pair<const char*, const char*> wrong[] = {
      {"[1]", "w.jsonl:1: not a JSON object"},
      {"{\"prompt\": 1}", "\"prompt\" is not a text"},
      {"{\"text\": \"a\"}", "unknown key \"text\""},
      {"{\"prompt\": \"a\", \"tokens\": [1]}", "expected either \"prompt\" or \"tokens\""},
      {"{\"tokens\": [1, 270]}", "\"tokens\" holds 270, expected ids from 0 to 269"},
      {"{\"tokens\": [-1]}", "\"tokens\" holds -1, expected ids from 0 to 269"},
      {"{\"tokens\": []}", "\"tokens\" is empty"},
      {"{\"prompt\": \"a\", \"seed\": -1}", "\"seed\" is -1"}};
  for (const auto& [line, message] : wrong) {
    write("w.jsonl", std::string(line) + "\n");
    EXPECT_THAT(problem({"generate", "--prompts", "w.jsonl"}), HasSubstr(message));
  }
}

TEST_F(InferCommands, EvaluatesTextTokensAndTasks) {
  const json own = lines({"eval"}).at(0);
  EXPECT_EQ(own.at("schema"), "teragpt.eval/1");
  EXPECT_EQ(own.at("step"), 12);
  const json& metrics = own.at("rows").at(0).at("metrics");
  const double loss = metrics.at("loss").at("value");
  EXPECT_LT(loss, std::log(272.0)) << "it has learned something";
  EXPECT_DOUBLE_EQ(metrics.at("perplexity").at("value").get<double>(), std::exp(loss));
  const json& row = own["rows"][0];
  EXPECT_NEAR(metrics.at("bits_per_byte").at("value").get<double>(),
              loss * row.at("tokens").get<double>() / row.at("bytes").get<double>() / std::log(2.0),
              1e-9);
  EXPECT_EQ(
      lines({"eval", "--data", "corpus", "--threads", "2"}).at(0).at("rows").at(0).at("metrics"),
      metrics)
      << "the same bits";
  EXPECT_GT(
      lines({"eval", "--step", "6"}).at(0).at("rows").at(0).at("metrics").at("loss").at("value"),
      loss);

  write("ids.json", "[[1, 2, 3, 4], [5, 6, 7, 8]]");
  const json tokens =
      lines({"eval", "--tokens", "ids.json", "--dump-logits", "out.safetensors"}).at(0);
  EXPECT_EQ(tokens.at("rows").at(0).at("tokens"), 6);
  EXPECT_EQ(fs::file_size("out.safetensors") % 4, 0U);
  EXPECT_GT(fs::file_size("out.safetensors"), 2U * 4 * 272 * 4);

  write("q.jsonl", "{\"query\": \"the cat\", \"choices\": [\"sat on\", \"zzzz\"], \"gold\": 0}\n");
  write("q.yaml", "format: multiple_choice\ndata: q.jsonl\n");
  const json task = lines({"eval", "--task", "q.yaml"}).at(0).at("rows").at(0);
  EXPECT_EQ(task.at("name"), "q");
  EXPECT_EQ(task.at("metrics").at("acc").at("value"), 1.0);
  const ProgramResult text = run_teragpt({"eval", run_, "--task", "q.yaml"});
  EXPECT_THAT(text.out, HasSubstr("q: 1 items\n  acc              1.0000 +- 0.0000"));
}

TEST_F(InferCommands, WrongEvaluationsAreNamed) {
  EXPECT_THAT(problem({"eval", "--data", "nowhere"}), HasSubstr("nowhere.tgd.json"));
  EXPECT_THAT(problem({"eval", "--task", "none.yaml"}), HasSubstr("none.yaml"));
  EXPECT_THAT(problem({"eval", "--seq", "65"}),
              HasSubstr("windows of 65 tokens, expected 1 to 64"));
  EXPECT_THAT(problem({"eval", "--step", "7"}), HasSubstr("has no checkpoint of step 7"));
  EXPECT_THAT(problem({"eval", "--step", "7"}), HasSubstr("it has steps 12, 6"));
  EXPECT_THAT(problem({"eval", "--split", "test"}), HasSubstr("its test split has 0 tokens"));
  write("ids.json", "[[1, 2], [3, 272]]");
  EXPECT_THAT(problem({"eval", "--tokens", "ids.json"}),
              HasSubstr("sequence 2 holds token 272, expected 0 to 271"));
  write("ids.json", "[[1, 2], [3]]");
  EXPECT_THAT(problem({"eval", "--tokens", "ids.json", "--dump-logits", "o.safetensors"}),
              HasSubstr("sequences of 2 and 1 tokens"));
  EXPECT_FALSE(fs::exists("o.safetensors"));
  write("ids.json", "[1, 2]");
  EXPECT_THAT(problem({"eval", "--tokens", "ids.json"}), HasSubstr("not a list of lists"));
}

TEST_F(InferCommands, CtrlCEndsWithWhatThereIs) {
  std::string prompts;
  for (int i = 0; i < 2000; ++i)
    prompts += "the cat\n";
  write("many.txt", prompts);
  test::RunningTeragpt program(
      {"generate", run_, "--prompts", "many.txt", "--batch", "1", "--max-tokens", "30", "--json"},
      test::RunningTeragpt::Output::pipe);
  ASSERT_TRUE(program.read_line().has_value());
  program.send(SIGINT);
  int rest = 0;
  json last;
  for (std::optional<std::string> line; (line = program.read_line()).has_value(); ++rest)
    last = json::parse(*line);  // whole documents
  EXPECT_LT(rest, 1999);
  EXPECT_EQ(last.at("schema"), "teragpt.error/1") << "the texts before it are not all";
  EXPECT_EQ(program.wait(), 1);
}

}  // namespace
}  // namespace tera
