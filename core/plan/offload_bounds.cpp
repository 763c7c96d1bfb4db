// The ways to offload of one layout, in closed form.
#include <algorithm>
#include <array>
#include <limits>

#include "core/plan/layout_bounds.h"
#include "core/plan/offload_cost.h"

namespace tera::plan {
namespace {

using spec::OffloadTier;

// What a way of the same kinds leaves on disks may do no better than one with fewer there: a set of
// sets, a bit for each.
bool has_subset(unsigned sets, unsigned of) {
  for (unsigned set = 0; set < 16; ++set) {
    if ((sets >> set & 1) != 0 && (set & of) == set) return true;
  }
  return false;
}

}  // namespace

void LayoutBounds::list_ways() {
  for (const spec::Offload& offload : space_.offloads()) {
    if (!offload.any()) {
      stays_ = true;
      continue;
    }
    OffloadWay way{.offload = offload};
    const OffloadTier tiers[] = {offload.weights, offload.gradients, offload.optimizer,
                                 offload.activations};
    OffloadTier* const all[] = {&all_off_.weights, &all_off_.gradients, &all_off_.optimizer,
                                &all_off_.activations};
    for (unsigned i = 0; i < std::size(tiers); ++i) {
      if (tiers[i] == OffloadTier::none) continue;
      if (*all[i] == OffloadTier::none) *all[i] = tiers[i];
      way.moved |= 1U << i;
      if (tiers[i] == OffloadTier::nvme) way.on_disks |= 1U << i;
    }
    ways_.push_back(way);
  }
}

void LayoutBounds::visit_offloads(const VisitOffload& visit) {
  const spec::HostSpec& host = spec_.cluster.host;
  std::array<unsigned, 16> fitting = {};  // [what moves] sets of what is on disks
  for (const OffloadWay& way : ways_) {
    unsigned& fit = fitting[way.moved];
    if (has_subset(fit, way.on_disks)) continue;
    spec_.layout.offload = way.offload;
    const LayoutBound bound = offload_bound();
    constexpr double kAbove = 1 + 1e-9;  // no less than what estimate() says
    if (bound.host_bytes * kAbove <= host.memory_bytes &&
        bound.nvme_bytes * kAbove <= host.nvme_bytes)
      fit |= 1U << way.on_disks;
    visit(spec_.layout, bound);
  }
  spec_.layout.offload = {};
}

// All of estimate() but the played schedule.
LayoutBound LayoutBounds::offload_bound() const {
  const auto zero = static_cast<std::size_t>(spec_.layout.zero_stage);
  const ActivationBytes& bytes = figures_->bytes;
  LayoutBound bound{.step_s = std::numeric_limits<double>::infinity()};
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const CutStage& of_cut = cut_.kinds[i];
    const StageAtHand& stage = stages_[i];
    StageBytes here = stage.bytes[zero];
    here.activations = stage.activations;
    settle(spec_, bytes, of_cut.parts, of_cut.groups, here);
    bound.memory_bytes = std::max(bound.memory_bytes, here.total());
    bound.host_bytes = std::max(bound.host_bytes, here.host);
    bound.nvme_bytes = std::max(bound.nvme_bytes, here.nvme);
    if (!stage.is_busiest) continue;
    StepSeconds step = stage.step;
    add_offload(spec_, offload_traffic(spec_, stage.bytes[zero], bytes, of_cut.parts), step);
    bound.step_s = std::min(bound.step_s, step.total_s());
  }
  const double ranks = ranks_per_host(spec_);
  return {.step_s = bound.step_s * kBoundRounding,
          .memory_bytes = bound.memory_bytes * kBoundRounding,
          .host_bytes = bound.host_bytes * ranks * kBoundRounding,
          .nvme_bytes = bound.nvme_bytes * ranks * kBoundRounding};
}

// Nothing takes time to move, and the host's processors update in none.
double LayoutBounds::least_offloaded_s(const StepSeconds& step) const {
  if (all_off_.optimizer == OffloadTier::none) return step.total_s();
  const double before = step.total_s() - step.stragglers_s;
  return before > 0 ? (before - step.optimizer_s) * (step.total_s() / before) : 0;
}

}  // namespace tera::plan
