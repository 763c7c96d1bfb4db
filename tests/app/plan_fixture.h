// For tests of the verbs that plan: a folder of their own, and specs that come with TeraGPT.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace tera::test {

class PlanFixture : public testing::Test {
 protected:
  void SetUp() override {
    setenv("XDG_CACHE_HOME", root_.c_str(), 1);  // no measured device profile
  }

  std::string file(const std::string& name) const { return (root_ / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(root_ / name) << text;
    return file(name);
  }
  static std::string run_file(const std::string& name) {
    return (std::filesystem::path(std::getenv("TERA_SOURCE_DIR")) / "resources/runs" /
            (name + ".yaml"))
        .string();
  }

  const TempDir dir_;
  const std::filesystem::path root_ = dir_.path();
};

}  // namespace tera::test
