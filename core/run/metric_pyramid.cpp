#include "core/run/metric_pyramid.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"

namespace tera::run {
namespace {

constexpr std::int64_t kFactor = 8;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

void MetricPyramid::merge(Node& into, const Node& next) {
  if (next.at_min >= 0 && (into.at_min < 0 || next.min < into.min)) {
    into.min = next.min;
    into.at_min = next.at_min;
  }
  if (next.at_max >= 0 && (into.at_max < 0 || next.max > into.max)) {
    into.max = next.max;
    into.at_max = next.at_max;
  }
}

MetricPyramid::Node MetricPyramid::sample(std::int64_t i) const {
  const double y = y_[at(i)];
  const std::int64_t index = std::isnan(y) ? -1 : i;
  return {y, y, index, index};
}

void MetricPyramid::append(double x, double y) {
  TERA_CHECK(!std::isnan(x), "x of sample {} is NaN", size());
  TERA_CHECK(x_.empty() || x >= x_.back(), "x falls from {} to {} at sample {}", x_.back(), x,
             size());
  const std::int64_t i = size();
  x_.push_back(x);
  y_.push_back(y);
  const Node leaf = sample(i);
  // Every level holds a node for the samples it has so far; a level starts when it has two nodes
  // below it.
  std::int64_t node = i / kFactor;
  for (std::size_t level = 0;; ++level, node /= kFactor) {
    if (level == levels_.size()) {
      if (level > 0 && levels_[level - 1].size() < 2) break;
      levels_.emplace_back();
      if (level > 0) {  // the nodes below that came before it
        const std::vector<Node>& below = levels_[level - 1];
        Node first = below.front();
        for (std::size_t child = 1; child < below.size(); ++child)
          merge(first, below[child]);
        levels_[level].push_back(first);
        continue;
      }
    }
    std::vector<Node>& nodes = levels_[level];
    if (at(node) == nodes.size()) {
      nodes.push_back(leaf);
    } else {
      merge(nodes.back(), leaf);
    }
  }
}

void MetricPyramid::truncate_from(double x) {
  const std::int64_t kept = lower_bound(x, 0);
  x_.resize(at(kept));
  y_.resize(at(kept));
  if (kept == 0) {
    levels_.clear();
    return;
  }
  // Whole nodes stay; the last one of each level is made again from what is left below it.
  std::int64_t span = kFactor;
  for (std::size_t level = 0; level < levels_.size(); ++level, span *= kFactor) {
    std::vector<Node>& nodes = levels_[level];
    const std::int64_t num_nodes = (kept + span - 1) / span;
    if (num_nodes == static_cast<std::int64_t>(nodes.size()) && kept % span == 0) continue;
    nodes.resize(at(num_nodes));
    const std::int64_t first = (num_nodes - 1) * kFactor;
    const std::int64_t last =
        level == 0 ? kept : static_cast<std::int64_t>(levels_[level - 1].size());
    Node& node = nodes.back();
    node = level == 0 ? sample(first) : levels_[level - 1][at(first)];
    for (std::int64_t child = first + 1; child < std::min(last, first + kFactor); ++child)
      merge(node, level == 0 ? sample(child) : levels_[level - 1][at(child)]);
  }
  while (levels_.size() > 1 && levels_[levels_.size() - 2].size() < 2)
    levels_.pop_back();
}

void MetricPyramid::clear() {
  x_.clear();
  y_.clear();
  levels_.clear();
}

// Samples [begin, end), end > begin: whole nodes in the middle, single samples at the borders.
MetricPyramid::Node MetricPyramid::range(std::int64_t begin, std::int64_t end) const {
  Node all = sample(begin);
  for (std::int64_t i = begin + 1; i < end;) {
    std::int64_t span = 1;
    std::size_t level = 0;
    while (level < levels_.size() && i % (span * kFactor) == 0 && i + span * kFactor <= end) {
      span *= kFactor;
      ++level;
    }
    merge(all, level == 0 ? sample(i) : levels_[level - 1][at(i / span)]);
    i += span;
  }
  return all;
}

std::int64_t MetricPyramid::lower_bound(double x, std::int64_t from) const {
  return std::lower_bound(x_.begin() + from, x_.end(), x) - x_.begin();
}

double MetricPyramid::column_edge(double x_begin, double x_end, int num_columns, int column) {
  if (column >= num_columns) return x_end;
  return std::min(x_end, x_begin + (x_end - x_begin) * (static_cast<double>(column) / num_columns));
}

std::vector<PyramidColumn> MetricPyramid::query(double x_begin,
                                                double x_end,
                                                int num_columns) const {
  if (num_columns <= 0 || !(x_end > x_begin)) return {};
  std::vector<PyramidColumn> columns(at(num_columns));
  std::int64_t begin = lower_bound(x_begin, 0);
  for (int c = 0; c < num_columns; ++c) {
    const std::int64_t end = lower_bound(column_edge(x_begin, x_end, num_columns, c + 1), begin);
    if (end == begin) continue;
    const Node node = range(begin, end);
    PyramidColumn& column = columns[at(c)];
    column.count = end - begin;
    column.first = y_[at(begin)];
    column.last = y_[at(end - 1)];
    column.x_first = x_[at(begin)];
    column.x_last = x_[at(end - 1)];
    column.min = node.at_min >= 0 ? node.min : kNaN;
    column.max = node.at_max >= 0 ? node.max : kNaN;
    column.x_min = node.at_min >= 0 ? x_[at(node.at_min)] : column.x_first;
    column.x_max = node.at_max >= 0 ? x_[at(node.at_max)] : column.x_first;
    begin = end;
  }
  return columns;
}

double Smoother::append(double y) {
  if (std::isfinite(y)) {
    sum_ = beta_ * sum_ + y;
    weight_ = beta_ * weight_ + 1;
  }
  return weight_ > 0 ? sum_ / weight_ : kNaN;
}

void Smoother::clear() {
  sum_ = 0;
  weight_ = 0;
}

}  // namespace tera::run
