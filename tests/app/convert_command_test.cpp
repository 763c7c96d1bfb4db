// teragpt convert as its users meet it: a model of transformers becomes one that generate accepts,
// and goes back; bad input is named and nothing is left behind.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/run_program.h"

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
    root_ = fs::path(testing::TempDir()) /
            ("tera-convert-" + std::to_string(getpid()) + "-" +
             testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
    setenv("TERA_RUNS", (root_ / "runs").c_str(), 1);
    fs::copy(fs::path(std::getenv("TERA_SOURCE_DIR")) / "tests/golden/hugging_face/mixtral",
             root_ / "mixtral");
    fs::remove(root_ / "mixtral/gradients.safetensors");
  }
  void TearDown() override {
    unsetenv("TERA_RUNS");
    fs::remove_all(root_);
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
  fs::path root_;
};

TEST_F(ConvertCommand, ImportsAndExports) {
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

  const ProgramResult exported =
      run_teragpt({"convert", path("ours"), "--to", "hugging-face", "-o", path("theirs")});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_THAT(exported.out, HasSubstr("mixtral, 6.10 k parameters"));
  EXPECT_THAT(exported.out, HasSubstr("verified: the logits of 8 prompts differ by at most 0"));
  EXPECT_TRUE(fs::exists(root_ / "theirs/model.safetensors"));
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
              HasSubstr("expected one of --from hugging-face and --to"));
  EXPECT_THAT(error({"convert", path("mixtral"), "--from", "pickle", "-o", path("x")}),
              HasSubstr("hugging-face"));
  EXPECT_THAT(error({"convert", path("nowhere"), "--to", "hugging-face", "-o", path("x")}),
              HasSubstr("nowhere"));
  EXPECT_THAT(error({"convert", path("mixtral"), "--from", "hugging-face", "-o", path("mixtral")}),
              HasSubstr("exists and was left as it is"));
}

}  // namespace
}  // namespace tera
