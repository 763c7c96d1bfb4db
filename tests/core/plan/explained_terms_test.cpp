#include "core/plan/explained_terms.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "core/plan/inference_estimate.h"
#include "core/spec/yaml.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

bool has_digit(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

// By the rule of term.h: what is wrong with a term, if anything.
std::string fault_of(const Term& term) {
  if (term.label.empty() || term.label.find('/') != std::string::npos) return "label";
  if (!std::isfinite(term.value) || term.value < 0) return "value";
  if (term.unit.empty()) return "unit";
  if (term.formula.empty()) return "formula";
  std::string labels;
  double sum = 0;
  for (const Term& child : term.children) {
    labels += (labels.empty() ? "" : " + ") + child.label;
    sum += child.value;
  }
  if (!labels.empty() && term.formula == labels)
    return std::abs(sum - term.value) <= 1e-9 * term.value ? "" : "sum";
  if (term.value == 0) return "";
  if (term.source.empty()) return "source";
  return term.children.empty() && !has_digit(term.formula) ? "inputs" : "";
}

// Every term below the root, each found by its path alone.
int check_terms(const std::string& spec, const Term& root) {
  const std::vector<std::string> paths = term_paths(root);
  EXPECT_EQ(std::set<std::string>(paths.begin(), paths.end()).size(), paths.size()) << spec;
  for (const std::string& path : paths) {
    const Term* term = find_term(root, path);
    EXPECT_NE(term, nullptr) << spec << ": " << path;
    if (term == nullptr) continue;
    EXPECT_EQ(fault_of(*term), "")
        << spec << ": " << path << " = " << term->formula << "; source: " << term->source;
  }
  return static_cast<int>(paths.size());
}

void check_spec(const std::string& name, const spec::RunSpec& spec) {
  const Result<Estimate> e = estimate(spec);
  ASSERT_TRUE(e) << name << ": " << e.error().message;
  EXPECT_GT(check_terms(name, explained_terms(spec, *e)), 60) << name;
  const Result<InferenceEstimate> serving = plan_inference(spec);
  if (!serving) return;  // some clusters serve no such model
  EXPECT_GT(check_terms(name + ", served", serving->terms), 3) << name;
}

TEST(ExplainedTerms, EveryTermOfEveryPresetHasFormulaInputsAndSource) {
  const auto names = spec::run_preset_names();
  ASSERT_TRUE(names);
  for (const std::string& name : *names)
    check_spec(name, run_spec(name));
}

// Terms that only some software, precision or layout has.
TEST(ExplainedTerms, EveryTermOfOtherSoftwareAndLayoutsToo) {
  for (const char* framework : {"teragpt", "megatron_lm", "deepspeed", "torchtitan"}) {
    for (const auto& [precision, optimizer] : {std::pair{"bf16", "muon"},
                                               {"fp8_block", "adamw"},
                                               {"fp16", "lion"},
                                               {"fp32", "adafactor"},
                                               {"bf16_stochastic", "adamw"}}) {
      for (const int zero_stage : {1, 3}) {
        spec::RunSpec spec = run_spec("moe-1t");
        ASSERT_TRUE(spec::set_field(spec, "software.framework", framework));
        ASSERT_TRUE(spec::set_field(spec, "training.precision", precision));
        ASSERT_TRUE(spec::set_field(spec, "training.optimizer", optimizer));
        spec.layout.zero_stage = zero_stage;
        spec.layout.recompute = spec::RecomputeKind::full;
        const std::string name = std::string(framework) + " " + precision + " " + optimizer;
        if (estimate(spec)) check_spec(name, spec);  // refused: nothing to explain
      }
    }
  }
}

TEST(ExplainedTerms, EveryTermOfOffloadAdaptersAndOwnedMachines) {
  spec::RunSpec offloaded = run_spec("deepseek-v3");
  for (const auto& [field, value] : {std::pair{"layout.offload.weights", "nvme"},
                                     {"layout.offload.gradients", "nvme"},
                                     {"layout.offload.optimizer", "nvme"},
                                     {"layout.offload.activations", "host"},
                                     {"cluster.operation.payment", "owned"},
                                     {"cluster.operation.device_hours_per_failure", "0"}})
    ASSERT_TRUE(spec::set_field(offloaded, field, value)) << field;
  check_spec("offloaded", offloaded);
  spec::RunSpec adapted = run_spec("mixtral-8x7b");
  adapted.training.init_from = "base";
  adapted.lora.rank = 16;
  adapted.lora.target_modules = {"attention.q", "attention.v"};
  check_spec("adapted", adapted);
  spec::RunSpec alone = run_spec("gpt2-124m");
  ASSERT_TRUE(spec::set_field(alone, "cluster.preset", "this-machine"));
  alone.layout = {};
  check_spec("one processor", alone);
}

TEST(ExplainedTerms, TheRuleFindsWhatIsMissing) {
  const auto leaf = [](const char* formula, const char* source) {
    return fault_of(leaf_term("weights", 2, "B", formula, source));
  };
  EXPECT_EQ(leaf("2 B x 1 parameter", "Rajbhandari et al. 2020"), "");
  EXPECT_EQ(leaf("", "Rajbhandari et al. 2020"), "formula");
  EXPECT_EQ(leaf("bytes of the weights", "Rajbhandari et al. 2020"), "inputs");
  EXPECT_EQ(leaf("2 B x 1 parameter", ""), "source");
  EXPECT_EQ(fault_of(leaf_term("a/b", 0, "B", "none", "")), "label");
  Term sum = sum_term("all", "B", {leaf_term("weights", 2, "B", "2 B", "x")});
  EXPECT_EQ(fault_of(sum), "");
  sum.value = 3;
  EXPECT_EQ(fault_of(sum), "sum");
}

TEST(ExplainedTerms, ParametersOfAModelAddUp) {
  const spec::RunSpec spec = run_spec("deepseek-v3");
  const Result<Estimate> e = estimate(spec);
  ASSERT_TRUE(e);
  const Term terms = explained_terms(spec, *e);
  EXPECT_EQ(find_term(terms, "model/total parameters")->value,
            static_cast<double>(e->params.total));
  EXPECT_EQ(find_term(terms, "model/total parameters/experts")->formula,
            "59 layers x 256 experts x 3 matrices of 7168 x 2048");
  EXPECT_EQ(find_term(terms, "memory")->value, e->worst_bytes);
}

}  // namespace
}  // namespace tera::plan
