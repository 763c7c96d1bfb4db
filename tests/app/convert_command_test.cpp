// teragpt convert as its users meet it: a model of transformers becomes one that train and generate
// accept, and goes back; bad input is named and nothing is left behind.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/run_program.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"
#include "tests/support/toy_dataset.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;
using testing::HasSubstr;

class ConvertCommand : public testing::Test {
 protected:
  void SetUp() override {
    fs::copy(fs::path(std::getenv("TERA_SOURCE_DIR")) / "tests/golden/hugging_face/mixtral",
             root_ / "mixtral");
    fs::remove(root_ / "mixtral/gradients.safetensors");
  }
  std::string path(const std::string& name) const { return (root_ / name).string(); }
  ProgramResult import(const std::string& out = "ours") const {
    return run_teragpt(
        {"convert", path("mixtral"), "--from", "hugging-face", "-o", path(out), "--json"});
  }
  // stderr of an import that fails with this exit code and leaves nothing behind.
  std::string refused(int exit_code) const {
    const ProgramResult result =
        run_teragpt({"convert", path("mixtral"), "--from", "hugging-face", "-o", path("ours")});
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::distance(fs::directory_iterator(root_), {}), 1) << "only the input is there";
    return result.err;
  }
  void edit_config(const std::string& key, const json& value) const {
    std::ifstream in(root_ / "mixtral/config.json");
    json config = json::parse(in);
    config[key] = value;
    std::ofstream(root_ / "mixtral/config.json") << config.dump();
  }
  const test::TempDir dir_;
  const fs::path root_ = dir_.path();
  const test::ScopedVariable runs_{"TERA_RUNS", root_ / "runs"};
};

