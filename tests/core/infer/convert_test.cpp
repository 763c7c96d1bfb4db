// Import and export of whole directories: what they hold, and that nothing is left half-written.
#include "core/infer/convert.h"

#include <cstdlib>
#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/base/fault_vfs.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/weights.h"
#include "core/data/tokenizer.h"
#include "core/data/tokenizer_file.h"
#include "core/spec/yaml.h"
#include "tests/support/temp_dir.h"

namespace tera::infer {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The 256 bytes and an end-of-document token.
std::string tokenizer_json() {
  data::TokenizerFile file;
  file.added_tokens = {{0, "<|endoftext|>", true}};
  file.tokens = {"<|endoftext|>"};
  for (const std::uint8_t byte : data::bytes_by_code_point())
    file.tokens.emplace_back(1, static_cast<char>(byte));
  return data::write_tokenizer_file(file);
}

class Convert : public testing::Test {
 protected:
  void SetUp() override {
    fs::copy(fs::path(std::getenv("TERA_SOURCE_DIR")) / "tests/golden/hugging_face/olmoe",
             dir_ / "olmoe");
    std::ofstream(dir_ / "olmoe" / "tokenizer.json") << tokenizer_json();
    std::ofstream(dir_ / "olmoe" / "generation_config.json") << R"({"eos_token_id": 0})";
  }

