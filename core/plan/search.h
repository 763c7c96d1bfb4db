// The best layouts of a model on a cluster, proven best with respect to the model of estimate():
// every legal layout is compared in closed form (layout_bounds.h), and those that may still be
// among the best have their schedule played (layout_figures.h). The result is the same for any
// number of threads.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/plan/layout_figures.h"
#include "core/plan/search_space.h"

namespace tera::plan {

enum class SearchObjective : std::uint8_t { time, cost, memory };

struct SearchOptions {
  FixedAxes fixed = {};
  SearchObjective objective = SearchObjective::time;
  double memory_limit_bytes = 0;  // of a rank; 0: what a device has
  int top = 20;                   // layouts to find
};

struct FoundLayout {
  spec::ParallelLayout layout;
  LayoutFigures figures;
  double usd = 0;  // of the whole run
};

struct SearchResult {
  std::int64_t considered = 0;       // legal layouts whose bounds were worked out
  std::int64_t ways_to_offload = 1;  // of each of them, nothing too
  std::int64_t feasible = 0;         // of those layouts, that fit into a device
  std::int64_t need_offload = 0;     // of those, that do if something leaves it
  std::int64_t played = 0;           // of those, and what they offload, whose schedule was played
  bool complete = false;             // all others are beaten: `best` and `pareto` are proven
  double lower_bound_s = 0;          // no layout that fits is faster
  double memory_limit_bytes = 0;
  double least_memory_bytes = 0;  // of all considered, and the layout that needs it
  spec::ParallelLayout least_memory;
  // Layouts by reason: "memory", "slower by bound", "slower when played"; and of the parts that
  // they are made of, those that validation refuses, by the field it names.
  std::map<std::string, std::int64_t> rejected;
  // By the objective, then time, memory, and layout; each with what serves it best to offload.
  std::vector<FoundLayout> best;
  std::vector<FoundLayout> pareto;  // by time: each needs less memory than all faster ones
};

struct SearchProgress {
  std::int64_t done = 0;  // layouts
  std::int64_t total = 0;
};
struct SearchControl {
  ThreadPool& pool;
  const std::atomic<int>& stop;                       // not 0: return the best so far
  std::function<void(const SearchProgress&)> report;  // from any thread, one at a time
};

// Errors: a spec whose model or training has errors; no legal layout, or none that fits, naming
// what binds and the smallest step that would help.
Result<SearchResult> search_layouts(const spec::RunSpec& spec,
                                    const SearchOptions& options,
                                    const SearchControl& control);

// Seconds below which no layout can be: model FLOPs at the peak of all devices.
double least_step_s(const spec::RunSpec& spec);

// Order of layouts that are equally good: by their fields, in the order of the struct.
bool comes_before(const spec::ParallelLayout& a, const spec::ParallelLayout& b);

}  // namespace tera::plan