TEST_F(ConvertCommand, ImportsTrainsAndExports) {
  const ProgramResult imported = import();
  ASSERT_EQ(imported.exit_code, 0) << imported.err;
  const json report = json::parse(imported.out);
  EXPECT_EQ(report.at("schema"), "teragpt.convert/1");
  EXPECT_EQ(report.at("architecture"), "mixtral");
  EXPECT_EQ(report.at("total_params"), 6096);
  EXPECT_EQ(report.at("verified"), true);
  EXPECT_EQ(report.at("max_abs_diff"), 0.0);
  EXPECT_TRUE(report.at("files").contains("spec.yaml"));
  EXPECT_EQ(report.at("notes").at(0).at("field"), "tokenizer.json");

  // Going on from the imported weights: the first loss is the model's, not that of random weights.
  test::write_toy_dataset(root_ / "toy", {.vocab_size = 40, .tokens_per_document = 60});
  const auto train = [&](const std::string& more) {
    std::vector<std::string> arguments = {"train",
                                          path("ours/spec.yaml"),
                                          "--json",
                                          "--set",
                                          "data.datasets=[{path: " + path("toy") + "}]",
                                          "--set",
                                          "training.seq_length=16",
                                          "--set",
                                          "training.global_batch_size=4",
                                          "--set",
                                          "training.num_steps=2",
                                          "--set",
                                          "training.warmup_steps=0",
                                          "--set",
                                          "training.eval_interval=0"};
    if (!more.empty()) arguments.insert(arguments.end(), {"--set", more});
    return run_teragpt(arguments);
  };
  const auto first_loss = [&](const std::string& more) {
    const ProgramResult trained = train(more);
    EXPECT_EQ(trained.exit_code, 0) << trained.err;
    return json::parse(trained.out.substr(0, trained.out.find('\n'))).at("loss").get<double>();
  };
  const double imported_loss = first_loss("");
  const fs::path run = fs::directory_iterator(root_ / "runs")->path();
  const double random_loss = first_loss("training.init_from=");
  EXPECT_NEAR(random_loss, std::log(40.0), 0.2);
  EXPECT_GT(std::abs(imported_loss - random_loss), 0.3);
  EXPECT_NEAR(first_loss("training.precision=bf16"), imported_loss, 0.05);
  const ProgramResult other = train("model.num_layers=1");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("which the model lacks"));
  EXPECT_THAT(train("training.init_from=nowhere").err, HasSubstr("nowhere is not a checkpoint"));

  const ProgramResult exported =
      run_teragpt({"convert", path("ours"), "--to", "hugging-face", "-o", path("theirs")});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_THAT(exported.out, HasSubstr("mixtral, 6.10 k parameters"));
  EXPECT_THAT(exported.out, HasSubstr("verified: the logits of 8 prompts differ by at most 0"));
  EXPECT_TRUE(fs::exists(root_ / "theirs/model.safetensors"));

  // The trained run goes out as well.
  const ProgramResult trained = run_teragpt(
      {"convert", run.string(), "--to", "hugging-face", "-o", path("trained"), "--json"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_EQ(json::parse(trained.out).at("architecture"), "mixtral");

  // Weights that were trained in bf16 alone go out in bf16.
  fs::remove_all(root_ / "runs");
  first_loss("training.precision=bf16_stochastic");
  const fs::path rounded = fs::directory_iterator(root_ / "runs")->path();
  const ProgramResult half =
      run_teragpt({"convert", rounded.string(), "--to", "hugging-face", "-o", path("half")});
  ASSERT_EQ(half.exit_code, 0) << half.err;
  std::ifstream config(root_ / "half/config.json");
  EXPECT_EQ(json::parse(config).at("torch_dtype"), "bfloat16");
}

// The running mean of the weights goes out as eval --ema sees it.
TEST_F(ConvertCommand, ExportsTheMeanOfTheWeights) {
  ASSERT_EQ(import().exit_code, 0);
  test::write_toy_dataset(root_ / "toy", {.vocab_size = 40, .tokens_per_document = 60});
  const auto train = [&](const char* ema_decay) {
    fs::remove_all(root_ / "runs");
    std::vector<std::string> arguments = {"train", path("ours/spec.yaml")};
    for (const std::string& setting :
         {"data.datasets=[{path: " + path("toy") + "}]", std::string("training.seq_length=16"),
          std::string("training.global_batch_size=4"), std::string("training.num_steps=3"),
          std::string("training.warmup_steps=0"), std::string("training.learning_rate=0.05"),
          std::string("training.eval_interval=0"), std::string("training.ema_decay=") + ema_decay})
      arguments.insert(arguments.end(), {"--set", setting});
    const ProgramResult trained = run_teragpt(arguments);
    EXPECT_EQ(trained.exit_code, 0) << trained.err;
    return fs::directory_iterator(root_ / "runs")->path().string();
  };
  std::ofstream(root_ / "ids.json") << "[[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]";
  const auto loss = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "eval");
    arguments.insert(arguments.end(), {"--tokens", path("ids.json"), "--json"});
    const ProgramResult result = run_teragpt(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const json row = json::parse(result.out).at("rows").at(0);
    return row.at("metrics").at("loss").at("value").get<double>();
  };
  const std::string run = train("0.9");
  for (const bool ema : {false, true}) {
    const std::string name = ema ? "mean" : "trained";
    std::vector<std::string> arguments = {"convert", run,  "--to",    "hugging-face",
                                          "--json",  "-o", path(name)};
    if (ema) arguments.emplace_back("--ema");
    const ProgramResult exported = run_teragpt(arguments);
    ASSERT_EQ(exported.exit_code, 0) << exported.err;
    EXPECT_EQ(json::parse(exported.out).at("ema"), ema);
    EXPECT_EQ(json::parse(exported.out).at("max_abs_diff"), 0.0);
    ASSERT_EQ(
        run_teragpt({"convert", path(name), "--from", "hugging-face", "-o", path(name + "-back")})
            .exit_code,
        0);
  }
  EXPECT_EQ(loss({path("trained-back")}), loss({run}));
  EXPECT_EQ(loss({path("mean-back")}), loss({run, "--ema"}));
  EXPECT_NE(loss({run, "--ema"}), loss({run}));

  const ProgramResult none =
      run_teragpt({"convert", train("0"), "--to", "hugging-face", "--ema", "-o", path("none")});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, testing::AllOf(HasSubstr("has no running mean of the weights"),
                                       HasSubstr("training.ema_decay")));
  EXPECT_FALSE(fs::exists(root_ / "none"));
}

