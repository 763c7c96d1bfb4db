// Min/max pyramid of a growing series: what a chart of any window shows at pixel resolution, in
// microseconds, with every one-sample spike kept; and its full-resolution smoothing.
#pragma once
#include <cstdint>
#include <vector>

namespace tera::run {

// One pixel column: its samples in short. NaN samples are gaps: they count, may be first or last
// (the line breaks there), and are never min or max. A column of NaN alone has min = max = NaN.
struct PyramidColumn {
  std::int64_t count = 0;  // 0 = no sample in it
  double first = 0, min = 0, max = 0, last = 0;
  double x_first = 0, x_min = 0, x_max = 0, x_last = 0;  // x of those samples; ties: the earliest
};

class MetricPyramid {
 public:
  // x must not fall and not be NaN (ContractError); NaN y is a gap, kept and shown as a break.
  void append(double x, double y);
  void truncate_from(double x);  // drops samples with this x or later
  void clear();
  std::int64_t size() const { return static_cast<std::int64_t>(x_.size()); }
  double x(std::int64_t i) const { return x_[static_cast<std::size_t>(i)]; }
  double y(std::int64_t i) const { return y_[static_cast<std::size_t>(i)]; }
  // Left edge of a column; column_edge(..., num_columns, num_columns) is x_end exactly. A sample is
  // in column c when column_edge(c) <= x < column_edge(c + 1).
  static double column_edge(double x_begin, double x_end, int num_columns, int column);
  // Samples with x in [x_begin, x_end) of num_columns equal columns. O(columns log n). Empty when
  // the window or num_columns is.
  std::vector<PyramidColumn> query(double x_begin, double x_end, int num_columns) const;

 private:
  struct Node {  // of up to factor^(level + 1) samples; at < 0: all of them NaN
    double min, max;
    std::int64_t at_min, at_max;
  };
  static void merge(Node& into, const Node& next);
  Node sample(std::int64_t i) const;
  Node range(std::int64_t begin, std::int64_t end) const;
  std::int64_t lower_bound(double x, std::int64_t from) const;

  std::vector<double> x_, y_;
  std::vector<std::vector<Node>> levels_;  // factor 8 per level
};

// Bias-corrected exponential moving average, O(1) per point: ema_t = sum b^(t-i) y_i / sum b^(t-i).
class Smoother {
 public:
  explicit Smoother(double beta = 0.95) : beta_(beta) {}
  // NaN and infinities leave the average as it is; NaN before the first finite value.
  double append(double y);
  void clear();

 private:
  double beta_, sum_ = 0, weight_ = 0;
};

}  // namespace tera::run
