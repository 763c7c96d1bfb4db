#include "core/plan/term.h"

#include <gtest/gtest.h>

namespace tera::plan {
namespace {

Term leaf(const char* label, double value) {
  return {.label = label, .value = value, .unit = "B", .formula = {}, .source = {}, .children = {}};
}

TEST(Term, ParentsAddUpTheirChildren) {
  const Term sum = sum_term("memory", "B", {leaf("weights", 2), leaf("gradients", 3)});
  EXPECT_EQ(sum.value, 5);
  EXPECT_EQ(sum.formula, "weights + gradients");
  Term fitted = leaf("fragmentation", 1);
  fitted.origin = spec::Origin::calibrated;
  EXPECT_EQ(sum.origin, spec::Origin::analytic);
  EXPECT_EQ(sum_term("all", "B", {fitted, sum}).origin, spec::Origin::calibrated);
  EXPECT_EQ(sum_term("nothing", "B", {}).value, 0);
  EXPECT_EQ(sum_term("nothing", "B", {}).formula, "none");
}

TEST(Term, PathsFindTerms) {
  const Term root = sum_term("root", "B", {sum_term("a", "B", {leaf("b c", 1)}), leaf("d", 2)});
  EXPECT_EQ(find_term(root, ""), &root);
  ASSERT_NE(find_term(root, "a/b c"), nullptr);
  EXPECT_EQ(find_term(root, "a/b c")->value, 1);
  for (const char* path : {"x", "a/x", "d/x", "A", "/", "a//b c"})
    EXPECT_EQ(find_term(root, path), nullptr) << path;
}

TEST(Term, PathsOfAllTermsParentsFirst) {
  const Term root = sum_term("root", "B", {sum_term("a", "B", {leaf("b c", 1)}), leaf("d", 2)});
  EXPECT_EQ(term_paths(root), (std::vector<std::string>{"a", "a/b c", "d"}));
  EXPECT_TRUE(term_paths(leaf("d", 2)).empty());
}

}  // namespace
}  // namespace tera::plan
