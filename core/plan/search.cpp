#include "core/plan/search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/plan/estimate.h"
#include "core/plan/layer_cost.h"
#include "core/plan/layout_bounds.h"
#include "core/plan/placement.h"
#include "core/plan/search_relaxation.h"
#include "core/plan/search_standing.h"
#include "core/spec/validate.h"

namespace tera::plan {
namespace {

using spec::ParallelLayout;
using spec::RunSpec;

// Of the layouts of a worker, from their bounds.
struct Survey {
  std::int64_t considered = 0;
  std::int64_t feasible = 0;
  std::int64_t need_offload = 0;
  Candidate least_memory;
  std::map<spec::ScheduleKind, std::vector<Candidate>> fastest;  // in the order they are tried
  std::map<int, Candidate> leanest;  // by step time, in steps of two percent

  void add(const Survey& other, const Standing& order, std::size_t kept);
};

void add_first(std::vector<Candidate>& list,
               const Candidate& one,
               const Standing& order,
               std::size_t kept) {
  const auto before = [&order](const Candidate& a, const Candidate& b) {
    return order.comes_first(a, b);
  };
  if (list.size() == kept && !before(one, list.back())) return;
  list.insert(std::upper_bound(list.begin(), list.end(), one, before), one);
  if (list.size() > kept) list.pop_back();
}

bool needs_less(const Candidate& a, const Candidate& b) {
  const auto key = [](const Candidate& c) {
    return std::pair{c.bound.memory_bytes, c.bound.step_s};
  };
  return key(a) != key(b) ? key(a) < key(b) : comes_before(a.layout, b.layout);
}

void keep_leaner(Survey& survey, const Candidate& one) {
  constexpr double kAlike = 0.02;  // of step times, by ratio
  const int at = static_cast<int>(std::floor(std::log(one.bound.step_s) / kAlike));
  const auto [found, is_new] = survey.leanest.try_emplace(at, one);
  if (!is_new && needs_less(one, found->second)) found->second = one;
}

void Survey::add(const Survey& other, const Standing& order, std::size_t kept) {
  if (other.considered == 0) return;
  if (considered == 0 || needs_less(other.least_memory, least_memory))
    least_memory = other.least_memory;
  considered += other.considered;
  feasible += other.feasible;
  need_offload += other.need_offload;
  for (const auto& [kind, list] : other.fastest) {
    for (const Candidate& one : list)
      add_first(fastest[kind], one, order, kept);
  }
  for (const auto& [at, one] : other.leanest)
    keep_leaner(*this, one);
}

// Every so many, then those in between: neighbours are alike.
std::vector<LayoutFamily> spread(const std::vector<LayoutFamily>& families) {
  constexpr std::size_t kStride = 61;
  std::vector<LayoutFamily> order;
  order.reserve(families.size());
  for (std::size_t first = 0; first < kStride; ++first) {
    for (std::size_t i = first; i < families.size(); i += kStride)
      order.push_back(families[i]);
  }
  return order;
}

MemoryLimits memory_limits(const RunSpec& spec, const SearchOptions& options) {
  const spec::Cluster& cluster = spec.cluster;
  return {.device_bytes = options.memory_limit_bytes > 0
                              ? options.memory_limit_bytes
                              : cluster.device.memory_bytes / ranks_per_device(spec),
          .host_bytes = cluster.host.memory_bytes,
          .nvme_bytes = cluster.host.nvme_bytes};
}

class LayoutSearch {
 public:
  LayoutSearch(const RunSpec& spec, const SearchOptions& options, const SearchControl& control)
      : control_(control),
        space_(spec, options.fixed),
        limits_(memory_limits(space_.spec(), options)),
        standing_(space_.spec(), options, limits_),
        kept_(static_cast<std::size_t>(options.top)),
        families_(spread(layout_families(space_))),
        workers_(static_cast<std::size_t>(control.pool.size())) {}

  const SearchSpace& space() const { return space_; }

  // Bounds of a few families show what to beat; then every family is visited once, a part of them
  // at a time, and of each part what looks best is played before the next.
  SearchResult run() {
    constexpr std::size_t kParts = 16;
    const std::size_t count = families_.size();
    visit(0, std::min(count, std::max<std::size_t>(4, count / 32)), false);
    play(seeds());
    if (!is_stopped()) survey_ = {};
    for (std::size_t part = 0; part < kParts && !is_stopped(); ++part) {
      visit(count * part / kParts, count * (part + 1) / kParts, true);
      play(seeds());
    }
    SearchResult result;
    result.lower_bound_s = least_step_s(space_.spec());
    if (!is_stopped()) {
      sort(candidates_);
      const std::size_t tried = play(candidates_);
      result.complete = tried == candidates_.size();
      result.lower_bound_s = fastest_from(tried);
    }
    result.considered = survey_.considered;
    result.ways_to_offload = std::ssize(space_.offloads());
    result.feasible = survey_.feasible;
    result.need_offload = survey_.need_offload;
    result.played = std::ssize(tried_);
    result.memory_limit_bytes = limits_.device_bytes;
    result.least_memory_bytes = survey_.least_memory.bound.memory_bytes;
    result.least_memory = survey_.least_memory.layout;
    result.best = standing_.best();
    result.pareto = standing_.front();
    result.rejected = space_.refused();
    const std::int64_t played = layouts_played();
    result.rejected["memory"] = result.considered - result.feasible;
    result.rejected["slower by bound"] = result.feasible - played;
    result.rejected["slower when played"] = played - std::ssize(result.best);
    return result;
  }

