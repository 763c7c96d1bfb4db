#include "core/plan/layout_text.h"

#include <string_view>

#include <fmt/format.h>

namespace tera::plan {
namespace {

// "offload optimizer and activations to host, weights to nvme"
std::string offload_text(const spec::Offload& offload) {
  std::string text;
  for (const spec::OffloadTier tier : {spec::OffloadTier::host, spec::OffloadTier::nvme}) {
    std::string kinds;
    spec::Offload::visit_fields(offload, [&](const Field& field, const spec::OffloadTier& value) {
      if (value == tier) kinds += fmt::format("{}{}", kinds.empty() ? "" : " + ", field.name);
    });
    if (kinds.empty()) continue;
    text += fmt::format("{}{} to {}", text.empty() ? "offload " : ", ", kinds, enum_name(tier));
  }
  return text;
}

}  // namespace

std::string layout_text(const spec::ParallelLayout& layout) {
  std::string text;
  const auto add = [&text](std::string_view part) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", part);
  };
  const auto add_size = [&add](const char* name, int size) {
    if (size > 1) add(fmt::format("{} {}", name, size));
  };
  add_size("tensor", layout.tensor_parallel_size);
  add_size("context", layout.context_parallel_size);
  if (layout.context_parallel_size > 1 &&
      layout.context_parallel_method != spec::ContextMethod::ring)
    add(enum_name(layout.context_parallel_method));
  add_size("data", layout.data_parallel_size);
  add_size("pipeline", layout.pipeline_parallel_size);
  add_size("chunks", layout.virtual_stages);
  add_size("expert", layout.expert_parallel_size);
  add_size("expert tensor", layout.expert_tensor_parallel_size);
  const int expert_ranks = layout.expert_parallel_size * layout.expert_tensor_parallel_size;
  if (expert_ranks > 1 && layout.expert_dispatcher != spec::ExpertDispatcher::all_to_all)
    add(enum_name(layout.expert_dispatcher));
  if (text.empty()) add("one rank");
  if (layout.rank_order != spec::RankOrder::tp_cp_ep_dp_pp)
    add(fmt::format("order {}", enum_name(layout.rank_order)));
  add(fmt::format("micro-batch {}", layout.micro_batch_size));
  if (layout.pipeline_parallel_size > 1 || layout.schedule != spec::ScheduleKind::one_f_one_b)
    add(enum_name(layout.schedule));
  if (layout.ends_count_as_layers) add("ends count");
  if (layout.sequence_parallel) add("sequence parallel");
  add(fmt::format("recompute {}", enum_name(layout.recompute)));
  add(fmt::format("zero {}", layout.zero_stage));
  if (layout.zero_stage > 0 && layout.zero_replicas > 1)
    add(fmt::format("{} copies", layout.zero_replicas));
  if (layout.offload.any()) add(offload_text(layout.offload));
  return text;
}

}  // namespace tera::plan
