// The layouts that tests train a small model in: one table. A new axis adds a size and its rows.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/core/train/pipeline_cuts.h"

namespace tera::train::test {

// Sizes of the axes, what is shared out and how stages run.
struct LayoutCase {
  int tp = 1, cp = 1, dp = 1, ep = 1, etp = 1, pp = 1;
  int zero = 0;
  int copies = 1;  // of what ZeRO shards
  spec::ScheduleKind schedule = spec::ScheduleKind::one_f_one_b;
  spec::RankOrder order = spec::RankOrder::tp_cp_ep_dp_pp;
  double load = 50;  // percentile that buffers of experts are for; 0: even loads
  spec::RecomputeKind recompute = spec::RecomputeKind::none;
  spec::ContextMethod context = spec::ContextMethod::ring;
  spec::ExpertDispatcher dispatcher = spec::ExpertDispatcher::all_to_all;

  void apply_to(spec::RunSpec& spec) const {
    spec::ParallelLayout& layout = spec.layout;
    layout.tensor_parallel_size = tp;
    layout.sequence_parallel = tp > 1;
    layout.context_parallel_size = cp;
    layout.context_parallel_method = context;
    layout.data_parallel_size = dp;
    if (pp > 1) cut(layout, schedule, pp);
    layout.zero_stage = zero;
    layout.zero_replicas = copies;
    layout.rank_order = order;
    layout.recompute = recompute;
    if (spec.model.num_experts == 0) return;
    layout.expert_parallel_size = ep;
    layout.expert_tensor_parallel_size = etp;
    layout.expert_load_percentile = load;
    layout.expert_dispatcher = dispatcher;
  }

