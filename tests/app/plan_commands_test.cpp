// init, check and plan through the built program: text, JSON, exit codes.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/plan_fixture.h"
#include "tests/app/run_program.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using test::ProgramResult;
using test::run_teragpt;
using testing::HasSubstr;

using PlanCommands = test::PlanFixture;

std::string text_of(const std::string& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

TEST_F(PlanCommands, InitWritesASpecThatChecksAndPlans) {
  const std::string spec = file("my.yaml");
  ASSERT_EQ(run_teragpt({"init", "--preset", "tiny-moe", "-o", spec}).exit_code, 0);
  EXPECT_THAT(text_of(spec), HasSubstr("num_experts: 8"));
  EXPECT_THAT(text_of(spec), HasSubstr("# Routed experts per MoE layer"));
  const ProgramResult check = run_teragpt({"check", spec});
  EXPECT_EQ(check.exit_code, 0) << check.err;
  EXPECT_THAT(check.out, HasSubstr("planned and trained here"));
  const ProgramResult plan = run_teragpt({"plan", spec});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("activations"));
  EXPECT_THAT(plan.out, HasSubstr("tokens/s"));
}

TEST_F(PlanCommands, UsageMistakesGetOneMessageAndAHint) {
  struct Mistake {
    std::vector<std::string> arguments;
    const char* message;
    const char* hint;
  };
  const std::vector<Mistake> mistakes = {
      {{}, "error: expected a verb", "`teragpt --help`"},
      {{"pln", "x.yaml"}, "error: unknown verb 'pln'", "did you mean 'plan'?"},
      {{"--json", "nonsense"}, "error: unknown verb 'nonsense'", "`teragpt --help`"},
      {{"plan"}, "error: SPEC is required", "`teragpt plan --help`"},
      {{"plan", "a", "b"}, "error: got 'b', expected nothing more", "plan --help"}};
  for (const Mistake& mistake : mistakes) {
    const ProgramResult result = run_teragpt(mistake.arguments);
    EXPECT_EQ(result.exit_code, 2) << mistake.message;
    const bool json = !mistake.arguments.empty() && mistake.arguments.front() == "--json";
    EXPECT_EQ(result.out.empty(), !json) << "one document, of the error";
    EXPECT_THAT(result.err, HasSubstr(mistake.message));
    EXPECT_THAT(result.err, HasSubstr(mistake.hint));
  }
}

// A bandwidth so small that a step has no finite number of seconds was an internal error.
TEST_F(PlanCommands, PlanRefusesRatesThatNoMachineHas) {
  for (const char* field : {"device.memory_bytes_per_s", "intra_node.bytes_per_s"}) {
    const ProgramResult plan = run_teragpt(
        {"plan", run_file("moe-1t"), "--set", std::string("cluster.") + field + "=1e-300"});
    EXPECT_EQ(plan.exit_code, 2);
    EXPECT_THAT(plan.err, HasSubstr(field));
    EXPECT_THAT(plan.err, HasSubstr("expected at least 1"));
  }
}

TEST_F(PlanCommands, InitNeverOverwritesUnlessTold) {
  const std::string spec = write("mine.yaml", "precious\n");
  const ProgramResult refused = run_teragpt({"init", "-o", spec});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--force"));
  EXPECT_EQ(text_of(spec), "precious\n");
  EXPECT_EQ(run_teragpt({"init", "-o", spec, "--force"}).exit_code, 0);
  EXPECT_THAT(text_of(spec), HasSubstr("name: tiny-moe"));
}