 private:
  // Of one worker.
  struct Gathered {
    Survey survey;
    std::vector<Candidate> candidates;
  };

  bool is_stopped() const { return control_.stop.load() != 0; }

  void report(std::int64_t count) {
    const std::int64_t done = done_ += count;
    const std::unique_lock<std::mutex> lock(reporting_, std::try_to_lock);
    if (control_.report && lock.owns_lock()) control_.report({done, space_.num_layouts()});
  }

  LayoutBounds& bounds(int worker) {
    auto& found = workers_[static_cast<std::size_t>(worker)];
    if (!found) found.emplace(space_);
    return *found;
  }

  // Surveys families [first, last), and gathers those of their layouts that may matter.
  void visit(std::size_t first, std::size_t last, bool gathers) {
    std::vector<Gathered> gathered(workers_.size());
    control_.pool.parallel_for(static_cast<std::int64_t>(last - first),
                               [&](std::int64_t task, int worker) {
                                 if (is_stopped()) return;
                                 Gathered& mine = gathered[static_cast<std::size_t>(worker)];
                                 const std::int64_t before = mine.survey.considered;
                                 visit_family(families_[first + static_cast<std::size_t>(task)],
                                              bounds(worker), gathers, mine);
                                 if (gathers) report(mine.survey.considered - before);
                               });
    survey_.fastest.clear();
    survey_.leanest.clear();
    std::erase_if(candidates_,
                  [this](const Candidate& one) { return !standing_.may_matter(one.bound); });
    for (const Gathered& one : gathered) {
      survey_.add(one.survey, standing_, kept_);
      candidates_.insert(candidates_.end(), one.candidates.begin(), one.candidates.end());
    }
  }

  void visit_family(const LayoutFamily& family,
                    LayoutBounds& bounds,
                    bool gathers,
                    Gathered& gathered) const {
    Survey& mine = gathered.survey;
    const auto consider = [&](const ParallelLayout& layout, const LayoutBound& bound) {
      if (!standing_.may_matter(bound)) return;
      const Candidate one{layout, bound};
      add_first(mine.fastest[layout.schedule], one, standing_, kept_);
      keep_leaner(mine, one);
      if (gathers) gathered.candidates.push_back(one);
    };
    bounds.visit(family, [&](const ParallelLayout& layout, const LayoutBound& staying,
                             const LayoutBound& offloaded) {
      const bool stays = standing_.fits(staying);
      const bool leaves = !stays && standing_.fits(offloaded);
      mine.feasible += stays || leaves ? 1 : 0;
      mine.need_offload += leaves ? 1 : 0;
      note_least(layout, staying, offloaded, bounds.all_off(), mine);
      if (stays) consider(layout, staying);
      if (standing_.may_matter(offloaded)) bounds.visit_offloads(consider);
    });
  }

  static void note_least(const ParallelLayout& layout,
                         const LayoutBound& staying,
                         const LayoutBound& offloaded,
                         const spec::Offload& all_off,
                         Survey& survey) {
    const bool leaves = offloaded.memory_bytes < staying.memory_bytes;
    const LayoutBound& least = leaves ? offloaded : staying;
    const bool is_first = survey.considered++ == 0;
    if (!is_first && least.memory_bytes > survey.least_memory.bound.memory_bytes) return;
    Candidate one{layout, least};
    if (leaves) one.layout.offload = all_off;
    if (is_first || needs_less(one, survey.least_memory)) survey.least_memory = one;
  }

  // A few layouts, likely the best or on the front: the more they beat, the fewer are played.
  std::vector<Candidate> seeds() const {
    std::vector<Candidate> found;
    for (const auto& [kind, list] : survey_.fastest)
      found.insert(found.end(), list.begin(), list.end());
    for (const auto& [at, one] : survey_.leanest)
      found.push_back(one);
    sort(found);
    const auto same = [](const Candidate& a, const Candidate& b) { return a.layout == b.layout; };
    found.erase(std::unique(found.begin(), found.end(), same), found.end());
    return found;
  }

  // The fastest that the candidates from `first` on, or those played, may be.
  double fastest_from(std::size_t first) const {
    double least = standing_.front().empty() ? least_step_s(space_.spec())
                                             : standing_.front().front().figures.step_s;
    for (std::size_t i = first; i < candidates_.size(); ++i)
      least = std::min(least, candidates_[i].bound.step_s);
    return least;
  }

  // Each once, whatever it offloads.
  std::int64_t layouts_played() const {
    std::set<ParallelLayout, ByFields> layouts;
    for (ParallelLayout layout : tried_) {
      layout.offload = {};
      layouts.insert(layout);
    }
    return std::ssize(layouts);
  }

