#include "core/base/resources.h"

#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/support/scoped_variable.h"

namespace tera {
namespace {

namespace fs = std::filesystem;

TEST(Resources, FoundInTheSourceTree) {
  const Result<fs::path> dir = resource_dir();
  ASSERT_TRUE(dir.has_value()) << dir.error().message;
  EXPECT_TRUE(fs::is_directory(*dir / "models"));
  const auto names = resource_names("models", ".yaml");
  ASSERT_TRUE(names.has_value());
  EXPECT_TRUE(std::is_sorted(names->begin(), names->end()));
  EXPECT_NE(std::find(names->begin(), names->end(), "tiny-moe"), names->end());
}

TEST(Resources, EnvironmentComesFirst) {
  const fs::path dir = fs::path(testing::TempDir()) / "tera-resources";
  fs::create_directories(dir / "models");
  const test::ScopedVariable here("TERA_RESOURCE_DIR", dir);
  const Result<fs::path> found = resource_dir();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(*found, dir);
  fs::remove_all(dir);
}

TEST(Resources, AMissingFileIsNamed) {
  const auto missing = resource_path("models/no-such-model.yaml");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(missing.error().message.find("no-such-model"), std::string::npos);
}

}  // namespace
}  // namespace tera
