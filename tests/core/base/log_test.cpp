#include "core/base/log.h"

#include <string>

#include <gtest/gtest.h>

namespace tera {
namespace {

// /dev/full takes no byte, like a disk that is full.
TEST(Log, AFullDiskIsToldOnce) {
  testing::internal::CaptureStderr();
  ASSERT_TRUE(log_to_file("/dev/full", 0, false));
  for (int i = 0; i < 5; ++i)
    spdlog::info("line {}", i);
  log_to_stderr();
  const std::string told = testing::internal::GetCapturedStderr();
  const auto first = told.find("warning: lines of the log are lost");
  ASSERT_NE(first, std::string::npos) << told;
  EXPECT_EQ(told.find("warning:", first + 1), std::string::npos) << told;
  EXPECT_NE(told.find("/dev/full"), std::string::npos);
  EXPECT_NE(told.find("No space left on device"), std::string::npos);
  EXPECT_EQ(told.find("LOG ERROR"), std::string::npos);
}

TEST(Log, AFileThatCannotBeOpenedIsAnError) {
  const Result<void> opened = log_to_file("/dev/null/x.log", 0, false);
  ASSERT_FALSE(opened);
  EXPECT_FALSE(opened.error().hint.empty());
}

}  // namespace
}  // namespace tera
