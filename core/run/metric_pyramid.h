// Min/max pyramid of a growing series: what a chart of any window shows at pixel resolution, in
// microseconds, with every one-sample spike kept; and its full-resolution smoothing.
#pragma once
#include <cstdint>
#include <vector>

namespace tera::run {

struct PyramidColumn {  // one pixel column; count 0 = no sample in it
  std::int64_t count = 0;
  double first = 0, min = 0, max = 0, last = 0;
  double x_first = 0, x_min = 0, x_max = 0, x_last = 0;  // x of those samples
};

class MetricPyramid {
 public:
  // x must not fall; NaN y is a gap (kept, shown as a break).
  void append(double x, double y);
  void truncate_from(double x);  // drops samples with this x or later
  void clear();
  std::int64_t size() const { return static_cast<std::int64_t>(x_.size()); }
  double x(std::int64_t i) const { return x_[static_cast<std::size_t>(i)]; }
  double y(std::int64_t i) const { return y_[static_cast<std::size_t>(i)]; }
  // Samples with x in [x_begin, x_end) of num_columns equal columns. O(columns log n).
  std::vector<PyramidColumn> query(double x_begin, double x_end, int num_columns) const;

 private:
  struct Node {
    double min, max;
    std::int64_t at_min, at_max;
  };
  std::vector<double> x_, y_;
  std::vector<std::vector<Node>> levels_;  // factor 8 per level
};

// Bias-corrected exponential moving average, O(1) per point: ema_t = sum b^(t-i) y_i / sum b^(t-i).
class Smoother {
 public:
  explicit Smoother(double beta = 0.95) : beta_(beta) {}
  double append(double y);  // NaN leaves the average as it is
  void clear();

 private:
  double beta_, sum_ = 0, weight_ = 0;
};

}  // namespace tera::run