  std::string name() const {
    std::string name;
    const auto add = [&name](const char* axis, int size, int rest) {
      if (size != rest) name += fmt::format("{}{}{}", name.empty() ? "" : " ", axis, size);
    };
    add("tp", tp, 1);
    add("cp", cp, 1);
    if (context != spec::ContextMethod::ring) name += fmt::format(" {}", enum_name(context));
    add("ep", ep, 1);
    add("etp", etp, 1);
    add("dp", dp, 1);
    add("pp", pp, 1);
    if (pp > 1) name += fmt::format(" {}", enum_name(schedule));
    add("zero", zero, 0);
    add("copies", copies, 1);
    if (order != spec::RankOrder::tp_cp_ep_dp_pp) name += fmt::format(" {}", enum_name(order));
    if (dispatcher != spec::ExpertDispatcher::all_to_all)
      name += fmt::format(" {}", enum_name(dispatcher));
    if (load != 50) name += fmt::format(" load {}", load);
    if (recompute != spec::RecomputeKind::none)
      name += fmt::format(" recompute {}", enum_name(recompute));
    return name;
  }
};

// Every axis alone, every pair and ten triples, on up to eight ranks; every schedule.
inline std::vector<LayoutCase> layout_cases() {
  using enum spec::ScheduleKind;
  using enum spec::ContextMethod;
  using enum spec::ExpertDispatcher;
  return {
      {.dp = 2},
      {.dp = 2, .zero = 1},
      {.dp = 2, .zero = 2},
      {.dp = 2, .zero = 3},
      {.dp = 4},
      {.dp = 4, .zero = 3},
      {.dp = 4, .zero = 1, .copies = 2},
      {.dp = 4, .zero = 3, .copies = 2},
      {.dp = 4, .ep = 2, .zero = 2, .copies = 2},
      {.cp = 2, .dp = 2, .zero = 2, .copies = 2},
      {.tp = 2},
      {.tp = 2, .dp = 2},
      {.tp = 2, .dp = 2, .zero = 3},
      {.dp = 2, .ep = 2},
      {.dp = 4, .ep = 2, .zero = 2},
      {.dp = 2, .ep = 2, .dispatcher = all_gather},
      {.tp = 2, .dp = 2, .ep = 2, .etp = 2, .dispatcher = all_gather},
      {.dp = 2, .etp = 2},
      {.tp = 2, .ep = 2},
      {.tp = 2, .etp = 2},
      {.tp = 2, .dp = 2, .ep = 4, .zero = 1},
      {.tp = 2, .dp = 2, .ep = 2, .etp = 2},
      {.cp = 2},
      {.cp = 2, .zero = 3},
      {.cp = 4},
      {.cp = 2, .context = ulysses},
      {.cp = 2, .dp = 2, .ep = 4, .zero = 2, .context = ulysses},
      {.cp = 2, .pp = 2, .schedule = zb_h1, .context = ulysses},
      {.cp = 2, .dp = 2, .zero = 1},
      {.tp = 2, .cp = 2},
      {.tp = 2, .cp = 2, .dp = 2},
      {.tp = 2, .cp = 2, .pp = 2},
      {.cp = 2, .ep = 2},
      {.cp = 2, .etp = 2},
      {.cp = 2, .pp = 2, .schedule = zb_v},
      {.cp = 2, .dp = 2, .pp = 2, .zero = 1},
      {.cp = 2, .ep = 2, .pp = 2, .schedule = dualpipe_v},
      {.tp = 2, .cp = 2, .dp = 2, .ep = 4, .zero = 2},
      {.pp = 2},
      {.pp = 2, .schedule = gpipe},
      {.pp = 2, .schedule = interleaved},
      {.pp = 2, .schedule = zb_h1},
      {.pp = 2, .schedule = zb_h2},
      {.pp = 2, .schedule = zb_v},
      {.pp = 2, .schedule = dualpipe_v},
      {.pp = 3},
      {.dp = 2, .pp = 2},
      {.dp = 2,
       .pp = 2,
       .zero = 1,
       .schedule = interleaved,
       .order = spec::RankOrder::tp_cp_ep_pp_dp},
      {.dp = 2, .pp = 2, .schedule = zb_v},
      {.dp = 4, .pp = 2, .zero = 1},
      {.dp = 4, .pp = 2, .zero = 1, .copies = 2, .order = spec::RankOrder::tp_cp_ep_pp_dp},
      {.tp = 2, .pp = 2},
      {.tp = 2, .dp = 2, .pp = 2},
      {.tp = 2, .ep = 2, .pp = 2, .schedule = zb_h2},
      {.tp = 2, .dp = 2, .ep = 4, .pp = 2, .zero = 1, .schedule = zb_v},
      {.dp = 2, .ep = 2, .pp = 2, .schedule = zb_h1},
      {.dp = 2, .etp = 2, .pp = 2, .schedule = interleaved},
  };
}

// More ranks, up to sixteen, and more of every axis: for models with heads, experts and layers
// enough.
inline std::vector<LayoutCase> wide_layout_cases() {
  using enum spec::ScheduleKind;
  using enum spec::ContextMethod;
  using enum spec::ExpertDispatcher;
  return {
      {.dp = 8},
      {.dp = 8, .zero = 1},
      {.dp = 8, .zero = 2},
      {.dp = 8, .zero = 3},
      {.dp = 8, .zero = 3, .copies = 2},
      {.dp = 8, .ep = 2, .zero = 1, .copies = 4},
      {.tp = 2, .dp = 8, .ep = 4, .etp = 2, .zero = 3, .copies = 2},
      {.cp = 2, .dp = 4, .pp = 2, .zero = 1, .copies = 4},
      {.tp = 4},
      {.tp = 4, .dp = 2, .zero = 2},
      {.tp = 4, .dp = 4, .zero = 3},
      {.tp = 2, .dp = 4, .zero = 2},
      {.tp = 2, .dp = 8, .zero = 3},
      {.dp = 4, .ep = 4},
      {.dp = 8, .ep = 8},
      {.dp = 8, .ep = 8, .dispatcher = all_gather},
      {.tp = 2, .dp = 4, .ep = 4, .pp = 2, .schedule = zb_v, .dispatcher = all_gather},
      {.tp = 2, .cp = 4, .dp = 2, .ep = 4, .etp = 2, .zero = 1, .dispatcher = all_gather},
      {.dp = 8, .ep = 2, .zero = 1},
      {.dp = 8, .ep = 4, .zero = 3},
      {.dp = 4, .etp = 4},
      {.dp = 4, .ep = 2, .etp = 2},
      {.dp = 8, .ep = 2, .etp = 2, .zero = 2},
      {.tp = 4, .ep = 4},
      {.tp = 4, .ep = 2, .etp = 2},
      {.tp = 4, .dp = 4, .ep = 8, .zero = 2},
      {.tp = 2, .dp = 8, .ep = 4, .etp = 2, .zero = 3},
      {.cp = 8},
      {.cp = 8, .zero = 2},
      {.cp = 4, .context = ulysses},
      {.tp = 2, .cp = 2, .dp = 2, .ep = 2, .pp = 2, .schedule = zb_v, .context = ulysses},
      {.cp = 4, .dp = 4, .zero = 3},
      {.cp = 4, .ep = 4},
      {.tp = 2, .cp = 4, .dp = 2, .ep = 4, .etp = 2, .zero = 1},
      {.tp = 4, .cp = 4},
      {.cp = 2, .pp = 4, .schedule = dualpipe_v},
      {.cp = 4, .dp = 2, .pp = 2, .zero = 1, .schedule = zb_h2},
      {.tp = 2, .cp = 2, .ep = 2, .pp = 2, .schedule = interleaved},
      {.pp = 4},
      {.pp = 4, .schedule = gpipe},
      {.pp = 4, .schedule = interleaved},
      {.pp = 4, .schedule = zb_h1},
      {.pp = 4, .schedule = zb_h2},
      {.pp = 4, .schedule = zb_v},
      {.pp = 4, .schedule = dualpipe_v},
      {.pp = 6, .schedule = zb_h2},
      {.dp = 2, .pp = 2, .schedule = gpipe},
      {.dp = 2, .pp = 2, .zero = 1, .schedule = zb_h1},
      {.dp = 4, .pp = 2, .schedule = zb_h2},
      {.dp = 2, .pp = 2, .schedule = dualpipe_v},
      {.dp = 8, .pp = 2, .zero = 1},
      {.dp = 2, .pp = 3, .schedule = zb_h1},
      {.tp = 2, .pp = 2, .schedule = interleaved},
      {.tp = 2, .pp = 3, .schedule = gpipe},
      {.tp = 2, .pp = 4, .schedule = dualpipe_v},
      {.tp = 4, .pp = 4, .schedule = zb_h1},
      {.dp = 2, .ep = 2, .pp = 2, .schedule = gpipe},
      {.dp = 2, .ep = 2, .pp = 2, .schedule = dualpipe_v},
      {.dp = 2, .ep = 2, .pp = 4, .schedule = zb_v},
      {.dp = 4, .ep = 4, .pp = 2, .zero = 1, .schedule = interleaved},
      {.dp = 4, .ep = 2, .etp = 2, .pp = 2, .schedule = zb_v},
      {.tp = 4, .dp = 2, .ep = 2, .etp = 2, .pp = 2},
      {.tp = 2, .dp = 2, .pp = 4, .zero = 1},
      {.tp = 2, .dp = 2, .ep = 4, .pp = 4, .schedule = interleaved},
      {.tp = 2, .dp = 4, .ep = 4, .pp = 2},
      {.tp = 2, .dp = 4, .ep = 4, .pp = 2, .zero = 1, .schedule = zb_v},
      {.dp = 4,
       .ep = 2,
       .pp = 4,
       .zero = 1,
       .schedule = zb_h1,
       .order = spec::RankOrder::tp_cp_ep_pp_dp},
  };
}

}  // namespace tera::train::test
