// The whole job through the command line: text to tokens, plan, training, checkpoint, sample.
#include <cmath>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/run_program.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"

namespace tera {
namespace {

namespace fs = std::filesystem;

class Demo : public testing::Test {
 protected:
  const test::TempDir dir_;
  const fs::path root_ = dir_.path();
  const test::ScopedVariable data_{"XDG_DATA_HOME", root_ / "data"};
  const test::ScopedVariable cache_{"XDG_CACHE_HOME", root_ / "cache"};
};

TEST_F(Demo, TrainsOnRealTextFromNothing) {
  // A small model keeps the test short; the text, tokenizer and files are the real ones.
  const test::ProgramResult result =
      test::run_teragpt({"demo", "--json", "--steps", "16", "--set", "model.num_layers=2", "--set",
                         "model.hidden_size=128", "--set", "model.num_attention_heads=2", "--set",
                         "model.num_key_value_heads=1", "--set", "training.seq_length=128", "--set",
                         "training.eval_sequences=8", "--set", "training.checkpoint_interval=0"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report.begin().key(), "active_params");  // parsed without order; the schema is there
  EXPECT_EQ(report.at("schema"), "teragpt.demo/1");
  const double uniform = std::log(4096.0);
  EXPECT_NEAR(report.at("uniform_loss").get<double>(), uniform, 1e-12);
  EXPECT_NEAR(report.at("first_loss").get<double>(), uniform, 0.3);
  EXPECT_LT(report.at("last_loss").get<double>(), uniform - 0.5);
  ASSERT_FALSE(report.at("held_out").empty());
  EXPECT_LT(report.at("held_out").back().at("loss").get<double>(), uniform - 0.5);
  EXPECT_FALSE(report.at("sample").get<std::string>().empty());
  EXPECT_TRUE(fs::exists(fs::path(report.at("run").get<std::string>()) / "ckpt" / "step-000000016" /
                         "COMMIT"));

  const test::ProgramResult again = test::run_teragpt({"demo", "--prepare-only", "--json"});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(fs::exists(nlohmann::json::parse(again.out).at("spec").get<std::string>()));
  EXPECT_EQ(again.err.find("tokenizing"), std::string::npos) << "prepared data is kept";
}

}  // namespace
}  // namespace tera
