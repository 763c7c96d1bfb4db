#include "core/plan/least_squares.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace tera::plan {
namespace {

TEST(LeastSquares, FindsTheLineThroughPoints) {
  NormalEquations equations(2);  // y = 3 x - 1
  for (const double x : {0.0, 1.0, 2.0, 5.0})
    equations.add({x, 1}, 3 * x - 1, 1);
  const std::vector<double> solution = equations.solve();
  EXPECT_NEAR(solution[0], 3, 1e-12);
  EXPECT_NEAR(solution[1], -1, 1e-12);
}

TEST(LeastSquares, WeightsDrawTheSolution) {
  NormalEquations equations(1);
  equations.add({1}, 0, 1);
  equations.add({1}, 1, 3);
  EXPECT_NEAR(equations.solve()[0], 0.75, 1e-12);
}

// x + y = 2, with hardly a preference between the two: what x may not take, y does.
TEST(LeastSquares, AtABoundTheOthersTakeOver) {
  NormalEquations equations(2);
  equations.add({1, 1}, 2, 1);
  for (const std::vector<double>& slopes : {std::vector<double>{1, 0}, {0, 1}})
    equations.add(slopes, 1, 1e-6);
  const std::vector<double> free = equations.solve_within({-9, -9}, {9, 9});
  EXPECT_NEAR(free[0], 1, 1e-9);
  EXPECT_NEAR(free[1], 1, 1e-9);
  const std::vector<double> bounded = equations.solve_within({-9, -9}, {0.5, 9});
  EXPECT_EQ(bounded[0], 0.5);
  EXPECT_NEAR(bounded[1], 1.5, 1e-5);
  const std::vector<double> other = equations.solve_within({1.25, -9}, {9, 0.25});
  EXPECT_NEAR(other[0], 1.75, 1e-5);
  EXPECT_EQ(other[1], 0.25);
  EXPECT_EQ(equations.solve_within({0.2, 0.3}, {0.2, 0.3}), (std::vector<double>{0.2, 0.3}));
}

// No step within the bounds makes the sum of squares smaller.
TEST(LeastSquares, NothingWithinTheBoundsIsBetter) {
  std::mt19937 random(17);
  std::uniform_real_distribution<double> share(0, 1);
  const auto number = [&] { return 2 * share(random) - 1; };
  constexpr std::size_t kUnknowns = 6;
  for (int round = 0; round < 200; ++round) {
    NormalEquations equations(kUnknowns);
    std::vector<std::vector<double>> rows;
    std::vector<double> values;
    for (int row = 0; row < 9; ++row) {
      rows.emplace_back();
      for (std::size_t i = 0; i < kUnknowns; ++i)
        rows.back().push_back(number());
      values.push_back(3 * number());
      equations.add(rows.back(), values.back(), 1);
    }
    std::vector<double> low, high;
    for (std::size_t i = 0; i < kUnknowns; ++i) {
      low.push_back(number() - 0.5);
      high.push_back(low.back() + share(random));
    }
    const std::vector<double> x = equations.solve_within(low, high);
    const auto squares = [&](const std::vector<double>& at) {
      double sum = 0;
      for (std::size_t row = 0; row < rows.size(); ++row) {
        double rest = -values[row];
        for (std::size_t i = 0; i < kUnknowns; ++i)
          rest += rows[row][i] * at[i];
        sum += rest * rest;
      }
      return sum;
    };
    for (std::size_t i = 0; i < kUnknowns; ++i) {
      EXPECT_GE(x[i], low[i]);
      EXPECT_LE(x[i], high[i]);
      for (const double step : {-1e-3, 1e-3}) {
        std::vector<double> beside = x;
        beside[i] = std::clamp(x[i] + step, low[i], high[i]);
        EXPECT_LE(squares(x), squares(beside) + 1e-12) << "round " << round << ", unknown " << i;
      }
    }
  }
}

}  // namespace
}  // namespace tera::plan
