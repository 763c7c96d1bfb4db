#include "core/plan/search_standing.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "core/plan/cost_model.h"

namespace tera::plan {
namespace {

using spec::ParallelLayout;

bool differ_in_offload_alone(const ParallelLayout& a, ParallelLayout b) {
  b.offload = a.offload;
  return a == b;
}

}  // namespace

double usd_of(const spec::RunSpec& spec, double step_s, double busy_share) {
  const Result<RunCost> cost =
      run_figures(spec, {.step_s = step_s, .busy_share = busy_share, .active_params = 1});
  return cost ? cost->usd : std::numeric_limits<double>::infinity();
}

bool Standing::fits(const LayoutBound& bound) const {
  return bound.memory_bytes <= limits_.device_bytes && bound.host_bytes <= limits_.host_bytes &&
         bound.nvme_bytes <= limits_.nvme_bytes;
}

bool Standing::may_matter(const LayoutBound& bound) const {
  return fits(bound) && (may_be_best(bound) || !is_beaten(bound));
}

void Standing::add(const FoundLayout& found) {
  const LayoutFigures& f = found.figures;
  if (!fits({f.step_s, f.memory_bytes, f.host_bytes, f.nvme_bytes})) return;
  add_to_front(found);
  add_to_best(found);
}

bool Standing::comes_first(const Candidate& a, const Candidate& b) const {
  const auto key = [this](const Candidate& c) {
    return options_.objective == SearchObjective::memory
               ? std::pair{c.bound.memory_bytes, c.bound.step_s}
               : std::pair{c.bound.step_s, c.bound.memory_bytes};
  };
  const auto ka = key(a);
  const auto kb = key(b);
  return ka != kb ? ka < kb : comes_before(a.layout, b.layout);
}

double Standing::value(const FoundLayout& found) const {
  switch (options_.objective) {
    case SearchObjective::time:
      return found.figures.step_s;
    case SearchObjective::cost:
      return found.usd;
    case SearchObjective::memory:
      return found.figures.memory_bytes;
  }
  return 0;
}

bool Standing::is_better(const FoundLayout& a, const FoundLayout& b) const {
  const auto key = [this](const FoundLayout& f) {
    return std::tuple{value(f), f.figures.step_s, f.figures.memory_bytes};
  };
  return key(a) != key(b) ? key(a) < key(b) : comes_before(a.layout, b.layout);
}

bool Standing::may_be_best(const LayoutBound& bound) const {
  if (best_.size() < static_cast<std::size_t>(options_.top)) return true;
  if (options_.objective != SearchObjective::memory) return bound.step_s <= slowest_s_;
  return bound.memory_bytes <= best_.back().figures.memory_bytes;
}

// The step at which a layout is no longer among the best. Money grows with the step: it is found
// by halving, for a device that only idles.
void Standing::set_slowest() {
  const FoundLayout& last = best_.back();
  slowest_s_ = last.figures.step_s;
  if (options_.objective != SearchObjective::cost) return;
  double below = slowest_s_;
  double above = 2 * slowest_s_;
  while (usd_of(spec_, above, 0) < last.usd && above < 1e6 * slowest_s_)
    above *= 2;
  constexpr int kHalvings = 50;  // down to the last bits of a double
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (below + above) / 2;
    (usd_of(spec_, middle, 0) <= last.usd ? below : above) = middle;
  }
  slowest_s_ = above;
}

bool Standing::is_beaten(const LayoutBound& bound) const {
  const auto after = std::upper_bound(
      front_.begin(), front_.end(), bound.step_s,
      [](double step_s, const FoundLayout& f) { return step_s < f.figures.step_s; });
  return after != front_.begin() && std::prev(after)->figures.memory_bytes <= bound.memory_bytes;
}

void Standing::add_to_best(const FoundLayout& found) {
  const auto same = std::find_if(best_.begin(), best_.end(), [&found](const FoundLayout& other) {
    return differ_in_offload_alone(other.layout, found.layout);
  });
  if (same != best_.end()) {
    if (!is_better(found, *same)) return;
    best_.erase(same);
  }
  const auto at = std::upper_bound(
      best_.begin(), best_.end(), found,
      [this](const FoundLayout& a, const FoundLayout& b) { return is_better(a, b); });
  best_.insert(at, found);
  const auto top = static_cast<std::size_t>(options_.top);
  if (best_.size() > top) best_.pop_back();
  if (best_.size() == top) set_slowest();
}

void Standing::add_to_front(const FoundLayout& found) {
  const LayoutFigures& f = found.figures;
  for (FoundLayout& other : front_) {
    const bool same =
        other.figures.step_s == f.step_s && other.figures.memory_bytes == f.memory_bytes;
    if (same && comes_before(found.layout, other.layout)) other = found;
    if (other.figures.step_s <= f.step_s && other.figures.memory_bytes <= f.memory_bytes) return;
  }
  std::erase_if(front_, [&f](const FoundLayout& other) {
    return f.step_s <= other.figures.step_s && f.memory_bytes <= other.figures.memory_bytes;
  });
  const auto at = std::upper_bound(front_.begin(), front_.end(), found,
                                   [](const FoundLayout& a, const FoundLayout& b) {
                                     return a.figures.step_s < b.figures.step_s;
                                   });
  front_.insert(at, found);
}

}  // namespace tera::plan
