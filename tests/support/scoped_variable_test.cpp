#include "tests/support/scoped_variable.h"

#include <gtest/gtest.h>

namespace tera::test {
namespace {

TEST(ScopedVariable, IsAgainWhatItWas) {
  const ScopedVariable outer("TERA_SCOPED", "before");
  {
    const ScopedVariable inner("TERA_SCOPED", "here");
    EXPECT_STREQ(std::getenv("TERA_SCOPED"), "here");
    const ScopedVariable none("TERA_SCOPED", std::nullopt);
    EXPECT_EQ(std::getenv("TERA_SCOPED"), nullptr);
  }
  EXPECT_STREQ(std::getenv("TERA_SCOPED"), "before");
}

TEST(ScopedVariable, IsGoneWhereItWasNotThere) {
  { const ScopedVariable here("TERA_SCOPED", ""); }
  EXPECT_EQ(std::getenv("TERA_SCOPED"), nullptr);
}

}  // namespace
}  // namespace tera::test
