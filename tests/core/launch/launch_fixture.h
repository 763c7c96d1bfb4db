// A run directory, and a shell script that stands in for teragpt.
#pragma once
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include <unistd.h>

#include <gtest/gtest.h>

#include "core/base/vfs.h"
#include "core/run/run_directory.h"

namespace tera::launch::test {

class LaunchFixture : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
    dir_ = std::filesystem::path(testing::TempDir()) /
           ("tera-launch-" + std::to_string(getpid()) + "-" + info->name());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    const auto run = run::RunDirectory::create(posix_vfs(), dir_ / "runs", spec::RunSpec{});
    ASSERT_TRUE(run) << run.error().message;
    run_ = *run;
  }
  void TearDown() override {
    for (const std::int64_t pid : started_)
      kill(static_cast<pid_t>(pid), SIGKILL);
    std::filesystem::remove_all(dir_);
  }

  // An executable script of /bin/sh.
  std::string program(const std::string& body) const {
    const std::filesystem::path path = dir_ / "program";
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path.string();
  }
  static std::string content(const std::filesystem::path& path) {
    const Result<std::string> text = read_text(posix_vfs(), path, 1 << 20);
    return text ? *text : std::string();
  }
  // Polls until it holds, for at most ten seconds: other processes take their time.
  static bool eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 1000; ++i) {
      if (holds()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  std::filesystem::path dir_;
  run::RunDirectory run_ = run::RunDirectory::planned(posix_vfs(), "", "");
  std::vector<std::int64_t> started_;
};

}  // namespace tera::launch::test