// Adapters of an imported model: trained, merged, exported whole and alone.
TEST_F(ConvertCommand, AdaptersAreTrainedMergedAndExported) {
  ASSERT_EQ(import().exit_code, 0);
  test::write_toy_dataset(root_ / "toy", {.vocab_size = 40, .tokens_per_document = 60});
  const std::vector<std::string> settings = {
      "data.datasets=[{path: " + path("toy") + "}]",
      "training.seq_length=16",
      "training.global_batch_size=4",
      "training.num_steps=2",
      "training.warmup_steps=0",
      "training.learning_rate=0.01",
      "training.eval_interval=0",
      "lora={rank: 4, alpha: 8, target_modules: [attention.q, attention.v, experts.in]}"};
  std::vector<std::string> train = {"train", path("ours/spec.yaml"), "--json"};
  std::vector<std::string> plan = {"plan", path("ours/spec.yaml")};
  for (const std::string& setting : settings) {
    train.insert(train.end(), {"--set", setting});
    plan.insert(plan.end(), {"--set", setting});
  }
  EXPECT_THAT(run_teragpt(plan).out, HasSubstr("parameters trained of rank 4"));
  const ProgramResult trained = run_teragpt(train);
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const std::string run = fs::directory_iterator(root_ / "runs")->path().string();

  const ProgramResult whole =
      run_teragpt({"convert", run, "--to", "hugging-face", "-o", path("theirs")});
  EXPECT_EQ(whole.exit_code, 2);
  EXPECT_THAT(whole.err, testing::AllOf(HasSubstr("holds adapters, not a whole model"),
                                        HasSubstr("teragpt ckpt merge")));
  // The second example of its help can be typed.
  const std::string help = run_teragpt({"ckpt", "merge", "--help"}).out;
  std::istringstream example(help.substr(std::min(help.size(), help.find("generate merged"))));
  std::vector<std::string> words(4);
  for (std::string& word : words)
    example >> std::quoted(word, '\'');
  EXPECT_THAT(run_teragpt(words).err, HasSubstr("no run starts with \"merged\""));
  const ProgramResult merged = run_teragpt({"ckpt", "merge", run, "-o", path("merged"), "--json"});
  ASSERT_EQ(merged.exit_code, 0) << merged.err;
  EXPECT_GT(json::parse(merged.out).at("adapters"), 0);
  const ProgramResult theirs =
      run_teragpt({"convert", path("merged"), "--to", "hugging-face", "-o", path("theirs")});
  ASSERT_EQ(theirs.exit_code, 0) << theirs.err;
  EXPECT_THAT(theirs.out, HasSubstr("verified: the logits of 8 prompts differ by at most 0"));

  const ProgramResult peft = run_teragpt({"convert", run, "--to", "peft", "-o", path("peft")});
  ASSERT_EQ(peft.exit_code, 0) << peft.err;
  std::ifstream stream(root_ / "peft/adapter_config.json");
  const json config = json::parse(stream);
  EXPECT_EQ(config.at("peft_type"), "LORA");
  EXPECT_EQ(config.at("r"), 4);
  EXPECT_EQ(config.at("lora_alpha"), 8.0);
  EXPECT_THAT(config.at("target_modules").get<std::vector<std::string>>(),
              testing::Contains("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(fs::exists(root_ / "peft/adapter_model.safetensors"));
  EXPECT_EQ(run_teragpt({"convert", path("ours"), "--to", "peft", "-o", path("none")}).exit_code,
            2);
}

// The model works on token ids whatever its tokenizer is.
TEST_F(ConvertCommand, AModelWithAnUnusableTokenizerWorksOnTokenIds) {
  std::ofstream(root_ / "mixtral/tokenizer.json") << R"({"model": {"type": "Unigram"}})";
  ASSERT_EQ(import().exit_code, 0);
  std::ofstream(root_ / "ids.json") << "[[1, 2, 3, 4]]";
  const ProgramResult loss = run_teragpt({"eval", path("ours"), "--tokens", path("ids.json")});
  EXPECT_EQ(loss.exit_code, 0) << loss.err;
  EXPECT_THAT(loss.err, testing::AllOf(HasSubstr("going on without text"), HasSubstr("Unigram")));

  std::ofstream(root_ / "prompts.jsonl") << "{\"tokens\": [1, 2, 3]}\n";
  const auto generate = [&] {
    return run_teragpt({"generate", path("ours"), "--prompts", path("prompts.jsonl"),
                        "--temperature", "0", "--max-tokens", "3", "--json"});
  };
  const ProgramResult made = generate();
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const json document = json::parse(made.out);
  EXPECT_EQ(document.at("tokens").size(), 3U);
  EXPECT_TRUE(document.at("text").is_null() && document.at("prompt").is_null());
  const ProgramResult printed =
      run_teragpt({"generate", path("ours"), "--prompts", path("prompts.jsonl"), "--temperature",
                   "0", "--max-tokens", "3", "--logprobs", "2"});
  const json& ids = document["tokens"];
  EXPECT_THAT(printed.out, testing::StartsWith(ids[0].dump() + " " + ids[1].dump() + " " +
                                               ids[2].dump() + "\n"));
  // It ends where the files say that texts end.
  std::ofstream(root_ / "ours/generation_config.json")
      << json{{"eos_token_id", {39, ids[0]}}}.dump();
  const json ended = json::parse(generate().out);
  EXPECT_EQ(ended.at("finish"), "end_of_document");
  EXPECT_TRUE(ended.at("tokens").empty());

  const ProgramResult text = run_teragpt({"generate", path("ours"), "--prompt", "the"});
  EXPECT_EQ(text.exit_code, 2);
  EXPECT_THAT(text.err, HasSubstr("model.type is \"Unigram\", expected \"BPE\""));
  const ProgramResult given = run_teragpt({"eval", path("ours"), "--tokens", path("ids.json"),
                                           "--tokenizer", path("mixtral/tokenizer.json")});
  EXPECT_EQ(given.exit_code, 2) << "what was asked for is not left away";
}

TEST_F(ConvertCommand, BadInputIsNamedAndNothingIsLeft) {
  edit_config("model_type", "mamba");
  EXPECT_THAT(refused(2), testing::AllOf(HasSubstr("\"mamba\" is not an architecture"),
                                         HasSubstr("hint:  it has gpt2, gpt_neox")));
  edit_config("model_type", "mixtral");
  edit_config("num_local_experts", 5);
  EXPECT_THAT(refused(2),
              HasSubstr("tensors are missing: model.layers.0.block_sparse_moe.experts.4"));
  edit_config("num_local_experts", 4);
  fs::resize_file(root_ / "mixtral/model.safetensors", 20000);
  EXPECT_THAT(refused(1), HasSubstr("of the data, which has"));
  fs::remove(root_ / "mixtral/model.safetensors");
  EXPECT_THAT(refused(2), HasSubstr("holds neither model.safetensors"));
  fs::remove(root_ / "mixtral/config.json");
  EXPECT_THAT(refused(2), HasSubstr("holds no config.json"));
}

TEST_F(ConvertCommand, UsageIsChecked) {
  const auto error = [](const std::vector<std::string>& arguments) {
    const ProgramResult result = run_teragpt(arguments);
    EXPECT_EQ(result.exit_code, 2);
    return result.err;
  };
  EXPECT_THAT(error({"convert", path("mixtral"), "-o", path("x")}),
              HasSubstr("expected one of --from hugging-face, --to"));
  EXPECT_THAT(error({"convert", path("mixtral"), "--from", "pickle", "-o", path("x")}),
              HasSubstr("hugging-face"));
  EXPECT_THAT(error({"convert", path("nowhere"), "--to", "hugging-face", "-o", path("x")}),
              HasSubstr("nowhere"));
  EXPECT_THAT(error({"convert", path("mixtral"), "--from", "hugging-face", "-o", path("mixtral")}),
              HasSubstr("exists and was left as it is"));
}

}  // namespace
}  // namespace tera
