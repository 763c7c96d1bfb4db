#include "core/plan/comm_cost.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "core/plan/time_constants.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

spec::Cluster simple_cluster() {
  spec::Cluster cluster;
  cluster.intra_node = {.bytes_per_s = 100e9, .latency_s = 1e-6, .efficiency = 1};
  cluster.inter_node = {.bytes_per_s = 10e9, .latency_s = 5e-6, .efficiency = 0.5};
  return cluster;
}

TEST(CommCost, OneRankSendsNothing) {
  const spec::Cluster cluster = simple_cluster();
  const CommCost cost(cluster);
  EXPECT_EQ(cost.all_gather_s({1, 1, 1}, 1e9), 0);
  EXPECT_EQ(cost.all_reduce_s({1, 1, 1}, 1e9), 0);
  EXPECT_EQ(cost.all_to_all_s({1, 1, 1}, 1e9), 0);
  EXPECT_EQ(cost.send_s({1, 1, 1}, 1e9), 0);
}

TEST(CommCost, RingInsideANode) {
  const spec::Cluster cluster = simple_cluster();
  const CommCost cost(cluster);
  // Three steps of 1 us and of 2 MB, or of an eighth of a short message.
  EXPECT_DOUBLE_EQ(cost.all_gather_s({4, 4, 1}, 1e9), 3 * (1e-6 + 20e-6) + 0.75e9 / 100e9);
  EXPECT_DOUBLE_EQ(cost.all_reduce_s({4, 4, 1}, 1e9), 2 * (3 * (1e-6 + 20e-6) + 0.75e9 / 100e9));
  EXPECT_DOUBLE_EQ(cost.all_gather_s({4, 4, 1}, 8e6), 3 * (1e-6 + 10e-6) + 6e6 / 100e9);
}

// nccl-tests, all_reduce_perf on eight A100: Bekman, Machine Learning Engineering, network.
TEST(CommCost, RingsFillAsMeasuredByNcclTests) {
  spec::Cluster cluster = spec::cluster_preset("a100-ib")->cluster;
  cluster.intra_node.efficiency = 234.6 / 300;
  const double kMib = 1 << 20;
  for (const auto& [mib, ms] :
       {std::pair{16, 0.2766}, {64, 0.6846}, {512, 4.2184}, {8192, 64.07}}) {
    const double s = CommCost(cluster).all_reduce_s({8, 8, 1}, mib * kMib);
    EXPECT_NEAR(s * 1e3 / ms, 1, 0.08) << mib << " MiB";
  }
}

TEST(CommCost, HierarchyOverNodes) {
  const spec::Cluster cluster = simple_cluster();
  const CommCost cost(cluster);
  // Two members in each of four nodes: half of S per adapter, seven eighths of it pass each link of
  // the ring; a message passes three links between nodes and one in each node.
  EXPECT_DOUBLE_EQ(
      cost.all_gather_s({8, 2, 4}, 1e9),
      3 * 5e-6 + 4 * (1e-6 + 20e-6) + 0.5e9 * 0.875 / 5e9 + kRingLevels.value * 0.5e9 / 100e9);
  EXPECT_DOUBLE_EQ(cost.all_to_all_s({8, 2, 4}, 8e9),
                   std::max(1e-6 + 1e9 / 100e9, 5e-6 + 6e9 / 5e9));
}

// nccl-tests, PERFORMANCE.md: a ring's bandwidth is that of its slowest link, S (n - 1) / n over
// it.
TEST(CommCost, ARingOverTwoNodesIsAsSlowAsItsLinksBetweenThem) {
  spec::Cluster cluster = simple_cluster();
  cluster.intra_node.bytes_per_s = 1e15;
  const double slow_s = CommCost(cluster).all_reduce_s({16, 8, 2}, 8e9);
  EXPECT_NEAR(8e9 * 2 * 15 / 16 / slow_s / (8 * 5e9), 1, 1e-3);
}

