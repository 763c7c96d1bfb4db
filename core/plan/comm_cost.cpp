#include "core/plan/comm_cost.h"

#include <algorithm>

namespace tera::plan {

double CommCost::link_s(const spec::LinkSpec& link, double bytes, double steps) {
  if (steps <= 0) return 0;
  // A link without bandwidth is refused by validation; it costs nothing here rather than infinity.
  const double rate = link.bytes_per_s * link.efficiency;
  return steps * link.latency_s + (rate > 0 ? bytes / rate : 0);
}

double CommCost::all_gather_s(const GroupShape& group, double bytes) const {
  const double inside = group.per_node;
  const double nodes = group.num_nodes;
  const double between_s =
      link_s(cluster_.inter_node, bytes / inside * (nodes - 1) / nodes, nodes - 1);
  const double inside_s = link_s(cluster_.intra_node, bytes * (inside - 1) / inside, inside - 1);
  return between_s + inside_s;
}

double CommCost::all_to_all_s(const GroupShape& group, double bytes) const {
  const double inside = group.per_node;
  const double outside = group.size - inside;
  const double inside_s =
      link_s(cluster_.intra_node, bytes * (inside - 1) / group.size, inside - 1);
  const double between_s = link_s(cluster_.inter_node, bytes * outside / group.size, outside);
  return std::max(inside_s, between_s);
}

double CommCost::send_s(const GroupShape& group, double bytes) const {
  if (group.size <= 1) return 0;
  return link_s(group.per_node > 1 ? cluster_.intra_node : cluster_.inter_node, bytes, 1);
}

}  // namespace tera::plan
