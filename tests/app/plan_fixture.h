// For tests of the verbs that plan: a folder of their own, and specs that come with TeraGPT.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"

namespace tera::test {

class PlanFixture : public testing::Test {
 protected:
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
  const ScopedVariable cache_{"XDG_CACHE_HOME", root_};  // no measured device profile
};

}  // namespace tera::test
