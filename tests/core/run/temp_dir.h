// A fixture with an empty directory of its own.
#pragma once
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace tera::run::test {

class TempDirTest : public testing::Test {
 protected:
  void write(const std::filesystem::path& relative, const std::string& text) const {
    std::filesystem::create_directories((dir_ / relative).parent_path());
    std::ofstream(dir_ / relative, std::ios::binary) << text;
  }
  void append(const std::filesystem::path& relative, const std::string& text) const {
    std::ofstream(dir_ / relative, std::ios::binary | std::ios::app) << text;
  }

  const tera::test::TempDir own_;
  const std::filesystem::path dir_ = own_.path();
};

}  // namespace tera::run::test
