// search through the built program: the table, JSON, the spec it writes, what stops it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/plan_fixture.h"
#include "tests/app/run_program.h"

namespace tera {
namespace {

using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;
using testing::HasSubstr;

class SearchCommand : public test::PlanFixture {
 protected:
  // Two nodes, a small batch.
  static std::vector<std::string> command(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"search", run_file("mixtral-8x7b"),       "--gpus", "16",
                                          "--set",  "training.global_batch_size=32"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  static json json_of(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "--json");
    const ProgramResult result = run_teragpt(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json::parse(result.out, nullptr, false);
  }
};

TEST_F(SearchCommand, TheBestIsWrittenAndPlansAsTheSearchSays) {
  const std::string best = file("best.yaml");
  const json found = json_of(command({"--top", "3", "-o", best}));
  EXPECT_EQ(found.at("schema"), "teragpt.search/1");
  EXPECT_EQ(found.at("complete"), true);
  EXPECT_EQ(found.at("devices"), 16);
  EXPECT_EQ(found.at("best").size(), 3U);
  EXPECT_GT(found.at("considered"), 10000);
  const double step_s = found.at("best")[0].at("step_s");
  EXPECT_EQ(found.at("lower_bound_s"), step_s);
  EXPECT_LE(step_s, found.at("best")[1].at("step_s"));
  EXPECT_EQ(found.at("pareto")[0].at("step_s"), step_s);
  EXPECT_GT(found.at("rejected").at("memory"), 0);
  EXPECT_EQ(found.at("ways_to_offload"), 81);
  EXPECT_GT(found.at("need_offload"), 0);
  EXPECT_GT(found.at("pareto").back().at("host_bytes"), 0);
  EXPECT_EQ(json_of({"search", best, "--top", "1"}).at("best")[0].at("layout"),
            found.at("best")[0].at("layout"));
  const json plan = json_of({"plan", best});
  EXPECT_EQ(plan.at("time").at("step_s"), step_s);
  EXPECT_EQ(plan.at("time").at("basis"), found.at("best")[0].at("basis"));
  EXPECT_EQ(plan.at("memory").at("worst_bytes"), found.at("best")[0].at("memory_bytes"));
  EXPECT_EQ(run_teragpt(command({"-o", best})).exit_code, 2) << "a file is not replaced unasked";
}

TEST_F(SearchCommand, TheTextSaysWhatAndWhy) {
  const ProgramResult found = run_teragpt(command({"--top", "9", "--compare", "9"}));
  EXPECT_EQ(found.exit_code, 0) << found.err;
  EXPECT_THAT(found.out, HasSubstr("Proven best with respect to the model"));
  EXPECT_THAT(found.out, HasSubstr("\nStep times are calibrated: "));
  EXPECT_THAT(found.out, HasSubstr("Front of time and memory"));
  EXPECT_THAT(found.out, HasSubstr("Against layout 9 ("));
  EXPECT_THAT(found.out, HasSubstr("against the best"));
  EXPECT_THAT(found.out, HasSubstr(" of 16 devices, with 81 ways to offload each\n"));
  EXPECT_THAT(found.out, HasSubstr(" of them only if something leaves the device"));
  EXPECT_THAT(found.out, HasSubstr(" between them, which --json lists\n"));
}

TEST_F(SearchCommand, OneDeviceHasEachLayoutOnce) {
  const ProgramResult found =
      run_teragpt({"search", run_file("gpt2-124m"), "--gpus", "1", "--set",
                   "training.global_batch_size=1", "--fix", "recompute=none,full"});
  EXPECT_EQ(found.exit_code, 0) << found.err;
  EXPECT_THAT(found.out, HasSubstr("2 legal layouts of 1 device"));
}

TEST_F(SearchCommand, ALayoutThatIsNotLegalDoesNotMatterButAModelDoes) {
  std::vector<std::string> arguments = command({"--top", "1", "--fix", "zero_stage=1"});
  arguments.insert(arguments.end(), {"--set", "layout.tensor_parallel_size=5"});
  EXPECT_EQ(run_teragpt(arguments).exit_code, 0);
  arguments.insert(arguments.end(), {"--set", "model.num_layers=0"});
  const ProgramResult wrong = run_teragpt(arguments);
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("num_layers"));
}

TEST_F(SearchCommand, NothingThatFitsIsANoWithTheStepThatHelps) {
  const ProgramResult none = run_teragpt(command({"--memory-limit", "1e9"}));
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_EQ(none.out, "");
  EXPECT_THAT(none.err, HasSubstr("legal layouts fits into"));
  EXPECT_THAT(none.err, HasSubstr("use --memory-limit"));
}

}  // namespace
}  // namespace tera