TEST_F(PlanCommands, InitListsPresetsAndSuggestsNames) {
  const ProgramResult list = run_teragpt({"init", "--list", "--json"});
  ASSERT_EQ(list.exit_code, 0) << list.err;
  const auto document = ordered_json::parse(list.out);
  EXPECT_EQ(document.begin().key(), "schema");
  EXPECT_GE(document.at("presets").size(), 8U);
  const ProgramResult wrong = run_teragpt({"init", "--preset", "tiny-mo", "-o", "-"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("did you mean tiny-moe?"));
  EXPECT_THAT(run_teragpt({"init", "--preset", "moe-1t", "-o", "-"}).out,
              HasSubstr("preset: h100-ib"));
}

TEST_F(PlanCommands, CheckNamesFileLineColumnAndEveryProblem) {
  const std::string spec = write("broken.yaml",
                                 "model: {preset: tiny-moe}\n"
                                 "layout:\n"
                                 "  tensor_paralel_size: 2\n"
                                 "training:\n"
                                 "  num_steps: soon\n");
  const ProgramResult check = run_teragpt({"check", spec});
  EXPECT_EQ(check.exit_code, 2);
  EXPECT_EQ(check.err, spec +
                           ":3:3: error: layout.tensor_paralel_size: unknown key\n"
                           "  hint: did you mean tensor_parallel_size?\n" +
                           spec +
                           ":5:14: error: training.num_steps: got 'soon', expected a whole number "
                           "from 1 to 1000000000000\n"
                           "  hint: write it as 4096, 4k or 4*1024\n");
  EXPECT_THAT(check.out, HasSubstr("2 problems"));
  EXPECT_EQ(run_teragpt({"plan", spec}).exit_code, 2);

  const ProgramResult json = run_teragpt({"check", spec, "--json"});
  EXPECT_EQ(json.exit_code, 2);
  const auto document = ordered_json::parse(json.out);
  EXPECT_FALSE(document.at("valid").get<bool>());
  ASSERT_EQ(document.at("diagnostics").size(), 2U);
  const auto& first = document.at("diagnostics")[0];
  EXPECT_EQ(first.at("field"), "layout.tensor_paralel_size");
  EXPECT_EQ(first.at("line"), 3);
  EXPECT_EQ(first.at("column"), 3);
  EXPECT_EQ(first.at("severity"), "error");
}

TEST_F(PlanCommands, CheckOfMissingAndBinaryFiles) {
  const ProgramResult missing = run_teragpt({"check", file("none.yaml")});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.err, HasSubstr("none.yaml"));
  EXPECT_EQ(run_teragpt({"check", write("binary.yaml", std::string("\x7f"
                                                                   "ELF\0\0",
                                                                   6))})
                .exit_code,
            2);
  EXPECT_EQ(run_teragpt({"check"}).exit_code, 2);
}

TEST_F(PlanCommands, PlanOfATrillionParametersAsJson) {
  const ProgramResult plan = run_teragpt({"plan", run_file("moe-1t"), "--json"});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  const auto document = ordered_json::parse(plan.out);
  EXPECT_EQ(document.begin().key(), "schema");
  EXPECT_EQ(document.at("schema"), "teragpt.plan/1");
  EXPECT_GT(document.at("model").at("total_params").get<double>(), 1e12);
  const auto& memory = document.at("memory");
  EXPECT_TRUE(memory.at("fits").get<bool>());
  double worst = 0;
  for (const auto& stage : memory.at("stages")) {
    double sum = 0;
    for (const auto& [label, bytes] : stage.at("terms").items())
      sum += bytes.get<double>();
    EXPECT_NEAR(sum, stage.at("bytes").get<double>(), 1);
    worst = std::max(worst, stage.at("bytes").get<double>());
  }
  EXPECT_EQ(memory.at("worst_bytes").get<double>(), worst);
  for (const char* key :
       {"step_s", "low_s", "high_s", "tokens_per_s", "tokens_per_s_per_gpu", "mfu", "terms"}) {
    EXPECT_TRUE(document.at("time").contains(key)) << key;
  }
  const auto& cost = document.at("cost");
  for (const char* key :
       {"tokens", "days", "gpu_hours", "usd", "usd_rented", "usd_owned", "kwh", "tco2e", "goodput",
        "best_goodput", "mtbf_s", "checkpoint_interval_s", "best_checkpoint_interval_s",
        "checkpoint_bytes", "checkpoint_write_s", "data_bytes_per_s", "flops",
        "compute_optimal_tokens", "compute_optimal_tokens_with_experts"}) {
    ASSERT_TRUE(cost.contains(key)) << key;
    EXPECT_GT(cost.at(key).get<double>(), 0) << key;
  }
}

