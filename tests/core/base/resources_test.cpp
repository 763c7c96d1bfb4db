#include "core/base/resources.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

namespace tera {
namespace {

namespace fs = std::filesystem;

class Resources : public testing::Test {
 protected:
  void TearDown() override { unsetenv("TERA_RESOURCE_DIR"); }
};

TEST_F(Resources, FoundInTheSourceTree) {
  const Result<fs::path> dir = resource_dir();
  ASSERT_TRUE(dir.has_value()) << dir.error().message;
  EXPECT_TRUE(fs::is_directory(*dir / "models"));
  const auto names = resource_names("models", ".yaml");
  ASSERT_TRUE(names.has_value());
  EXPECT_TRUE(std::is_sorted(names->begin(), names->end()));
  EXPECT_NE(std::find(names->begin(), names->end(), "tiny-moe"), names->end());
}

TEST_F(Resources, EnvironmentComesFirst) {
  const fs::path dir = fs::path(testing::TempDir()) / "tera-resources";
  fs::create_directories(dir / "models");
  setenv("TERA_RESOURCE_DIR", dir.c_str(), 1);
  const Result<fs::path> found = resource_dir();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(*found, dir);
  fs::remove_all(dir);
}

TEST_F(Resources, AMissingFileIsNamed) {
  const auto missing = resource_path("models/no-such-model.yaml");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(missing.error().message.find("no-such-model"), std::string::npos);
}

}  // namespace
}  // namespace tera
