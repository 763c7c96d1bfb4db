// bench: what it measures and what it refuses; speeds themselves are not tested.
#include <algorithm>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/base/vfs.h"
#include "tests/app/run_program.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"

namespace tera {
namespace {

using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;
using testing::HasSubstr;

TEST(BenchCommand, RefusesWhatDoesNotFit) {
  const ProgramResult refused = run_teragpt(
      {"bench", "train", "--model", "tiny-moe", "--precision", "fp32", "--batch", "1000000"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("--batch 1000000 and --seq 256 needs "));
  EXPECT_THAT(refused.err, HasSubstr("this machine has "));
  EXPECT_THAT(refused.err, HasSubstr("hint:  use --batch "));
}

TEST(BenchCommand, TrainTellsSpeedAndMemory) {
  const ProgramResult measured =
      run_teragpt({"bench", "train", "--model", "tiny-moe", "--precision", "fp32", "--batch", "1",
                   "--seq", "16", "--rounds", "1", "--steps", "1", "--json"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const json document = json::parse(measured.out);
  ASSERT_EQ(document.at("rows").size(), 1U);
  const json& row = document.at("rows").at(0);
  EXPECT_DOUBLE_EQ(row.at("tokens_per_s"), 16 / row.at("step_s").get<double>());
  constexpr double kParams = 12331264;  // of tiny-moe; each has a value, a gradient and two moments
  EXPECT_GT(row.at("peak_memory_bytes"), 16 * kParams);
  const double ceiling_s = row.at("ceiling_step_s");
  const double products_s = row.at("model_flops_per_s").get<double>() *
                            row.at("step_s").get<double>() /
                            row.at("peak_flops_per_s").get<double>();
  // The update reads the gradient, and reads and writes the value and two moments: 28 B.
  EXPECT_NEAR((ceiling_s - products_s) * row.at("peak_bytes_per_s").get<double>(), 28 * kParams,
              1e-3 * kParams);
  EXPECT_DOUBLE_EQ(row.at("share_of_ceiling"), ceiling_s / row.at("step_s").get<double>());
  EXPECT_TRUE(row.at("peers").empty());
}

TEST(BenchCommand, TrainTakesEveryPrecisionOfTheSpec) {
  const ProgramResult measured = run_teragpt(
      {"bench", "train", "--model", "tiny-moe", "--precision", "fp32", "bf16", "bf16_stochastic",
       "fp16", "--batch", "1", "--seq", "16", "--rounds", "1", "--steps", "1", "--json"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const json rows = json::parse(measured.out).at("rows");
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[2].at("precision"), "bf16_stochastic");
  EXPECT_EQ(rows[3].at("precision"), "fp16");
  EXPECT_EQ(rows[2].at("product_dtype"), "bf16");
  EXPECT_EQ(rows[3].at("product_dtype"), "f32") << "fp16 is widened";
}

TEST(BenchCommand, OpsPutsEachOpBesideItsCeiling) {
  const ProgramResult measured =
      run_teragpt({"bench", "ops", "--filter", "rms_norm/forward", "--seconds", "0", "--json"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const json document = json::parse(measured.out);
  EXPECT_EQ(document.at("kind"), "ops");
  ASSERT_EQ(document.at("rows").size(), 2U) << "fp32 and bf16";
  for (const json& row : document.at("rows")) {
    const double rate = row.at("bytes_per_s");
    EXPECT_GT(rate, 0);
    EXPECT_DOUBLE_EQ(row.at("peak_bytes_per_s"), document.at("peak_memory_bytes_per_s"));
    EXPECT_DOUBLE_EQ(row.at("share_of_peak"), rate / row.at("peak_bytes_per_s").get<double>());
  }
}

// Experts are told by the dense block of equal active work, measured in turn with them.
TEST(BenchCommand, OpsMeasuresBlocksInTurn) {
  const ProgramResult measured =
      run_teragpt({"bench", "ops", "--filter", "block/experts/bf16", "--seconds", "0", "--json"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const json rows = json::parse(measured.out).at("rows");
  ASSERT_EQ(rows.size(), 1U);
  const json& beside = rows[0].at("beside");
  EXPECT_EQ(beside.at("op").get<std::string>().find("block/dense/bf16/"), 0U);
  EXPECT_EQ(beside.at("pairs"), 9);
  EXPECT_GT(beside.at("speed"), 0);
}

// What is measured is what the profile says, which planning starts from (this_machine_test).
TEST(BenchCommand, DeviceWritesTheProfileThatPlansUse) {
  const test::TempDir cache;
  const test::ScopedVariable scoped("XDG_CACHE_HOME", cache.path());
  const ProgramResult measured = run_teragpt({"bench", "device", "--sweeps", "1", "--json"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const json document = json::parse(measured.out);
  const Result<std::string> profile = read_text(posix_vfs(), document.at("profile"), 4096);
  ASSERT_TRUE(profile) << profile.error().message;
  const json& row = document.at("rows").at(0);
  for (const char* name : {"matmul_efficiency", "f32_matmul_efficiency", "attention_efficiency",
                           "f32_attention_efficiency", "memory_efficiency"}) {
    const double share = row.at(name);
    EXPECT_GT(share, 0) << name;
    EXPECT_LE(share, 1) << name;
    EXPECT_THAT(*profile, HasSubstr(fmt::format("\n{}: {:.3f}\n", name, std::max(share, 0.01))));
  }
}

}  // namespace
}  // namespace tera
