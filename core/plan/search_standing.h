// What a search knows so far: the best layouts by its objective, and the front of time and memory.
#pragma once
#include <vector>

#include "core/plan/layout_bounds.h"
#include "core/plan/search.h"

namespace tera::plan {

struct Candidate {
  spec::ParallelLayout layout;
  LayoutBound bound;
};

// What the layouts of a search may need: of a device, and of a node off its devices.
struct MemoryLimits {
  double device_bytes = 0;
  double host_bytes = 0;
  double nvme_bytes = 0;
};

// `best` has each layout once, with what serves the objective best of all it may offload; the front
// has any.
class Standing {
 public:
  Standing(const spec::RunSpec& spec, const SearchOptions& options, const MemoryLimits& limits)
      : spec_(spec), options_(options), limits_(limits) {}

  bool fits(const LayoutBound& bound) const;
  // Whether a layout with at least these figures could still be among the best or on the front.
  bool may_matter(const LayoutBound& bound) const;
  void add(const FoundLayout& found);

  // The order in which candidates are tried.
  bool comes_first(const Candidate& a, const Candidate& b) const;

  const std::vector<FoundLayout>& best() const { return best_; }
  const std::vector<FoundLayout>& front() const { return front_; }  // by time, memory falling

 private:
  double value(const FoundLayout& found) const;
  bool is_better(const FoundLayout& a, const FoundLayout& b) const;
  bool may_be_best(const LayoutBound& bound) const;
  void set_slowest();
  bool is_beaten(const LayoutBound& bound) const;
  void add_to_best(const FoundLayout& found);
  void add_to_front(const FoundLayout& found);

  const spec::RunSpec& spec_;
  const SearchOptions& options_;
  MemoryLimits limits_;
  double slowest_s_ = 0;
  std::vector<FoundLayout> best_;
  std::vector<FoundLayout> front_;
};

// Of the whole run; infinite for one that fails more often than it gets on.
double usd_of(const spec::RunSpec& spec, double step_s, double busy_share);

}  // namespace tera::plan
