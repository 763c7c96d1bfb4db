// simulate through the built program: the picture, schedules of people, traces, JSON.
#include <fstream>

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

class SimulateCommand : public test::PlanFixture {
 protected:
  // Four stages; the batch such that a step has eight micro-batches.
  static ProgramResult simulate(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"simulate", run_file("mixtral-8x7b"), "--set",
                                          "training.global_batch_size=256"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_teragpt(arguments);
  }
};

TEST_F(SimulateCommand, DrawsTheStepAndAgreesWithThePlan) {
  const ProgramResult text = simulate({});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("4 stages x 1 chunk, 8 micro-batches"));
  EXPECT_THAT(text.out, HasSubstr("\n   3 ."));  // the last stage waits at first
  EXPECT_THAT(text.out, testing::Not(HasSubstr("The first")));
  EXPECT_THAT(simulate({"--width", "10"}).out, HasSubstr("\nThe first "));
  const ProgramResult played = run_teragpt({"simulate", run_file("moe-1t"), "--json"});
  ASSERT_EQ(played.exit_code, 0) << played.err;
  const json simulated = json::parse(played.out);
  const json planned = json::parse(run_teragpt({"plan", run_file("moe-1t"), "--json"}).out);
  EXPECT_EQ(simulated.at("schema"), "teragpt.simulate/1");
  EXPECT_EQ(simulated.at("step_s"), planned.at("time").at("step_s"));
  const json& stages = planned.at("memory").at("stages");
  ASSERT_EQ(simulated.at("peak_stash_bytes").size(), stages.size());
  for (std::size_t i = 0; i < stages.size(); ++i)
    EXPECT_EQ(simulated.at("peak_stash_bytes")[i], stages[i].at("terms").at("activations"));
  EXPECT_EQ(simulated.at("peak_in_flight")[0], 32);
}

TEST_F(SimulateCommand, AScheduleComesBackFromItsTextAndMayBeAnother) {
  const ProgramResult printed = simulate({"--print-schedule"});
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  EXPECT_EQ(printed.out.substr(0, 27), "F0 F1 F2 F3 BW0 F4 BW1 F5 B");
  const std::string mine = write("mine.txt", printed.out);
  const auto result = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = more;
    arguments.push_back("--json");
    return json::parse(simulate(arguments).out);
  };
  EXPECT_EQ(result({"--schedule", mine}), result({}));
  const ProgramResult gpipe = simulate({"--set", "layout.schedule=gpipe", "--print-schedule"});
  const std::string another = write("gpipe.txt", gpipe.out);
  EXPECT_GT(result({"--schedule", another}).at("peak_stash_bytes")[3],
            result({}).at("peak_stash_bytes")[3]);
  const std::string of_spec = "layout.schedule_file=" + another;
  EXPECT_EQ(result({"--set", of_spec}), result({"--schedule", another}));
  EXPECT_EQ(simulate({"--set", of_spec, "--print-schedule"}).out, gpipe.out);
  const auto activations = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"plan", run_file("mixtral-8x7b"), "--json", "--set",
                                          "training.global_batch_size=256"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const json planned = json::parse(run_teragpt(arguments).out);
    return planned.at("memory").at("stages")[3].at("terms").at("activations");
  };
  EXPECT_EQ(activations({"--set", of_spec}), activations({"--set", "layout.schedule=gpipe"}));
}

TEST_F(SimulateCommand, ATraceHasEveryAction) {
  const std::string step = file("step.json");
  ASSERT_EQ(simulate({"--trace", step}).exit_code, 0);
  std::ifstream stream(step);
  const json trace = json::parse(stream);
  const json& events = trace.at("traceEvents");
  ASSERT_EQ(events.size(), 4U * 8 * 2);
  EXPECT_EQ(events[0].at("name"), "F0");
  EXPECT_EQ(events[0].at("ts"), 0);
  EXPECT_GT(events[0].at("dur"), 0);
}

TEST_F(SimulateCommand, TellsWhatIsWrongWithASchedule) {
  const auto refused = [&](const std::string& text) {
    const ProgramResult result = simulate({"--schedule", write("mine.txt", text)});
    EXPECT_EQ(result.exit_code, 2) << text;
    return result.err;
  };
  EXPECT_THAT(refused("F0 B0\nX1\n"), HasSubstr("mine.txt:2:1: got 'X1', expected an action"));
  EXPECT_THAT(refused("F0 F8\n"), HasSubstr("mine.txt:1:4: got 'F8', expected micro-batches 0 to"));
  EXPECT_THAT(refused("F0 BW0\n"),
              HasSubstr("got 1 line with actions, expected 4, one for each stage"));
  EXPECT_THAT(simulate({"--schedule", "nofile.txt"}).err, HasSubstr("nofile.txt"));
  EXPECT_THAT(simulate({"--schedule", "x", "--set", "training.global_batch_size=16777216"}).err,
              HasSubstr("layout.schedule_file: 524,288 micro-batches on 4 stages are more than"));
}

}  // namespace
}  // namespace tera
