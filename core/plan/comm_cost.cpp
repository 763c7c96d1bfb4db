#include "core/plan/comm_cost.h"

#include <algorithm>
#include <cmath>

#include "core/plan/time_constants.h"

namespace tera::plan {
namespace {

// To other ranks. Plain exchanges among 64 GB200 take 0.2 ms longer than among 8, not 56 latencies
// of 5 us; among 64 H100 they are as near to the bandwidth of the links as among 16 (Megatron Core
// report, arXiv 2603.07685, table 7).
constexpr Constant kMessagesAtATime{"messages side by side in an all-to-all", 8, "messages", false,
                                    "NCCL, src/include/device.h: NCCL_MAX_DEV_WORK_P2P_PER_BATCH"};

}  // namespace

double CommCost::link_s(const spec::LinkSpec& link, double bytes, double steps) {
  // A link without bandwidth is refused by validation; it costs nothing here rather than infinity.
  const double rate = link.bytes_per_s * link.efficiency;
  return steps * link.latency_s + (rate > 0 ? bytes / rate : 0);
}

spec::LinkSpec CommCost::between(const GroupShape& group) const {
  spec::LinkSpec link = cluster_.inter_node;
  if (group.crosses_switch) link.bytes_per_s /= cluster_.oversubscription;
  return link;
}

double CommCost::all_gather_s(const GroupShape& group, double bytes) const {
  if (group.size <= 1) return 0;
  const double inside = group.per_node;
  const double nodes = group.num_nodes;
  const double passed = bytes * (group.size - 1) / group.size;
  const double between_s = nodes > 1 ? link_s(between(group), passed / inside, 0) : 0;
  const double inside_s = link_s(cluster_.intra_node, bytes * (inside - 1) / inside, 0);
  // A member passes on what it got in pieces: the ring is full only when all hold one.
  const double piece =
      cluster_.device.is_cpu ? 0 : std::min(kRingPiece.value, bytes / (2 * group.size));
  const double step_s = cluster_.intra_node.latency_s + link_s(cluster_.intra_node, piece, 0);
  const double latency_s =
      (nodes - 1) * cluster_.inter_node.latency_s + nodes * (inside - 1) * step_s;
  return std::max(between_s, inside_s) + ring_levels_ * std::min(between_s, inside_s) + latency_s;
}

double CommCost::all_to_all_s(const GroupShape& group, double bytes) const {
  if (group.size <= 1) return 0;
  const double inside = group.per_node;
  const double outside = group.size - inside;
  const double at_a_time = cluster_.device.is_cpu ? 1 : kMessagesAtATime.value;
  const double inside_s = link_s(cluster_.intra_node, bytes * (inside - 1) / group.size,
                                 std::ceil((inside - 1) / at_a_time));
  const double between_s = outside > 0 ? link_s(between(group), bytes * outside / group.size,
                                                std::ceil(outside / at_a_time))
                                       : 0;
  return std::max(inside_s, between_s);
}

double CommCost::deduplicated_all_to_all_s(const GroupShape& group,
                                           double token_bytes,
                                           double top_k,
                                           int most_nodes) const {
  if (group.size <= 1) return 0;
  // Of n equally likely places, those that top_k choices meet.
  const auto met = [top_k](double n) { return n * (1 - std::pow(1 - 1 / n, top_k)); };
  const double nodes = std::min<double>(met(group.num_nodes), most_nodes);
  const double ranks = met(group.size);
  const double inside_s =
      link_s(cluster_.intra_node, token_bytes * ranks * (group.size - 1) / group.size, 1);
  if (group.num_nodes <= 1) return inside_s;
  const double outside = (group.num_nodes - 1) / group.num_nodes;
  const double between_s = link_s(between(group), token_bytes * nodes * outside, 1);
  return std::max(inside_s, between_s);
}

double CommCost::send_s(const GroupShape& group, double bytes) const {
  if (group.size <= 1) return 0;
  // Ranks of a pipeline wait for each other: the slowest link of the chain is everybody's.
  return link_s(group.num_nodes <= 1 ? cluster_.intra_node : between(group), bytes, 1);
}

}  // namespace tera::plan
