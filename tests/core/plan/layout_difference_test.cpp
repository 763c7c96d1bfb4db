#include "core/plan/layout_difference.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

double sum_of(const std::vector<TermDifference>& terms) {
  return std::accumulate(terms.begin(), terms.end(), 0.0,
                         [](double sum, const TermDifference& t) { return sum + t.change(); });
}

TEST(LayoutDifference, AddsUpToTheDifferenceOfTheWholes) {
  spec::RunSpec spec = run_spec("moe-1t");
  const auto before = estimate(spec);
  spec.layout.recompute = spec::RecomputeKind::full;
  spec.layout.expert_parallel_size = 32;
  spec.layout.schedule = spec::ScheduleKind::zb_h1;
  const auto after = estimate(spec);
  ASSERT_TRUE(before && after);
  const LayoutDifference found = layout_difference(*before, *after);
  EXPECT_NEAR(sum_of(found.time), after->step_s - before->step_s, 1e-9 * after->step_s);
  EXPECT_NEAR(sum_of(found.memory), after->worst_bytes - before->worst_bytes,
              1e-9 * after->worst_bytes);
  ASSERT_GT(found.time.size(), 3U);
  for (std::size_t i = 1; i < found.time.size(); ++i)
    EXPECT_GE(std::abs(found.time[i - 1].change()), std::abs(found.time[i].change()));
  const auto recomputation =
      std::find_if(found.time.begin(), found.time.end(),
                   [](const TermDifference& t) { return t.path == "compute/recomputation"; });
  ASSERT_NE(recomputation, found.time.end());
  EXPECT_EQ(recomputation->before, 0) << "only one of the trees has it";
  EXPECT_GT(recomputation->after, 0);
}

// Two nodes of 8 devices; stages of 2 x 2 ranks in turns, or one per half of them.
TEST(LayoutDifference, OfOrdersOfRanksIsInMessagesAlone) {
  spec::RunSpec spec = run_spec("mixtral-8x7b");
  spec.cluster.num_nodes = 2;
  spec.layout = {.tensor_parallel_size = 2,
                 .data_parallel_size = 2,
                 .pipeline_parallel_size = 4,
                 .sequence_parallel = true,
                 .offload = {}};
  const auto before = estimate(spec);
  spec.layout.rank_order = spec::RankOrder::tp_cp_ep_pp_dp;
  const auto after = estimate(spec);
  ASSERT_TRUE(before && after);
  const LayoutDifference found = layout_difference(*before, *after);
  EXPECT_TRUE(found.memory.empty());
  const auto change = [&found](const char* path) {
    for (const TermDifference& term : found.time) {
      if (term.path == path) return term.change();
    }
    return 0.0;
  };
  EXPECT_LT(change("communication/pipeline"), 0) << "stages are in one node";
  EXPECT_GT(change("communication/data parallel"), 0) << "and replicas in two";
  const double others = sum_of(found.time) - change("communication/pipeline") -
                        change("communication/data parallel") - change("stragglers");
  EXPECT_NEAR(others, 0, 1e-12 * after->step_s);
  const std::string text = find_term(after->step_time, "communication/data parallel")->formula;
  EXPECT_NE(text.find("2 ranks, 1 in a node"), std::string::npos) << text;
}

TEST(LayoutDifference, OfALayoutAndItselfIsNothing) {
  const auto one = estimate(run_spec("moe-1t"));
  ASSERT_TRUE(one);
  const LayoutDifference found = layout_difference(*one, *one);
  EXPECT_TRUE(found.time.empty());
  EXPECT_TRUE(found.memory.empty());
}

}  // namespace
}  // namespace tera::plan
