// bench layouts: its rows beside one rank, what it refuses, and how it ends when it is told to.
#include <chrono>
#include <csignal>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/rank_processes.h"
#include "tests/app/run_program.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"

namespace tera {
namespace {

using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;
using test::RunningTeragpt;
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
              HasSubstr("layout xp2: got 'xp2', expected tp, cp, pp, dp, ep, etp or copies with "));
  EXPECT_THAT(error_of({"--layouts", "dp2-"}), HasSubstr("layout dp2-: got 'dp2-', expected"));
  EXPECT_THAT(error_of({"--layouts", "dp2-zero7"}), HasSubstr("layout dp2-zero7: "));
  for (const char* word : {"tp0", "cp0", "dp0", "ep-1", "dp1025", "zero-1", "copies0"}) {
    EXPECT_THAT(error_of({"--layouts", word}),
                HasSubstr("layout " + std::string(word) + ": got '" + word + "', expected tp, "));
  }
  EXPECT_THAT(error_of({"--layouts", "tp2-dp2-tp4"}),
              HasSubstr("layout tp2-dp2-tp4: got 'tp4' after another tp, expected each once"));
  EXPECT_THAT(error_of({"--layouts", "pp2-gpipe-zb-v"}),
              HasSubstr("'zb-v' after another schedule"));
  EXPECT_THAT(error_of({"--layouts", "dp3", "--batch", "8"}), HasSubstr("layout dp3: "));
  EXPECT_THAT(error_of({"--model", "none"}), HasSubstr("none"));
  EXPECT_THAT(error_of({"--precision", "fp4"}), HasSubstr("--precision: got fp4, expected"));
  EXPECT_THAT(error_of({"--steps", "0"}), HasSubstr("--steps: got '0', expected"));
}

// They would be measured as what they are beside.
TEST(BenchLayouts, RefusesWordsWithoutEffect) {
  for (const auto& [layout, message] :
       {std::pair{"dp2-ulysses",
                  "ulysses with one context rank, expected cp2 or more beside it: "
                  "cp2-ulysses"},
        std::pair{"tp2-gpipe",
                  "gpipe with one pipeline stage, expected pp2 or more beside it: "
                  "pp2-gpipe"},
        std::pair{"zero3-tp2", "zero3 with one replica, expected dp2 or more beside it: dp2-zero3"},
        std::pair{"dp1-zero1", "zero1 with one replica, expected"},
        std::pair{"dp2-all-gather",
                  "all-gather with one rank of experts, expected ep2 or more "
                  "beside it: ep2-all-gather"},
        std::pair{"dp4-copies2",
                  "copies2 of nothing that is shared out, expected zero1, 2 or 3 "
                  "beside it: dp4-zero1-copies2"},
        std::pair{"dp2-zero3-copies2",
                  "copies2 of one rank each, expected more replicas: dp4-zero3-copies2"}}) {
    const ProgramResult refused = run_teragpt({"bench", "layouts", "--layouts", layout});
    EXPECT_EQ(refused.exit_code, 2) << layout;
    EXPECT_THAT(refused.err,
                HasSubstr("error: layout " + std::string(layout) + ": got " + message));
  }
  // With experts a copy is of their two replicas.
  const ProgramResult dense = run_teragpt(
      {"bench", "layouts", "--model", "gpt2-124m", "--layouts", "tp2-dp2-zero1-copies2"});
  EXPECT_EQ(dense.exit_code, 2);
  EXPECT_THAT(dense.err, HasSubstr("got copies2 of one rank each, expected more replicas"));
}

// Before anything is allocated.
TEST(BenchLayouts, RefusesWhatThisMachineHasNoMemoryFor) {
  const ProgramResult refused = run_teragpt({"bench", "layouts", "--model", "deepseek-v3",
                                             "--layouts", "dp2", "--batch", "2", "--seq", "16"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("error: deepseek-v3 as one rank and as dp2 needs "));
  EXPECT_THAT(refused.err, HasSubstr(" are free"));
  EXPECT_THAT(refused.err, HasSubstr("--model"));
}

// Endless rounds of layouts, in processes that are known by their cache folder.
class InterruptedLayouts : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directory(folder("tmp")); }
  std::string folder(const std::string& name) const { return dir_.path() / name; }

  // Until `count` processes of a job are there, mpirun among them.
  void wait_for_processes(std::size_t count) const {
    for (int i = 0; i < 6000 && processes_.all().size() < count; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_GE(processes_.all().size(), count);
  }
  static std::vector<std::string> endless() {
    return {"bench", "layouts", "--layouts", "dp2",      "tp2",     "--batch",   "2", "--seq",
            "16",    "--steps", "1",         "--rounds", "1000000", "--threads", "2", "--json"};
  }

  const test::TempDir dir_;
  const test::ScopedVariable cache_{"XDG_CACHE_HOME", folder("cache")};
  const test::ScopedVariable tmp_{"TMPDIR", folder("tmp")};
  const test::RankProcesses processes_{folder("cache")};
};

TEST_F(InterruptedLayouts, CtrlCEndsTheRanksToo) {
  for (const std::size_t processes : {1, 3}) {
    SCOPED_TRACE(processes);
    RunningTeragpt program(endless(), RunningTeragpt::Output::pipe);
    wait_for_processes(processes);
    program.send(SIGINT);
    const json told = json::parse(program.read_line().value_or(""), nullptr, false);
    ASSERT_TRUE(told.is_object());
    EXPECT_EQ(told.at("schema"), "teragpt.error/1");
    EXPECT_EQ(told.at("diagnostics").at(0).at("message"), "bench layouts was stopped");
    EXPECT_EQ(program.wait(), 1);
    processes_.expect_none_left();
    EXPECT_TRUE(std::filesystem::is_empty(folder("tmp"))) << "files of mpirun";
  }
}

// By a second Ctrl-C, and without any word.
TEST_F(InterruptedLayouts, NoRankOutlivesIt) {
  for (const int number : {SIGINT, SIGKILL}) {
    SCOPED_TRACE(number);
    RunningTeragpt program(endless(), RunningTeragpt::Output::pipe);
    wait_for_processes(3);
    program.send(number);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (number == SIGINT) program.send(number);
    EXPECT_EQ(program.wait(), 128 + number);
    processes_.expect_none_left();
  }
}

}  // namespace
}  // namespace tera
