#include "core/plan/layer_messages.h"

#include <algorithm>

#include "core/plan/context_exchange.h"
#include "core/plan/placement.h"
#include "core/plan/time_constants.h"

namespace tera::plan {

LayerMessages::LayerMessages(const spec::RunSpec& spec,
                             const RankMesh& mesh,
                             const RankRates& rates,
                             const FittedTimes& fitted)
    : spec_(spec),
      mesh_(mesh),
      rates_(rates),
      fitted_(fitted),
      comm_(spec.cluster, fitted.ring_levels) {}

void LayerMessages::add(bool moe, PassCost& cost) const {
  if (spec_.layout.tensor_parallel_size > 1) add_tensor(moe, cost);
  if (moe) add_experts(cost);
  if (spec_.layout.context_parallel_size > 1) add_context(cost);
}

double LayerMessages::head_s() const {
  if (spec_.layout.tensor_parallel_size == 1) return 0;
  return 2 * comm_.all_gather_s(shape(Axis::tensor),
                                rates_.tokens * spec_.model.hidden_size * rates_.element_bytes);
}

double LayerMessages::stage_send_s() const {
  const double tokens = spec_.software.framework == spec::Framework::teragpt
                            ? rates_.residual_tokens
                            : rates_.tokens / spec_.layout.tensor_parallel_size;
  return comm_.send_s(shape(Axis::pipeline),
                      tokens * spec_.model.hidden_size * rates_.element_bytes);
}

double LayerMessages::blocking_send_s() const {
  if (spec_.software.framework == spec::Framework::teragpt) return 0;
  switch (spec_.layout.schedule) {
    case spec::ScheduleKind::gpipe:
    case spec::ScheduleKind::one_f_one_b:
    case spec::ScheduleKind::interleaved:
      // Newer software sends chunks ahead (overlap_p2p_communication).
      if (spec_.layout.virtual_stages > 1 && spec_.software.gradient_overlap) return 0;
      return fitted_.blocking_send * stage_send_s() +
             fitted_.restart_ops * fitted_.host_ops * spec_.cluster.device.op_overhead_s;
    default:  // zero-bubble schedules wait for receives only
      return 0;
  }
}

GroupShape LayerMessages::shape(Axis axis) const {
  return group_shape(mesh_.group(0, axis), spec_);
}

// Per block: gather and scatter (or one all-reduce) of [T, H] each way; sequence parallelism
// gathers the input once more for the weight gradients. Korthikanti et al. 2022, section 4.2.
void LayerMessages::add_tensor(bool moe, PassCost& cost) const {
  const double hidden_bytes = spec_.model.hidden_size * rates_.element_bytes;
  const double once = comm_.all_gather_s(shape(Axis::tensor), rates_.tokens * hidden_bytes);
  const double blocks = moe && spec_.model.num_shared_experts == 0 ? 1 : 2;
  const double shown = spec_.software.tensor_overlap ? fitted_.tensor_shown : 1;
  cost.forward.tensor += shown * 2 * once * blocks;
  cost.backward.tensor += shown * (spec_.layout.sequence_parallel ? 3 : 2) * once * blocks;
  if (spec_.model.qk_norm != spec::QkNormKind::full) return;
  // A norm over the heads of all ranks: of queries and of keys a sum per token, f32, all-reduced.
  const double norms_s = 2 * 2 * comm_.all_gather_s(shape(Axis::tensor), rates_.tokens * 4);
  cost.forward.tensor += norms_s;
  cost.backward.tensor += norms_s;
}

void LayerMessages::add_experts(PassCost& cost) const {
  const spec::ModelConfig& m = spec_.model;
  const double hidden_bytes = m.hidden_size * rates_.element_bytes;
  const double rows_bytes = rates_.residual_tokens * m.rows_per_token() * hidden_bytes;
  const GroupShape experts = shape(Axis::expert);
  const double inner = spec_.layout.expert_tensor_parallel_size;
  const bool gathers = spec_.layout.expert_dispatcher == spec::ExpertDispatcher::all_gather;
  // What a rank has to give: a row for each choice, or each token.
  const double own_bytes = gathers ? rates_.residual_tokens * hidden_bytes : rows_bytes;
  double once = gathers ? comm_.all_gather_s(experts, experts.size * own_bytes)
                        : comm_.all_to_all_s(experts, rows_bytes);
  if (spec_.software.token_deduplication && !gathers) {
    once = comm_.deduplicated_all_to_all_s(
        experts, rates_.residual_tokens * hidden_bytes, m.experts_per_token(),
        m.router_num_groups > 1 ? m.router_top_groups : m.num_experts);
  }
  if (experts.size > 1 && spec_.software.framework != spec::Framework::teragpt)
    once += fitted_.exchange_setup_s;
  double exchange = 2 * once;  // dispatch, combine
  if (inner > 1) {
    exchange += 2 * comm_.all_gather_s(shape(Axis::expert_tensor),
                                       own_bytes * inner * (gathers ? experts.size : 1));
  }
  cost.forward.expert += exchange;
  cost.backward.expert += exchange;
  const bool overlaps = spec_.software.framework == spec::Framework::teragpt
                            ? spec_.overlaps_experts() && !spec_.cluster.device.is_cpu
                            : spec_.software.expert_overlap;
  if (overlaps) overlap_exchange(cost);
}

void LayerMessages::add_context(PassCost& cost) const {
  const ContextExchange elements = context_exchange(spec_);
  const GroupShape ranks = shape(Axis::context);
  if (spec_.layout.context_parallel_method == spec::ContextMethod::ulysses) {
    const auto swap_s = [&](std::int64_t count) {
      return comm_.all_to_all_s(ranks, static_cast<double>(count) * rates_.element_bytes);
    };
    const double inputs_s = swap_s(elements.inputs());
    cost.forward.context += inputs_s + swap_s(elements.outputs);
    cost.backward.context += swap_s(elements.inputs() + 2 * elements.outputs) + inputs_s;
    return;
  }
  // Keys and values go round the ring beside the attention they feed; the rest shows.
  const auto passed = static_cast<double>(elements.keys + elements.values);
  const double ring =
      comm_.all_gather_s(ranks, spec_.layout.context_parallel_size * passed * rates_.element_bytes);
  cost.forward.context += std::max(0.0, ring - cost.forward.attention);
  // Their gradients follow; TeraGPT's in f32, and all the way round.
  double gradients = ring;
  if (spec_.software.framework == spec::Framework::teragpt)
    gradients *= ranks.size / std::max(1.0, ranks.size - 1.0) * 4 / rates_.element_bytes;
  cost.backward.context += std::max(0.0, ring + gradients - cost.backward.attention);
}

// Exchanges of one micro-batch beside the work of another, backward beside forward: what does not
// fit beside the work of the layer shows, and a share of the rest. The share is fitted to whole
// steps: those passes are in it that have nothing beside them as the step begins and ends.
void LayerMessages::overlap_exchange(PassCost& cost) const {
  const double shown = spec_.layout.schedule == spec::ScheduleKind::dualpipe_v
                           ? kPairedExpertShown.value
                           : fitted_.expert_shown;
  const double work_s = cost.forward.compute() + cost.backward.compute();
  const double all_s = cost.forward.expert + cost.backward.expert;
  if (all_s <= 0) return;
  const double share = std::max(shown, 1 - (1 - shown) * work_s / all_s);
  cost.forward.expert *= share;
  cost.backward.expert *= share;
}

}  // namespace tera::plan
