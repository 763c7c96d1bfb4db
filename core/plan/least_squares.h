// Weighted linear least squares with few unknowns.
#pragma once
#include <cstddef>
#include <vector>

namespace tera::plan {

class NormalEquations {
 public:
  explicit NormalEquations(std::size_t num_unknowns)
      : matrix_(num_unknowns, std::vector<double>(num_unknowns, 0)), right_(num_unknowns, 0) {}

  // weight (slopes . x - value)^2 is to be small.
  void add(const std::vector<double>& slopes, double value, double weight);
  // x by Cholesky decomposition. The equations must determine every unknown (contract): a prior
  // row for each does.
  std::vector<double> solve() const;
  // The best x with low <= x <= high, which a solution cut off at the bounds is not: the others
  // take over what one at its bound cannot. Bounds: one for each unknown, low <= high (contract).
  // Stark and Parker 1995, bounded-variable least squares.
  std::vector<double> solve_within(const std::vector<double>& low,
                                   const std::vector<double>& high) const;

 private:
  // Of `free` unknowns, the others staying as they are in `x`.
  std::vector<double> solve_free(const std::vector<double>& x,
                                 const std::vector<std::size_t>& free) const;

  std::vector<std::vector<double>> matrix_;
  std::vector<double> right_;
};

}  // namespace tera::plan