  Result<Converted> import(const ConvertOptions& options = {}, Vfs& vfs = posix_vfs()) const {
    return import_hugging_face(vfs, dir_ / "olmoe", dir_ / "ours", options);
  }
  Result<Converted> export_to(const std::string& name, const ExportOptions& options = {}) const {
    std::vector<std::string> skipped;
    TERA_TRY(const checkpoint::Reader reader,
             checkpoint::open_weights(posix_vfs(), dir_ / "ours", skipped));
    return export_hugging_face(posix_vfs(), reader, dir_ / name, options);
  }
  std::vector<std::string> names() const { return *posix_vfs().list(dir_); }
  std::string text(const fs::path& path) const {
    std::ifstream file(dir_ / path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const tera::test::TempDir own_;
  const fs::path dir_ = own_.path();
};

TEST_F(Convert, ThereAndBackGivesTheSameFiles) {
  const Result<Converted> imported = import();
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ(imported->family, spec::HuggingFaceFamily::olmoe);
  ASSERT_TRUE(imported->difference);
  EXPECT_EQ(imported->difference->max_abs_diff, 0);
  EXPECT_GT(imported->difference->max_abs, 0.1);
  ASSERT_EQ(imported->notes.size(), 1U);
  EXPECT_EQ(imported->notes[0].message, "has 257 tokens, the model 40");
  EXPECT_EQ(imported->files.at("ckpt/step-000000000/COMMIT"),
            fs::file_size(dir_ / "ours/ckpt/step-000000000/COMMIT"));
  const spec::ParsedSpec spec = spec::load_run_spec(dir_ / "ours" / "spec.yaml");
  ASSERT_TRUE(spec.ok()) << spec.diagnostics[0].message;
  EXPECT_EQ(spec.spec.data.tokenizer, (dir_ / "ours" / "tokenizer.json").string());
  EXPECT_EQ(spec.spec.training.init_from, (dir_ / "ours/ckpt/step-000000000").string());
  EXPECT_EQ(spec.spec.model.num_experts, 4);

  const Result<Converted> exported = export_to("theirs");
  ASSERT_TRUE(exported) << exported.error().message;
  EXPECT_EQ(exported->difference->max_abs_diff, 0);
  for (const char* name : {"model.safetensors", "tokenizer.json", "generation_config.json"})
    EXPECT_EQ(text(fs::path("theirs") / name), text(fs::path("olmoe") / name)) << name;
  const json special = json::parse(text("theirs/special_tokens_map.json"));
  EXPECT_EQ(special.at("eos_token"), "<|endoftext|>");
  EXPECT_EQ(json::parse(text("theirs/tokenizer_config.json")).at("tokenizer_class"),
            "PreTrainedTokenizerFast");
  EXPECT_EQ(names(), (std::vector<std::string>{"olmoe", "ours", "theirs"}));
}

// Where the directory says it in config.json alone, generation finds it beside the tokenizer.
TEST_F(Convert, TokensThatEndTextsAreKept) {
  fs::remove(dir_ / "olmoe" / "generation_config.json");
  json config = json::parse(text("olmoe/config.json"));
  config["bos_token_id"] = 5;
  config["eos_token_id"] = {3, 4};
  std::ofstream(dir_ / "olmoe" / "config.json") << config.dump();
  ASSERT_TRUE(import({.verify = false}));
  const Result<data::Tokenizer> tokenizer = data::Tokenizer::load(dir_ / "ours");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->start_id(), 5);
  EXPECT_EQ(tokenizer->eod_id(), 3);
  EXPECT_TRUE(tokenizer->ends_text(4));
}

TEST_F(Convert, Bf16IsRoundedOnceAndReadBackExactly) {
  ASSERT_TRUE(import({.verify = false}));
  const Result<Converted> exported = export_to("theirs", {.bf16 = true});
  ASSERT_TRUE(exported) << exported.error().message;
  // The router's weights are f32 in our model and bf16 in the file: only that may differ.
  EXPECT_LT(exported->difference->max_abs_diff, 0.1 * exported->difference->max_abs);
  EXPECT_EQ(json::parse(text("theirs/config.json")).at("torch_dtype"), "bfloat16");
  EXPECT_LT(fs::file_size(dir_ / "theirs/model.safetensors"),
            fs::file_size(dir_ / "olmoe/model.safetensors") * 3 / 4);
}

TEST_F(Convert, StoppingLeavesNothingBehind) {
  const auto stop_at = [](int call) {
    return ConvertOptions{
        .progress = [call, calls = 0](auto, auto, auto) mutable { return ++calls < call; }};
  };
  for (const int call : {1, 7}) {
    const Result<Converted> imported = import(stop_at(call));
    ASSERT_FALSE(imported);
    EXPECT_THAT(imported.error().message, testing::HasSubstr("stopped"));
    EXPECT_EQ(names(), std::vector<std::string>{"olmoe"});
  }
  ASSERT_TRUE(import({.verify = false}));
  EXPECT_FALSE(export_to("theirs", {.convert = stop_at(5)}));
  EXPECT_EQ(names(), (std::vector<std::string>{"olmoe", "ours"}));
}

TEST_F(Convert, NoFaultOfTheDiskLeavesHalfAModel) {
  FaultVfs whole;
  ASSERT_TRUE(import({.verify = false}, whole));
  const auto operations = std::ssize(whole.operations());
  ASSERT_GT(operations, 50);
  for (std::int64_t at = 0; at < operations; at += 3) {
    fs::remove_all(dir_ / "ours");
    FaultVfs vfs;
    vfs.set_fault(FaultVfs::Fault::error, at);
    const bool made = import({.verify = false}, vfs).has_value();
    for (const std::string& name : names()) {
      if (name == "olmoe") continue;
      // The last operation makes the name durable: then all of it is there.
      EXPECT_TRUE(name == "ours" && fs::exists(dir_ / "ours/spec.yaml")) << name << " at " << at;
    }
    EXPECT_FALSE(made && !fs::exists(dir_ / "ours")) << at;
  }
}

TEST_F(Convert, NeverReplacesWhatIsThere) {
  fs::create_directories(dir_ / "ours");
  const Result<Converted> imported = import();
  ASSERT_FALSE(imported);
  EXPECT_THAT(imported.error().message, testing::HasSubstr("exists and was left as it is"));
}

TEST_F(Convert, ATokenizerThatIsNotOursIsCopiedWithAWarning) {
  std::ofstream(dir_ / "olmoe" / "tokenizer.json") << R"({"model": {"type": "Unigram"}})";
  const Result<Converted> imported = import({.verify = false});
  ASSERT_TRUE(imported);
  ASSERT_EQ(imported->notes.size(), 1U);
  EXPECT_EQ(imported->notes[0].severity, Severity::warning);
  EXPECT_THAT(imported->notes[0].message, testing::HasSubstr("TeraGPT cannot use it"));
  const Result<Converted> exported = export_to("theirs");
  ASSERT_TRUE(exported) << exported.error().message;
  EXPECT_EQ(text("theirs/tokenizer.json"), text("olmoe/tokenizer.json"));
}

TEST_F(Convert, WeightsThatGiveNoNumbersAreRefused) {
  // Finite weights, but so large that the logits are not.
  const auto file =
      checkpoint::SafetensorsFile::open(posix_vfs(), dir_ / "olmoe/model.safetensors");
  std::string bytes = text("olmoe/model.safetensors");
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  for (const checkpoint::SafetensorsEntry& entry : file->entries()) {
    if (entry.name.find("lm_head") == std::string::npos) continue;
    for (std::uint64_t at = entry.begin; at < entry.end; at += 4) {
      const float huge = 3e38F;
      std::memcpy(bytes.data() + 8 + header + at, &huge, sizeof(huge));
    }
  }
  std::ofstream(dir_ / "olmoe/model.safetensors", std::ios::binary) << bytes;
  const Result<Converted> imported = import();
  ASSERT_FALSE(imported);
  EXPECT_THAT(imported.error().message, testing::HasSubstr("logits are not finite"));
  EXPECT_EQ(names(), std::vector<std::string>{"olmoe"});
}

}  // namespace
}  // namespace tera::infer
