#include "core/plan/param_slice.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/plan/adapter_table.h"
#include "core/plan/placement.h"

namespace tera::plan {
namespace {

// Indices [global, global + count) of a dim, and where they are in the part.
struct Interval {
  std::int64_t global = 0;
  std::int64_t local = 0;
  std::int64_t count = 0;
  bool first = true;
};

// Of one dim, on the rank that is number `at` of `ranks`.
std::vector<Interval> intervals_of(const ParamSplit& split, int ranks, int at) {
  std::vector<Interval> found;
  std::int64_t begin = 0;
  std::int64_t local = 0;
  for (const std::int64_t part : split.parts) {
    const std::int64_t units = part / split.unit;
    const std::int64_t each = (units + ranks - 1) / ranks;
    Interval here{.local = local};
    if (units < ranks) {  // neighbours hold the same unit
      const std::int64_t unit = at * units / ranks;
      here.global = begin + unit * split.unit;
      here.count = split.unit;
      here.first = at == 0 || (at - 1) * units / ranks != unit;
    } else {
      const std::int64_t from = std::min(units, at * each);
      here.global = begin + from * split.unit;
      here.count = (std::min(units, from + each) - from) * split.unit;
    }
    if (here.count > 0) found.push_back(here);
    begin += part;
    local += each * split.unit;
  }
  return found;
}

std::int64_t product(const std::vector<std::int64_t>& shape, std::size_t begin, std::size_t end) {
  return std::accumulate(shape.begin() + static_cast<std::ptrdiff_t>(begin),
                         shape.begin() + static_cast<std::ptrdiff_t>(end), std::int64_t{1},
                         std::multiplies<>());
}

// What is not split over an axis counts on its first rank.
bool first_of_the_rest(const ParamSpec& param, const RankMesh& mesh, int rank) {
  const auto is_split = [&param](Axis axis) {
    return std::any_of(param.splits.begin(), param.splits.end(),
                       [axis](const ParamSplit& split) { return split.axis == axis; });
  };
  const auto counts = [&](Axis axis) { return is_split(axis) || mesh.coordinate(rank, axis) == 0; };
  return param.is_expert() ? counts(Axis::expert) && counts(Axis::expert_tensor)
                           : counts(Axis::tensor);
}

ParamSlice make_slice(const ParamSpec& param,
                      const std::function<int(Axis)>& size,
                      const std::function<int(Axis)>& coordinate) {
  ParamSlice slice{.shape = param.shape, .row_parts = param.row_parts, .runs = {}};
  const std::size_t dims = param.shape.size();
  std::vector<std::vector<Interval>> intervals;
  std::size_t innermost = 0;  // dim that is split
  for (std::size_t d = 0; d < dims; ++d)
    intervals.push_back({{.count = param.shape[d]}});
  for (const ParamSplit& split : param.splits) {
    const auto d = static_cast<std::size_t>(split.dim);
    const int ranks = size(split.axis);
    if (ranks == 1) continue;
    intervals[d] = intervals_of(split, ranks, coordinate(split.axis));
    slice.shape[d] = split.local_extent(ranks);
    innermost = std::max(innermost, d);
    if (d + 2 == dims) {  // rows
      slice.row_parts.clear();
      for (const std::int64_t part : split.parts)
        slice.row_parts.push_back(
            ParamSplit{.parts = {part}, .unit = split.unit}.local_extent(ranks));
    }
  }
  // Between dim 0 and the innermost split one all are whole, so that one step leads through them.
  const std::int64_t below = product(param.shape, innermost + 1, dims);
  const std::int64_t row = param.shape[innermost] * below;
  const std::int64_t local_row = slice.shape[innermost] * below;
  for (const Interval& outer : innermost > 0 ? intervals[0] : std::vector<Interval>(1)) {
    const std::int64_t between = innermost > 0 ? product(param.shape, 1, innermost) : 1;
    for (const Interval& inner : intervals[innermost]) {
      slice.runs.push_back({.global = outer.global * between * row + inner.global * below,
                            .local = outer.local * between * local_row + inner.local * below,
                            .count = inner.count * below,
                            .repeats = innermost > 0 ? outer.count * between : 1,
                            .global_step = row,
                            .local_step = local_row,
                            .first = outer.first && inner.first});
    }
  }
  return slice;
}

}  // namespace

std::int64_t ParamSlice::num_elements() const {
  return product(shape, 0, shape.size());
}

std::vector<std::pair<std::int64_t, std::int64_t>> ParamSlice::first_ranges() const {
  const auto counts = [](const SliceRun& run) { return run.first; };
  if (std::all_of(runs.begin(), runs.end(), counts)) return {{0, num_elements()}};
  if (std::none_of(runs.begin(), runs.end(), counts)) return {};
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges;
  for_each([&](std::int64_t /*global*/, std::int64_t local, std::int64_t count, bool first) {
    if (first) ranges.emplace_back(local, local + count);
  });
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

ParamSlice slice_of(const ParamSpec& param, const RankMesh& mesh, int rank) {
  ParamSlice slice = make_slice(
      param, [&](Axis axis) { return mesh.size(axis); },
      [&](Axis axis) { return mesh.coordinate(rank, axis); });
  if (!first_of_the_rest(param, mesh, rank)) {
    for (SliceRun& run : slice.runs)
      run.first = false;
  }
  return slice;
}

ParamSlice whole_slice(const ParamSpec& param) {
  const std::int64_t n = param.num_elements();
  return {.shape = param.shape, .row_parts = param.row_parts, .runs = {{.count = n}}};
}

ParamSpec LocalParam::local() const {
  ParamSpec local = spec;
  local.shape = slice.shape;
  local.row_parts = slice.row_parts;
  return local;
}

LocalTable local_table(const spec::RunSpec& spec, const RankMesh& mesh, int rank) {
  const std::vector<StageChunk> chunks = stage_chunks(spec, mesh.coordinate(rank, Axis::pipeline));
  const bool copy = copies_embedding(spec.model, chunks);
  LocalTable table;
  for (ParamSpec& param : make_param_table(spec)) {
    const bool copied = copy && param.name == "embedding.tokens";
    if (!copied && !is_held(param, spec.model, chunks)) continue;
    ParamSlice slice = slice_of(param, mesh, rank);
    if (copied) {
      for (SliceRun& run : slice.runs)
        run.first = false;
    }
    table.push_back({std::move(param), std::move(slice)});
  }
  return table;
}

LocalTable whole_table(ParamTable table) {
  LocalTable local;
  for (ParamSpec& param : table) {
    ParamSlice slice = whole_slice(param);
    local.push_back({std::move(param), std::move(slice)});
  }
  return local;
}

}  // namespace tera::plan
