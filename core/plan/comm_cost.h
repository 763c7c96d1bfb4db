// Seconds of collectives over a group that lies on one or several nodes: rings inside each level,
// the fast link first. S is the size of the full tensor in bytes.
#pragma once
#include "core/plan/placement.h"
#include "core/plan/time_constants.h"
#include "core/spec/cluster.h"

namespace tera::plan {

class CommCost {
 public:
  explicit CommCost(const spec::Cluster& cluster, double ring_levels = kRingLevels.value)
      : cluster_(cluster), ring_levels_(ring_levels) {}

  // Ring: (n - 1) latencies and S (n - 1) / n bytes over each of its links, those between nodes
  // too: a ring leaves a node once, and with g members in a node g rings with a g-th of S each do.
  // Reduce-scatter costs the same. Source: Thakur et al. 2005; nccl-tests, PERFORMANCE.md; NCCL's
  // ring: both levels work at the same time, and a message passes every member one by one.
  double all_gather_s(const GroupShape& group, double bytes) const;
  // Reduce-scatter, then all-gather.
  double all_reduce_s(const GroupShape& group, double bytes) const {
    return 2 * all_gather_s(group, bytes);
  }
  // Every rank sends `bytes` in equal parts to all members; both links work at the same time.
  double all_to_all_s(const GroupShape& group, double bytes) const;
  // Rows of `token_bytes` (one for each token of the rank) to the ranks of their `top_k` experts,
  // once to each rank and to each node, however many of its experts are there: of nodes at most
  // `most_nodes`. Source: DeepSeek-AI 2024, section 3.2.2; Megatron Core MoE report, table 7.
  double deduplicated_all_to_all_s(const GroupShape& group,
                                   double token_bytes,
                                   double top_k,
                                   int most_nodes) const;
  // One message to the next member of the group, over the slowest link between neighbours.
  double send_s(const GroupShape& group, double bytes) const;

 private:
  static double link_s(const spec::LinkSpec& link, double bytes, double steps);
  // Between nodes of the group, which may lie beyond one switch.
  spec::LinkSpec between(const GroupShape& group) const;
  const spec::Cluster& cluster_;
  double ring_levels_;  // FittedTimes
};

}  // namespace tera::plan
