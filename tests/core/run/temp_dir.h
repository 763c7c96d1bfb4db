// A fixture with an empty directory of its own.
#pragma once
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include <gtest/gtest.h>

namespace tera::run::test {

class TempDirTest : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
    dir_ =
        std::filesystem::path(testing::TempDir()) / ("tera-run-" + std::to_string(getpid()) + "-" +
                                                     info->test_suite_name() + "-" + info->name());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  void write(const std::filesystem::path& relative, const std::string& text) const {
    std::filesystem::create_directories((dir_ / relative).parent_path());
    std::ofstream(dir_ / relative, std::ios::binary) << text;
  }
  void append(const std::filesystem::path& relative, const std::string& text) const {
    std::ofstream(dir_ / relative, std::ios::binary | std::ios::app) << text;
  }

  std::filesystem::path dir_;
};

}  // namespace tera::run::test
