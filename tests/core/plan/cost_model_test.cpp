#include "core/plan/cost_model.h"

#include <gtest/gtest.h>

#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

TEST(Goodput, FollowsTheLinearLawAndStaysAShare) {
  // Interval 211 s, blocking 2 s, restart 60 s, one failure per 3.09 h: the design's 97.0 %.
  EXPECT_NEAR(goodput(211, 2, 120, 3.09 * 3600), 0.970, 0.002);
  EXPECT_EQ(goodput(100, 0, 0, 0), 1);
  EXPECT_EQ(goodput(0, 2, 60, 100), 1);
  EXPECT_GT(goodput(1e9, 2, 60, 1), 0);
}

TEST(RunCost, FiguresByHand) {
  spec::RunSpec spec = run_spec("olmoe-1b-7b");
  spec.training.num_steps = 1000;
  spec.training.checkpoint_interval = 100;
  const RunCost cost = plan_cost(spec, 2.0, 0.5);
  const double mtbf_s = 50000 * 3600.0 / 256;
  const double share = 1 - 2.0 / 202 - (100 + 600) / mtbf_s;
  EXPECT_NEAR(cost.goodput, share, 1e-12);
  EXPECT_DOUBLE_EQ(cost.tokens, 1000.0 * 1024 * 4096);
  EXPECT_NEAR(cost.run_s, 2000 / share, 1e-6);
  EXPECT_NEAR(cost.device_hours, cost.run_s / 3600 * 256, 1e-6);
  EXPECT_NEAR(cost.usd, cost.device_hours * 2.5, 1e-6);
  EXPECT_NEAR(cost.kwh, cost.device_hours * (70 + 630 * 0.5) / 1000 * 1.2, 1e-6);
  EXPECT_NEAR(cost.tco2e, cost.kwh * 475e-6, 1e-9);
}

TEST(RunCost, OneComputerHasNoFailuresAndNoPrice) {
  const RunCost cost = plan_cost(run_spec("tiny-moe"), 1.0, 1.0);
  EXPECT_EQ(cost.goodput, 1);
  EXPECT_EQ(cost.usd, 0);
  EXPECT_EQ(cost.run_s, 300);
  EXPECT_GT(cost.kwh, 0);
}

TEST(RunCost, EveryFigureHasAFormulaAndASource) {
  for (const Term& term : plan_cost(run_spec("moe-1t"), 5.0, 0.6).terms.children) {
    EXPECT_FALSE(term.formula.empty()) << term.label;
    EXPECT_FALSE(term.source.empty()) << term.label;
  }
}

}  // namespace
}  // namespace tera::plan