// Every number of the document under these has an origin, at the same place.
int expect_origins(const ordered_json& numbers, const ordered_json& origins) {
  int count = 0;
  for (const auto& [key, value] : numbers.items()) {
    if (key == "basis") continue;
    if (!value.is_number() && !value.is_structured()) continue;
    EXPECT_TRUE(origins.contains(key)) << key;
    if (!origins.contains(key)) continue;
    if (value.is_number()) {
      EXPECT_THAT(origins.at(key).get<std::string>(),
                  testing::AnyOf("analytic", "measured", "calibrated"))
          << key;
      ++count;
    } else {
      count += expect_origins(value, origins.at(key));
    }
  }
  return count;
}

TEST_F(PlanCommands, EveryNumberSaysWhereItIsFrom) {
  const ProgramResult plan = run_teragpt({"plan", run_file("moe-1t"), "--json"});
  const auto document = ordered_json::parse(plan.out);
  const auto& origins = document.at("origins");
  int count = 0;
  for (const char* part : {"model", "time", "cost"})
    count += expect_origins(document.at(part), origins.at(part));
  EXPECT_GT(count, 25);
  EXPECT_EQ(origins.at("model").at("total_params"), "analytic");
  EXPECT_EQ(origins.at("time").at("step_s"), "calibrated");
  EXPECT_EQ(origins.at("time").at("terms").at("compute"), "calibrated");
  EXPECT_EQ(origins.at("cost").at("tokens"), "analytic");
  EXPECT_EQ(origins.at("cost").at("days"), "calibrated");
  EXPECT_EQ(origins.at("memory").at("worst_bytes"), "analytic");
  EXPECT_EQ(origins.at("memory").at("stages").size(), document.at("memory").at("stages").size());
  EXPECT_EQ(origins.at("memory").at("stages").at(0).at("terms").at("weights"), "analytic");
  const auto& basis = document.at("time").at("basis");
  EXPECT_EQ(basis.at("origin"), "calibrated");
  EXPECT_GT(basis.at("left_out_error").get<double>(), 0);
  const ProgramResult text = run_teragpt({"plan", run_file("moe-1t")});
  EXPECT_THAT(text.out, HasSubstr("Basis     " + basis.at("text").get<std::string>() + "\n"));
  const ProgramResult term =
      run_teragpt({"plan", run_file("moe-1t"), "--explain", "compute", "--json"});
  EXPECT_EQ(ordered_json::parse(term.out).at("term").at("origin"), "calibrated");
  const ProgramResult explained = run_teragpt({"plan", run_file("moe-1t"), "--explain", "compute"});
  EXPECT_THAT(explained.out.substr(0, explained.out.find('\n')), testing::EndsWith("  calibrated"));
}

TEST_F(PlanCommands, OwnedMachinesChangeTheMoneyOnly) {
  const auto cost_of = [this](const std::string& payment) {
    const ProgramResult plan = run_teragpt(
        {"plan", run_file("moe-1t"), "--json", "--set", "cluster.operation.payment=" + payment});
    return ordered_json::parse(plan.out).at("cost");
  };
  const auto rented = cost_of("rented");
  const auto owned = cost_of("owned");
  EXPECT_EQ(rented.at("usd"), rented.at("usd_rented"));
  EXPECT_EQ(owned.at("usd"), owned.at("usd_owned"));
  EXPECT_EQ(rented.at("usd_owned"), owned.at("usd_owned"));
  EXPECT_EQ(rented.at("kwh"), owned.at("kwh"));
}

