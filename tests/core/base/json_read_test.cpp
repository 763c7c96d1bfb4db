#include "core/base/json_read.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tera {
namespace {

TEST(ParseJson, BoundsSizeAndDepth) {
  EXPECT_FALSE(parse_json(std::string(100, '['), {.max_bytes = 1000, .max_depth = 50}));
  EXPECT_FALSE(parse_json("[1, 2, 3]", {.max_bytes = 4, .max_depth = 50}));
  EXPECT_TRUE(parse_json("[\"[[[[[[\"]", {.max_bytes = 100, .max_depth = 2}));
  const Result<nlohmann::json> bad = parse_json("{\"a\": 1,}", {});
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, testing::HasSubstr("not JSON"));
  EXPECT_FALSE(parse_json("\"\xff\"", {}));  // not UTF-8
}

TEST(ParseJson, RefusesAKeyGivenTwiceWhenAsked) {
  const JsonLimits strict{.unique_keys = true};
  EXPECT_TRUE(parse_json(R"({"a": {"b": 1}, "b": {"b": 2}})", strict));
  const Result<nlohmann::json> twice = parse_json(R"({"a": {"b": 1, "c": 2, "b": 3}})", strict);
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message, testing::HasSubstr("\"b\" is given twice"));
  EXPECT_TRUE(parse_json(R"({"b": 1, "b": 3})", {}));
}

}  // namespace
}  // namespace tera
