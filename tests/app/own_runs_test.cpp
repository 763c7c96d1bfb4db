// Step times of own runs, from training to the plans they refine.
#include "core/spec/own_runs.h"

#include <cmath>

#include <gmock/gmock.h>

#include "core/base/vfs.h"
#include "core/spec/this_machine.h"
#include "tests/app/toy_run.h"

namespace tera {
namespace {

using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;
using testing::HasSubstr;

class OwnRuns : public test::ToyRun {
 protected:
  void SetUp() override {
    ToyRun::SetUp();
    // As `teragpt bench device` would: what the system says of clocks may change while it runs.
    std::filesystem::create_directories(root_ / "cache/teragpt");
    std::ofstream(root_ / "cache/teragpt/device.yaml")
        << "measured_on: 2026-01-01\nprocessor: \"" << spec::this_processor().name
        << "\"\npeak_flops_per_s_f32: 50e9\npeak_flops_per_s_bf16: 80e9\n"
           "memory_bytes_per_s: 10e9\nmatmul_efficiency: 0.8\nattention_efficiency: 0.4\n"
           "memory_efficiency: 0.8\nop_overhead_s: 5e-6\n";
    // `preset: this-machine` and no figures, as people write it.
    spec::RunSpec spec = spec::load_run_spec(spec_file()).spec;
    ASSERT_TRUE(spec::set_field(spec, "cluster.preset", "this-machine"));
    spec.launch.num_threads = 0;
    std::ofstream(spec_) << spec::to_template_yaml(spec);
  }
  const std::string spec_ = (root_ / "mine.yaml").string();
  std::filesystem::path file() const { return root_ / "cache/teragpt/own_runs.jsonl"; }
  json planned(const std::string& layers = "1") const {
    return json_of({"plan", spec_, "--set", "model.num_layers=" + layers}).at("time");
  }
  void train(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"train", spec_, "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = run_teragpt(arguments);
    EXPECT_THAT(result.exit_code, testing::AnyOf(0, 75)) << result.err;
    EXPECT_THAT(result.err, testing::Not(HasSubstr("do not learn")));
  }
  // Runs as noted, with the step times of a machine that takes `ratio` times as long as planned.
  void measure(const std::vector<std::pair<double, double>>& plans_and_ratios) const {
    std::vector<spec::OwnRun> runs =
        spec::parse_own_runs(read_text(posix_vfs(), file(), 1 << 20).value()).runs;
    runs.resize(plans_and_ratios.size(), runs.front());
    for (std::size_t i = 0; i < runs.size(); ++i) {
      runs[i].planned_s = plans_and_ratios[i].first;
      runs[i].step_s = plans_and_ratios[i].first * plans_and_ratios[i].second;
      runs[i].spread = 0;
    }
    ASSERT_TRUE(write_file_atomic(posix_vfs(), file(), spec::own_runs_text(runs)));
  }
};

TEST_F(OwnRuns, RefineThePlansOfThisMachine) {
  EXPECT_TRUE(json_of({"bench", "runs"}).at("rows").empty());
  const json before = planned();
  EXPECT_EQ(before.at("basis").at("origin"), "measured") << "the profile";
  const double one = before.at("step_s");
  const double two = planned("2").at("step_s");

  train({"--steps", "12"});
  EXPECT_TRUE(json_of({"bench", "runs"}).at("rows").empty()) << "too few steps";
  train({"--set", "layout.micro_batch_size=2", "--set", "training.rampup_batch_size=2", "--set",
         "training.rampup_increment=2", "--set", "training.rampup_tokens=256"});
  EXPECT_TRUE(json_of({"bench", "runs"}).at("rows").empty()) << "its steps differ";
  train({});
  measure({{one, 2}});
  train({});
  const json noted = json_of({"bench", "runs"});
  ASSERT_EQ(noted.at("rows").size(), 2U);
  const json& row = noted.at("rows").at(1);
  EXPECT_EQ(row.at("planned_step_s"), one) << "as if no run had refined it";
  EXPECT_EQ(row.at("steps"), 17) << "without the first three";
  EXPECT_GT(row.at("step_s"), 0);
  EXPECT_EQ(row.at("name"), "toy");

  measure({{one, 1.5}, {one, 1.5}});
  const json once = planned();
  EXPECT_NEAR(once.at("step_s").get<double>() / one, 1.5, 1e-9);
  EXPECT_TRUE(once.at("basis").at("left_out_error").is_null()) << "of one spec";
  measure({{one, 1.5}, {two, 1.2}});
  const json twice = planned();
  EXPECT_NEAR(twice.at("step_s").get<double>() / one, 1.2, 1e-9) << "the longer step";
  const double short_weight = std::sqrt(one) / (std::sqrt(one) + std::sqrt(two));
  EXPECT_NEAR(twice.at("basis").at("left_out_error").get<double>(),
              short_weight * (1 - 1.2 / 1.5) + (1 - short_weight) * (1.5 / 1.2 - 1), 1e-9);
  const ProgramResult text = run_teragpt({"plan", spec_});
  EXPECT_THAT(text.out, HasSubstr("Basis     measured: 2 own runs of 2 specs, whose steps took "
                                  "1.2 times as long as planned; error on specs left out 2"));
  EXPECT_THAT(text.err, testing::Not(HasSubstr("cluster.preset")));
  EXPECT_THAT(run_teragpt({"bench", "runs"}).out, HasSubstr("2 own runs of 2 specs"));

  EXPECT_TRUE(json_of({"bench", "runs", "--clear"}).at("rows").empty());
  EXPECT_EQ(planned().at("step_s"), one);
}

TEST_F(OwnRuns, AFileThatIsDamagedIsOneNote) {
  const double step_s = planned().at("step_s");
  for (const std::string& text :
       {std::string("{\"run\":\"2026"), std::string("\x04\xff\n{}\n"), std::string(2 << 20, 'x')}) {
    std::ofstream(file()) << text;
    const ProgramResult plan = run_teragpt({"plan", spec_, "--json"});
    EXPECT_EQ(plan.exit_code, 0);
    EXPECT_EQ(json::parse(plan.out).at("time").at("step_s"), step_s);
    const std::size_t note = plan.err.find("note: cluster.preset: ");
    ASSERT_NE(note, std::string::npos) << plan.err;
    EXPECT_THAT(plan.err, HasSubstr("`teragpt bench runs` shows them"));
    EXPECT_EQ(plan.err.find("cluster.preset", note + 20), std::string::npos) << plan.err;
  }
  EXPECT_TRUE(json_of({"bench", "runs", "--clear"}).at("rows").empty());
  EXPECT_THAT(run_teragpt({"plan", spec_}).err, testing::Not(HasSubstr("cluster.preset")));
}

}  // namespace
}  // namespace tera