TEST_F(PlanCommands, PlanOfServing) {
  const std::string spec = run_file("mixtral-8x7b");
  const ProgramResult text = run_teragpt({"plan", spec, "--inference"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("per million tokens"));
  const ProgramResult json = run_teragpt({"plan", spec, "--inference", "--json"});
  const auto document = ordered_json::parse(json.out);
  EXPECT_EQ(document.begin().value(), "teragpt.inference/1");
  EXPECT_TRUE(document.at("memory").at("fits").get<bool>());
  EXPECT_GT(document.at("time").at("output_tokens_per_s").get<double>(), 0);
  EXPECT_GT(document.at("cost").at("usd_per_million_output_tokens").get<double>(), 0);
  const auto& origins = document.at("origins");
  int count = 0;
  for (const char* part : {"memory", "time", "cost"})
    count += expect_origins(document.at(part), origins.at(part));
  EXPECT_EQ(count, 16);
  EXPECT_EQ(origins.at("memory").at("weight_bytes"), "analytic");
  EXPECT_EQ(origins.at("time").at("token_s"), "calibrated");
  EXPECT_EQ(origins.at("cost").at("usd_per_million_tokens"), "calibrated");
  const ProgramResult term = run_teragpt({"plan", spec, "--inference", "--explain", "next token"});
  EXPECT_EQ(term.exit_code, 0);
  EXPECT_THAT(term.out, HasSubstr("experts touched: 1 - (1 - K / E)^tokens"));
  const ProgramResult small = run_teragpt(
      {"plan", spec, "--inference", "--set", "inference.tensor_parallel_size=1", "--set",
       "inference.expert_parallel_size=1", "--set", "inference.pipeline_parallel_size=1"});
  EXPECT_EQ(small.exit_code, 1);
  EXPECT_THAT(small.out, HasSubstr("DOES NOT FIT"));
  const ProgramResult wrong =
      run_teragpt({"plan", spec, "--inference", "--set", "inference.expert_parallel_size=16"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("16 does not divide model.num_experts = 8"));
}

TEST_F(PlanCommands, OverridesChangeThePlanAndWrongOnesAreErrors) {
  const std::string spec = run_file("moe-1t");
  const auto bytes = [&](const std::string& override_text) {
    const ProgramResult plan = run_teragpt({"plan", spec, "--json", "--set", override_text});
    return ordered_json::parse(plan.out).at("memory").at("worst_bytes").get<double>();
  };
  EXPECT_LT(bytes("layout.recompute=full"), bytes("layout.recompute=none"));
  const ProgramResult wrong = run_teragpt({"plan", spec, "--set", "layout.recompte=full"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("did you mean layout.recompute?"));
}

TEST_F(PlanCommands, WhatDoesNotFitExitsWithOne) {
  const ProgramResult plan =
      run_teragpt({"plan", run_file("moe-1t"), "--set", "layout.micro_batch_size=8"});
  EXPECT_EQ(plan.exit_code, 1);
  EXPECT_THAT(plan.out, HasSubstr("DOES NOT FIT"));
  EXPECT_THAT(plan.err, HasSubstr("hint: lower micro_batch_size"));
}

TEST_F(PlanCommands, EveryTermOfTheCostExplainsItself) {
  const std::string spec = run_file("moe-1t");
  for (const char* term : {"goodput", "best checkpoint interval", "usd owned", "host energy",
                           "in France", "checkpoint write", "token reading", "share of 1e25",
                           "compute-optimal tokens with experts"}) {
    const ProgramResult text = run_teragpt({"plan", spec, "--explain", term});
    EXPECT_EQ(text.exit_code, 0) << text.err;
    EXPECT_THAT(text.out, HasSubstr("    = ")) << term;
  }
}

TEST_F(PlanCommands, ExplainPrintsATermWithFormulaAndSource) {
  const std::string spec = run_file("moe-1t");
  const ProgramResult text = run_teragpt({"plan", spec, "--explain", "memory/moments"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("/ 8 (expert parallel) / 64 (ZeRO)"));
  EXPECT_THAT(text.out, HasSubstr("source: Rajbhandari"));
  const ProgramResult json = run_teragpt({"plan", spec, "--explain", "bubble", "--json"});
  EXPECT_EQ(ordered_json::parse(json.out).at("term").at("label"), "bubble");
  const ProgramResult wrong = run_teragpt({"plan", spec, "--explain", "buble"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("did you mean 'bubble'?"));
  const ProgramResult path = run_teragpt({"plan", spec, "--explain", "memory/weigths/experts"});
  EXPECT_EQ(path.exit_code, 2);
  EXPECT_THAT(path.err, HasSubstr("did you mean 'memory/weights/experts'"));
  const ProgramResult none = run_teragpt({"plan", spec, "--explain", "entropy of it all"});
  EXPECT_THAT(none.err, HasSubstr("use memory, time, cost or model, or a path such as "));
}

TEST_F(PlanCommands, ExplainSaysWhereElseALabelStands) {
  const std::string spec = run_file("moe-1t");
  const ProgramResult text = run_teragpt({"plan", spec, "--explain", "Experts"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.err, HasSubstr("this is memory/weights/experts; also called so: "));
  EXPECT_THAT(text.err, HasSubstr("model/total parameters/experts"));
  EXPECT_THAT(text.err, testing::Not(HasSubstr("stage ")));
  const ProgramResult exact = run_teragpt({"plan", spec, "--explain", "memory/weights/experts"});
  EXPECT_EQ(exact.out, text.out);
  EXPECT_THAT(exact.err, testing::Not(HasSubstr("also called so")));
  const ProgramResult stage = run_teragpt({"plan", spec, "--explain", "stage 3/weights", "--json"});
  EXPECT_EQ(ordered_json::parse(stage.out).at("path"), "stage 3/weights");
}

TEST_F(PlanCommands, ALaunchScriptBecomesASpecAndComesBack) {
  const std::string script =
      (fs::path(std::getenv("TERA_SOURCE_DIR")) / "tests/golden/interchange/mixtral-8x7b.sh")
          .string();
  const std::string spec = file("mixtral.yaml");
  const ProgramResult imported =
      run_teragpt({"import", script, "--cluster", "h100-ib", "-o", spec});
  ASSERT_EQ(imported.exit_code, 0) << imported.err;
  EXPECT_THAT(imported.err, HasSubstr("left out: --moe-grouped-gemm: one set of kernels"));
  EXPECT_THAT(text_of(spec), HasSubstr("num_experts: 8"));
  const ProgramResult plan = run_teragpt({"plan", spec, "--json"});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  const std::string written = file("pretrain.sh");
  const ProgramResult exported =
      run_teragpt({"export-config", spec, "--to", "megatron", "-o", written});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_THAT(exported.err, testing::Not(HasSubstr("left out")));
  EXPECT_THAT(text_of(written), HasSubstr("torchrun --nnodes 4 --nproc-per-node 8"));
  const std::string again = file("again.yaml");
  ASSERT_EQ(run_teragpt({"import", written, "--cluster", "h100-ib", "-o", again}).exit_code, 0);
  EXPECT_EQ(run_teragpt({"plan", again, "--json"}).out, plan.out);
  const ProgramResult kept = run_teragpt({"import", written, "-o", again});
  EXPECT_EQ(kept.exit_code, 2);
  EXPECT_THAT(kept.err, HasSubstr("--force"));
}

TEST_F(PlanCommands, ImportAndExportAsJson) {
  const std::string config = write("ds.json",
                                   R"({"train_batch_size": 32, "train_micro_batch_size_per_gpu": 4,
                                       "gradient_accumulation_steps": 2, "bf16": {"enabled": true},
                                       "zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu", "ratio": 0.5}}})");
  const ProgramResult imported = run_teragpt(
      {"import", config, "--onto", run_file("gpt2-124m"), "--cluster", "h100-ib", "--json"});
  ASSERT_EQ(imported.exit_code, 0) << imported.err;
  const auto spec = ordered_json::parse(imported.out);
  EXPECT_EQ(spec.begin().value(), "teragpt.import/1");
  EXPECT_EQ(spec.at("format"), "deepspeed");
  EXPECT_EQ(spec.at("spec").at("layout").at("zero_stage"), 2);
  EXPECT_EQ(spec.at("spec").at("layout").at("data_parallel_size"), 4);
  EXPECT_EQ(spec.at("spec").at("model").at("hidden_size"), 768);
  EXPECT_EQ(spec.at("spec").at("software").at("framework"), "deepspeed");
  EXPECT_EQ(spec.at("spec").at("layout").at("offload").at("optimizer"), "host");
  ASSERT_EQ(spec.at("left_out").size(), 1U);
  EXPECT_EQ(spec.at("left_out")[0].at("name"), "zero_optimization.offload_optimizer.ratio");
  EXPECT_EQ(spec.at("left_out")[0].at("value"), "0.5");
  const ProgramResult exported =
      run_teragpt({"export-config", run_file("gpt2-124m"), "--to", "torchtitan", "--json"});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  const auto files = ordered_json::parse(exported.out);
  EXPECT_THAT(files.at("files").at("train.toml").get<std::string>(), HasSubstr("[training]"));
  EXPECT_EQ(files.at("left_out")[0].at("name"), "model");
}

TEST_F(PlanCommands, ImportSaysContradictionsWithTheirLine) {
  const std::string script = write("run.sh",
                                   "--num-layers 4 --hidden-size 256 --num-attention-heads 6\n"
                                   "--seq-length 64 --max-position-embeddings 32 --vocab-size 512\n"
                                   "--micro-batch-size 1 --bf16 \\\n  --fp16\n");
  const ProgramResult result = run_teragpt({"import", script, "--gpus", "1"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr(script + ":4:3: error: --fp16: contradicts --bf16"));
  EXPECT_THAT(result.err, HasSubstr(script + ":1:16: error: --hidden-size: 256 is not a multiple"));
}

TEST_F(PlanCommands, HelpHasExamples) {
  for (const char* verb :
       {"init", "check", "plan", "simulate", "guide", "import", "export-config"}) {
    const ProgramResult help = run_teragpt({verb, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_THAT(help.out, HasSubstr(std::string("teragpt ") + verb));
  }
}

TEST_F(PlanCommands, ValidateHoldsThePlannerAgainstMeasurements) {
  const std::string table =
      (fs::path(std::getenv("TERA_SOURCE_DIR")) / "resources/validation/published.csv").string();
  const ProgramResult text = run_teragpt({"validate", table, "--worst", "3"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("Rows furthest off"));
  EXPECT_THAT(text.out, HasSubstr("not modelled: state-space layers"));
  EXPECT_THAT(text.out, HasSubstr("dense, determined: mean error, %"));
  const ProgramResult json = run_teragpt({"validate", table, "--json"});
  EXPECT_EQ(json.exit_code, 0) << json.err;
  const ordered_json document = ordered_json::parse(json.out);
  EXPECT_EQ(document.begin().key(), "schema");
  EXPECT_EQ(document["rows"].size(), 1034U);
  int determined = 0;
  int compared = 0;
  for (const ordered_json& row : document["rows"]) {
    determined += row["status"] == "determined" ? 1 : 0;
    if (row["error"].is_null()) {
      EXPECT_NE(row["reason"], "") << row["id"];
      continue;
    }
    ++compared;
    const double step_s = row["step_s"];
    EXPECT_NEAR(row["error"], step_s / row["measured_step_s"].get<double>() - 1, 1e-9);
    EXPECT_LE(row["low_s"], step_s) << row["id"];
    EXPECT_GE(row["high_s"], step_s) << row["id"];
  }
  EXPECT_GT(determined, 100);
  EXPECT_EQ(document["summary"]["BLOOM"]["rows"], 101);
  const ordered_json& all = document["classes"]["all"];
  EXPECT_EQ(all["time"]["rows"], compared);
  EXPECT_EQ(all["status"]["determined"], determined);
  // What is asked of the planner stands beside what it does.
  EXPECT_LT(document["classes"]["dense, determined"]["time"]["mean_absolute_error"], 0.1);
  bool is_met = false;
  for (const ordered_json& target : document["targets"])
    is_met = is_met || (target["name"] == "dense, determined: mean error, %" && target["met"]);
  EXPECT_TRUE(is_met);
}

}  // namespace
}  // namespace tera
