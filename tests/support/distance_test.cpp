#include "tests/support/distance.h"

#include <vector>

#include <gtest/gtest.h>

namespace tera::test {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Distance, IsTheLargestDifferenceOverTheLargestExpectedValue) {
  const std::vector<float> got = {1.0F, -6.0F, 2.0F};
  const std::vector<double> expected = {1.5, -8.0, 2.0};
  EXPECT_EQ(largest_magnitude(got), 6.0);
  EXPECT_EQ(largest_difference(got, expected), 2.0);
  EXPECT_EQ(relative_distance(got, expected), 0.25);
  EXPECT_EQ(relative_distance(std::vector<double>(3), std::vector<double>(3)), 0.0);
}

// Wherever it stands, on either side or on both, and whichever way the result is compared.
TEST(Distance, OfAValueThatIsNotFinitePassesNoComparison) {
  for (const double bad : {kNaN, kInfinity, -kInfinity}) {
    for (std::size_t at = 0; at < 3; ++at) {
      const std::vector<double> good = {1, 2, 3};
      std::vector<double> spoilt = good;
      spoilt[at] = bad;
      for (const double distance :
           {relative_distance(spoilt, good), relative_distance(good, spoilt),
            relative_distance(spoilt, spoilt), largest_magnitude(spoilt)}) {
        EXPECT_FALSE(distance < 1e300);
        EXPECT_FALSE(distance > 0);
      }
    }
  }
}

TEST(Distance, OfDifferentLengthsPassesNoComparison) {
  EXPECT_FALSE(largest_difference(std::vector<double>{1}, std::vector<double>{1, 1}) < 1e300);
}

}  // namespace
}  // namespace tera::test