  // Plays those of a list that may matter, a few at a time; what they beat is not played. Returns
  // how many of the list are dealt with: all, unless stopped.
  std::size_t play(const std::vector<Candidate>& list) {
    constexpr std::size_t kAtATime = 16;
    std::size_t next = 0;
    while (next < list.size()) {
      std::vector<const Candidate*> some;
      const std::size_t first = next;
      for (; next < list.size() && some.size() < kAtATime; ++next) {
        const Candidate& one = list[next];
        if (standing_.may_matter(one.bound) && tried_.count(one.layout) == 0) some.push_back(&one);
      }
      if (is_stopped() && !standing_.best().empty()) return first;
      std::vector<std::optional<FoundLayout>> found(some.size());
      control_.pool.parallel_for(static_cast<std::int64_t>(some.size()), [&](std::int64_t i, int) {
        found[static_cast<std::size_t>(i)] = figures_of(some[static_cast<std::size_t>(i)]->layout);
      });
      for (std::size_t i = 0; i < some.size(); ++i) {
        tried_.insert(some[i]->layout);
        if (found[i]) standing_.add(*found[i]);
      }
    }
    return next;
  }

  std::optional<FoundLayout> figures_of(const ParallelLayout& layout) const {
    RunSpec spec = space_.spec();
    spec.layout = layout;
    const Result<LayoutFigures> figures = layout_figures(spec);
    TERA_CHECK(figures, "a legal layout cannot be played: {}", figures.error().message);
    return FoundLayout{.layout = layout,
                       .figures = *figures,
                       .usd = usd_of(spec, figures->step_s, figures->busy_share)};
  }

  void sort(std::vector<Candidate>& list) const {
    std::sort(list.begin(), list.end(), [this](const Candidate& a, const Candidate& b) {
      return standing_.comes_first(a, b);
    });
  }

  struct ByFields {
    bool operator()(const ParallelLayout& a, const ParallelLayout& b) const {
      return comes_before(a, b);
    }
  };

  const SearchControl& control_;
  SearchSpace space_;
  MemoryLimits limits_;
  Standing standing_;
  std::size_t kept_;  // fastest layouts of each schedule that are played first
  std::vector<LayoutFamily> families_;
  std::vector<std::optional<LayoutBounds>> workers_;
  Survey survey_;
  std::vector<Candidate> candidates_;
  std::set<ParallelLayout, ByFields> tried_;
  std::atomic<std::int64_t> done_ = 0;
  std::mutex reporting_;
};

}  // namespace

bool comes_before(const ParallelLayout& a, const ParallelLayout& b) {
  const auto key = [](const ParallelLayout& l) {
    return std::tuple{l.tensor_parallel_size,
                      l.context_parallel_size,
                      l.data_parallel_size,
                      l.pipeline_parallel_size,
                      l.expert_parallel_size,
                      l.expert_tensor_parallel_size,
                      l.rank_order,
                      l.virtual_stages,
                      l.ends_count_as_layers,
                      l.zero_stage,
                      l.sequence_parallel,
                      l.micro_batch_size,
                      l.schedule,
                      l.recompute,
                      l.offload.weights,
                      l.offload.gradients,
                      l.offload.optimizer,
                      l.offload.activations};
  };
  return key(a) < key(b);
}

double least_step_s(const RunSpec& spec) {
  RunSpec one = spec;
  one.layout = ParallelLayout{};
  const RankMesh mesh = *RankMesh::make(one.layout);
  const double peak = LayerCost(one, mesh).peak_flops_per_s();
  return static_cast<double>(spec.tokens_per_step()) * train_flops_per_token(spec) /
         (peak * static_cast<double>(spec.cluster.num_devices()));
}

Result<SearchResult> search_layouts(const RunSpec& spec,
                                    const SearchOptions& options,
                                    const SearchControl& control) {
  RunSpec alone = spec;  // what is wrong of it is not the layout
  alone.layout = ParallelLayout{};
  const std::vector<Diagnostic> found = spec::validate(alone);
  const auto wrong = std::find_if(found.begin(), found.end(), [](const Diagnostic& d) {
    return d.severity == Severity::error;
  });
  if (wrong != found.end()) {
    return fail(ErrorCode::invalid_input, fmt::format("{}: {}", wrong->field, wrong->message),
                wrong->hint);
  }
  if (!spec::is_described(spec.cluster)) {
    return fail(ErrorCode::invalid_input, "cluster: not described, so there is nothing to search",
                "add `cluster: {preset: this-machine}`");
  }
  if (options.top < 1) return fail(ErrorCode::invalid_input, "top: expected at least 1");
  LayoutSearch search(spec, options, control);
  if (search.space().num_layouts() == 0)
    return tl::unexpected<Error>(nothing_legal(spec, options.fixed));
  SearchResult result = search.run();
  if (result.best.empty() && result.complete)
    return tl::unexpected<Error>(nothing_fits(spec, options, control, result));
  return result;
}
}  // namespace tera::plan
