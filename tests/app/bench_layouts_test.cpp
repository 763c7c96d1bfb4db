// bench layouts: its rows beside one rank, and what it refuses.
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/run_program.h"

namespace tera {
namespace {

using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;
using testing::HasSubstr;

TEST(BenchLayouts, PutsEachLayoutBesideOneRankWithWhatItSays) {
  const ProgramResult measured =
      run_teragpt({"bench", "layouts", "--layouts", "dp2-zero1", "tp2", "pp2", "ep2", "cp2-ulysses",
                   "--batch", "4", "--seq", "16", "--steps", "1", "--rounds", "1", "--json"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const json report = json::parse(measured.out);
  EXPECT_EQ(report.at("kind"), "layouts");
  const json& rows = report.at("rows");
  ASSERT_EQ(rows.size(), 6U);
  EXPECT_EQ(rows[0].at("layout"), "one rank");
  EXPECT_TRUE(rows[0].at("axes").empty());
  const std::string axis_of[] = {"", "replica", "tensor", "pipeline", "expert", "context"};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const json& row = rows[i];
    EXPECT_DOUBLE_EQ(row.at("tokens_per_s"), 4 * 16 / row.at("step_s").get<double>());
    EXPECT_DOUBLE_EQ(row.at("speed"),
                     rows[0].at("step_s").get<double>() / row.at("step_s").get<double>());
    if (i == 0) continue;
    EXPECT_EQ(row.at("ranks"), 2);
    std::set<std::string> axes;
    for (const json& axis : row.at("axes")) {
      axes.insert(axis.at("axis").get<std::string>());
      EXPECT_GT(axis.at("calls"), 0) << row;
      EXPECT_GT(axis.at("seconds"), 0) << row;
    }
    EXPECT_TRUE(axes.contains(axis_of[i])) << row;
  }
}

TEST(BenchLayouts, RefusesWrongArguments) {
  const auto error_of = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"bench", "layouts"});
    const ProgramResult refused = run_teragpt(arguments);
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_EQ(refused.out, "");
    return refused.err;
  };
  EXPECT_THAT(error_of({"--layouts", "dp2", "xp2"}),
              HasSubstr("layout xp2: got 'xp2', expected tp, cp, pp, dp, ep, etp or zero"));
  EXPECT_THAT(error_of({"--layouts", "dp2-"}), HasSubstr("layout dp2-: got 'dp2-', expected"));
  EXPECT_THAT(error_of({"--layouts", "dp2-zero7"}), HasSubstr("layout dp2-zero7: "));
  EXPECT_THAT(error_of({"--layouts", "dp3", "--batch", "8"}), HasSubstr("layout dp3: "));
  EXPECT_THAT(error_of({"--model", "none"}), HasSubstr("none"));
  EXPECT_THAT(error_of({"--precision", "fp4"}), HasSubstr("--precision: got fp4, expected"));
  EXPECT_THAT(error_of({"--steps", "0"}), HasSubstr("--steps: got '0', expected"));
}

}  // namespace
}  // namespace tera
