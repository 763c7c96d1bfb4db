// Axes of a layout that a person holds to some of their values, for a search.
#pragma once
#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/spec/parallel_layout.h"

namespace tera::plan {

// Fields of the layout that no search chooses: how sure a plan has to be, and ways to do what sizes
// ask for. They are what the spec says, or the one value that they are held to.
inline constexpr std::array<std::string_view, 4> kHeldAxes = {
    "expert_load_percentile", "context_parallel_method", "zero_replicas", "expert_dispatcher"};

class FixedAxes {
 public:
  // "tensor_parallel_size=8", "schedule=1f1b,interleaved": names and values are those of layout.
  // Errors: an unknown axis, with the nearest; a value that is none of its; several values of an
  // axis that is not searched; a schedule_file, which is of one layout alone.
  static Result<FixedAxes> parse(const std::vector<std::string>& texts);

  bool has(std::string_view axis) const { return layouts_.find(axis) != layouts_.end(); }
  bool empty() const { return layouts_.empty(); }
  // name -> values, as written
  const std::map<std::string, std::string, std::less<>>& texts() const { return texts_; }
  FixedAxes without(const std::string& axis) const;

  // Those of `values` that the axis may have; read(layout) is what a layout has there.
  template <class T, class Read>
  std::vector<T> allowed(std::string_view axis, std::vector<T> values, const Read& read) const {
    const auto held = layouts_.find(axis);
    if (held == layouts_.end()) return values;
    std::erase_if(values, [&](const T& value) {
      return std::none_of(
          held->second.begin(), held->second.end(),
          [&](const spec::ParallelLayout& layout) { return read(layout) == value; });
    });
    return values;
  }
  template <class T>
  std::vector<T> allowed(std::string_view axis,
                         std::vector<T> values,
                         T spec::ParallelLayout::*field) const {
    return allowed(axis, std::move(values),
                   [field](const spec::ParallelLayout& layout) { return layout.*field; });
  }
  bool allows(std::string_view axis, int value, int spec::ParallelLayout::*field) const {
    return !allowed<int>(axis, {value}, field).empty();
  }

 private:
  std::map<std::string, std::string, std::less<>> texts_;
  // name -> layouts with that field set, one for each value
  std::map<std::string, std::vector<spec::ParallelLayout>, std::less<>> layouts_;
};

}  // namespace tera::plan
