#include "core/spec/scalars.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "core/spec/model_config.h"

namespace tera::spec {
namespace {

constexpr Field kAny{.name = "x"};
constexpr Field kSmall{.name = "x", .min = 1, .max = 4096};

TEST(AssignScalar, WholeNumbersInEveryWayAPersonWritesThem) {
  int value = 0;
  for (const auto& [text, expected] : {std::pair{"7", 7},
                                       {"+7", 7},
                                       {"4k", 4000},
                                       {"4*1024", 4096},
                                       {"4e3", 4000},
                                       {"2Ki", 2048}}) {
    ASSERT_TRUE(assign_scalar(kSmall, text, value)) << text;
    EXPECT_EQ(value, expected) << text;
  }
}

TEST(AssignScalar, WholeNumbersRefuseWhatIsNoneAndKeepTheOldValue) {
  int value = 5;
  for (const char* text : {"", "abc", "1.5", "0", "4097", "-1", "nan", "inf", "1e300",
                           "99999999999999999999", "0x10", "1 2", "--3"}) {
    EXPECT_FALSE(assign_scalar(kSmall, text, value)) << text;
  }
  EXPECT_EQ(value, 5);
  EXPECT_EQ(assign_scalar(kSmall, "5000", value).error().message,
            "got '5000', expected a whole number from 1 to 4096");
  EXPECT_EQ(assign_scalar(kSmall, "5000", value).error().hint, "use at most 4096");
  EXPECT_EQ(assign_scalar(kSmall, "2.5", value).error().hint, "use 2 or 3");
}

TEST(AssignScalar, LargeIntegersAreExact) {
  std::int64_t value = 0;
  ASSERT_TRUE(assign_scalar(kAny, "9007199254740993", value));  // not a double
  EXPECT_EQ(value, 9007199254740993);
  std::uint64_t seed = 0;
  EXPECT_FALSE(assign_scalar(kAny, "-1", seed));
  int narrow = 0;
  EXPECT_FALSE(assign_scalar(kAny, "3000000000", narrow));
}

TEST(AssignScalar, BooleansAndWords) {
  bool flag = false;
  ASSERT_TRUE(assign_scalar(kAny, "true", flag));
  EXPECT_TRUE(flag);
  EXPECT_EQ(assign_scalar(kAny, "yes", flag).error().hint, "write true");
  ActivationKind activation = ActivationKind::gelu;
  ASSERT_TRUE(assign_scalar(kAny, "relu", activation));
  EXPECT_EQ(activation, ActivationKind::relu);
  const Error error = assign_scalar(kAny, "swigul", activation).error();
  EXPECT_EQ(error.message,
            "got 'swigul', expected swiglu, gelu, relu, gelu_exact, relu_squared or geglu");
  EXPECT_EQ(error.hint, "did you mean swiglu?");
}

TEST(ScalarText, DoublesReadBackToTheSameBits) {
  std::mt19937_64 random(7);
  const auto check = [](double value) {
    double back = 0;
    ASSERT_TRUE(assign_scalar(kAny, scalar_text(value), back)) << scalar_text(value);
    EXPECT_EQ(std::memcmp(&value, &back, sizeof(value)), 0) << scalar_text(value);
  };
  for (const double value :
       {0.0, -0.0, 0.1, 1e-5, 3.35e12, 5e-324, std::numeric_limits<double>::max()})
    check(value);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t bits = random();
    double value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    if (std::isfinite(value)) check(value);
  }
}

TEST(ScalarText, ExponentsHaveAPointSoThatYaml11ReadersSeeANumber) {
  EXPECT_EQ(scalar_text(1e-5), "1.0e-05");
  EXPECT_EQ(scalar_text(0.1), "0.1");
}

TEST(YamlQuoted, PlainWhereSafeAndQuotedElsewhere) {
  EXPECT_EQ(yaml_quoted("data/train"), "data/train");
  EXPECT_EQ(yaml_quoted("/abs/path-1.bin"), "/abs/path-1.bin");
  for (const char* text : {"", "null", "True", "no", "1.5", "-x", "a b", "a: b", "#x", "&a", "*a",
                           "a\"b", "tab\t", "line\nline", "~", "@x"}) {
    EXPECT_EQ(yaml_quoted(text).front(), '"') << text;
  }
}

}  // namespace
}  // namespace tera::spec
