// Constant: a number that the planner takes from the world, and where it is from.
//
// Numbers in this folder are of three kinds; tests/core/plan/constants_test.cpp reads the sources:
//   structural   whole numbers up to 16, powers of two and of ten, conversions of units: they
//                follow from the formula they stand in
//   of the world measurements, defaults of other software, assumptions: a Constant, or a row of a
//                table, with the source within the same braces
//   of computing rounds, tolerances, lengths of lists: named, and listed in the test
#pragma once
#include <string_view>

namespace tera::plan {

struct Constant {
  std::string_view name;
  double value = 0;
  std::string_view unit;       // empty: a ratio
  bool is_calibrated = false;  // fitted to published step times
  std::string_view source;
};

}  // namespace tera::plan
