// Seconds of collectives over a group that lies on one or several nodes: rings inside each level,
// the fast link first. S is the size of the full tensor in bytes.
#pragma once
#include "core/plan/placement.h"
#include "core/spec/cluster.h"

namespace tera::plan {

class CommCost {
 public:
  explicit CommCost(const spec::Cluster& cluster) : cluster_(cluster) {}

  // Ring: (n - 1) latencies and S (n - 1) / n bytes; over nodes each of the g members of a node
  // moves its 1 / g of S between nodes, then the node shares it. Reduce-scatter costs the same.
  // Source: Thakur et al. 2005; hierarchical as in NCCL.
  double all_gather_s(const GroupShape& group, double bytes) const;
  // Reduce-scatter, then all-gather.
  double all_reduce_s(const GroupShape& group, double bytes) const {
    return 2 * all_gather_s(group, bytes);
  }
  // Every rank sends `bytes` in equal parts to all members; both links work at the same time.
  double all_to_all_s(const GroupShape& group, double bytes) const;
  // One message to the next member of the group.
  double send_s(const GroupShape& group, double bytes) const;

 private:
  static double link_s(const spec::LinkSpec& link, double bytes, double steps);
  const spec::Cluster& cluster_;
};

}  // namespace tera::plan