TEST(CommCost, BeyondASwitchLinksAreShared) {
  spec::RunSpec spec = run_spec("moe-1t");  // 8 devices per node
  spec.cluster.inter_node = simple_cluster().inter_node;
  spec.cluster.nodes_per_switch = 4;
  spec.cluster.oversubscription = 3;
  const CommCost cost(spec.cluster);
  EXPECT_DOUBLE_EQ(cost.send_s(group_shape({0, 8, 4}, spec), 1e9), 5e-6 + 1e9 / 5e9);
  EXPECT_DOUBLE_EQ(cost.send_s(group_shape({0, 8, 8}, spec), 1e9), 5e-6 + 3 * 1e9 / 5e9);
  EXPECT_DOUBLE_EQ(cost.send_s(group_shape({0, 32, 2}, spec), 1e9), 5e-6 + 3 * 1e9 / 5e9)
      << "two nodes, each under a switch of its own";
}

// The same report, HybridEP, which sends a row once to each node; 256 experts in 8 groups of which
// a token meets 4.
TEST(CommCost, DeduplicatedAllToAllAgreesWithMeasuredDispatch) {
  const spec::RunSpec spec = run_spec("moe-1t");
  const CommCost cost(spec.cluster);
  const double bytes = 4096.0 * 7168 * 2;
  for (const auto& [ranks, measured_us] :
       {std::pair{8, 661.0}, {16, 1485.0}, {32, 3064.0}, {64, 4626.0}}) {
    const double us =
        1e6 * cost.deduplicated_all_to_all_s(group_shape({0, 1, ranks}, spec), bytes, 8, 4);
    EXPECT_NEAR(us / measured_us, 1, 0.4) << ranks << " ranks: " << us;
  }
}

TEST(CommCost, ALinkWithoutBandwidthNeverGivesInfinity) {
  spec::Cluster cluster = simple_cluster();
  cluster.inter_node.bytes_per_s = 0;
  EXPECT_TRUE(std::isfinite(CommCost(cluster).all_gather_s({8, 2, 4}, 1e9)));
}

// Measured plain all-to-all dispatch on H100, h = 7168, 4,096 tokens, top-8, in microseconds.
// Source: Megatron Core MoE report, table 7, as quoted in the planner's formulas.
// Table 7 of the same report, GB200: a rack of 72 as one node.
TEST(CommCost, MessagesOfAnAllToAllTravelSideBySide) {
  spec::RunSpec spec = run_spec("moe-1t");
  spec.cluster = spec::cluster_preset("b200-nvl72")->cluster;
  const CommCost cost(spec.cluster);
  const double bytes = 4096.0 * 8 * 7168 * 2;
  for (const auto& [ranks, measured_us] :
       {std::pair{8, 735.0}, {16, 743.0}, {32, 769.0}, {64, 930.0}}) {
    const double us = 1e6 * cost.all_to_all_s(group_shape({0, 1, ranks}, spec), bytes);
    EXPECT_NEAR(us / measured_us, 1, 0.25) << ranks << " ranks: " << us;
  }
  const auto short_s = [&](int ranks) {
    return cost.all_to_all_s(group_shape({0, 1, ranks}, spec), 0);
  };
  EXPECT_DOUBLE_EQ(short_s(8), spec.cluster.intra_node.latency_s);
  EXPECT_DOUBLE_EQ(short_s(64), 8 * spec.cluster.intra_node.latency_s);
}

TEST(CommCost, AllToAllAgreesWithMeasuredDispatch) {
  const spec::RunSpec spec = run_spec("moe-1t");
  const CommCost cost(spec.cluster);
  const double bytes = 4096.0 * 8 * 7168 * 2;
  for (const auto& [ranks, measured_us] :
       {std::pair{8, 1265.0}, {16, 5774.0}, {32, 8059.0}, {64, 9164.0}}) {
    const double us = 1e6 * cost.all_to_all_s(group_shape({0, 1, ranks}, spec), bytes);
    EXPECT_NEAR(us / measured_us, 1, 0.2) << ranks << " ranks: " << us;
  }
}

}  // namespace
}  // namespace tera::plan
