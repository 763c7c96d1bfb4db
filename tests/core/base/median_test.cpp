#include "core/base/median.h"

#include <gtest/gtest.h>

namespace tera {
namespace {

TEST(Median, IsTheMiddleOfAnOddNumber) {
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({9, -1, 4, 4, 100}), 4);
}

TEST(Median, IsTheMeanOfTheTwoMiddleOnesOfAnEvenNumber) {
  EXPECT_EQ(median({1, 2}), 1.5);
  EXPECT_EQ(median({8, 100, -3, 2}), 5);
}

}  // namespace
}  // namespace tera
