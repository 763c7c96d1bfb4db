#include "core/base/staged_directory.h"

#include <filesystem>
#include <fstream>

#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/fault_vfs.h"

namespace tera {
namespace {

namespace fs = std::filesystem;

class StagedDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("tera-staged-" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  std::vector<std::string> names() const { return *posix_vfs().list(root_); }

  // Makes root/a/out with one file through vfs.
  Result<void> make(Vfs& vfs) const {
    TERA_TRY(StagedDirectory staged, StagedDirectory::create(vfs, root_ / "a" / "out/"));
    TERA_TRY_VOID(write_file_atomic(vfs, staged.path() / "f", "text"));
    return staged.publish();
  }
  fs::path root_;
};

TEST_F(StagedDirectoryTest, AppearsWhenPublished) {
  {
    Result<StagedDirectory> staged = StagedDirectory::create(posix_vfs(), root_ / "out");
    ASSERT_TRUE(staged);
    ASSERT_TRUE(write_file_atomic(posix_vfs(), staged->path() / "f", "text"));
    EXPECT_FALSE(fs::exists(root_ / "out"));
    ASSERT_TRUE(staged->publish());
  }
  EXPECT_EQ(names(), std::vector<std::string>{"out"});
  EXPECT_TRUE(fs::exists(root_ / "out" / "f"));
}

TEST_F(StagedDirectoryTest, LeavesNothingUnlessPublished) {
  {
    const Result<StagedDirectory> staged = StagedDirectory::create(posix_vfs(), root_ / "out");
    ASSERT_TRUE(staged);
    EXPECT_EQ(names().size(), 1U);
  }
  EXPECT_TRUE(names().empty());
}

// What a program does that ends at once: no destructors run.
TEST_F(StagedDirectoryTest, GoesWithTheUnfinishedFiles) {
  const Result<StagedDirectory> staged = StagedDirectory::create(posix_vfs(), root_ / "out");
  ASSERT_TRUE(staged);
  fs::create_directories(root_ / "kept" / "inside");
  fs::create_directory_symlink(root_ / "kept", staged->path() / "link");
  fs::create_directories(staged->path() / "ckpt" / "step");
  for (int i = 0; i < 300; ++i)  // more than one read of the folder tells
    std::ofstream(staged->path() / "ckpt/step" / std::to_string(i)) << "x";
  remove_unfinished_files();
  EXPECT_EQ(names(), std::vector<std::string>{"kept"});
  EXPECT_TRUE(fs::exists(root_ / "kept" / "inside"));
}

TEST_F(StagedDirectoryTest, NeverReplacesAnything) {
  fs::create_directories(root_ / "out");
  const Result<StagedDirectory> staged = StagedDirectory::create(posix_vfs(), root_ / "out");
  ASSERT_FALSE(staged);
  EXPECT_THAT(staged.error().message, testing::HasSubstr("exists and was left as it is"));
}

// Whatever fails on the way: no directory with the final name, no temporary one.
TEST_F(StagedDirectoryTest, NoFaultLeavesHalfADirectory) {
  FaultVfs whole;
  ASSERT_TRUE(make(whole));
  const auto operations = std::ssize(whole.operations());
  for (std::int64_t at = 0; at < operations; ++at) {
    fs::remove_all(root_ / "a");
    FaultVfs vfs;
    vfs.set_fault(FaultVfs::Fault::error, at);
    const bool made = make(vfs).has_value();
    EXPECT_FALSE(made) << "operation " << at;
    if (!fs::exists(root_ / "a")) continue;
    const std::vector<std::string> left = posix_vfs().list(root_ / "a").value();
    for (const std::string& name : left)
      EXPECT_TRUE(name == "out" && fs::exists(root_ / "a" / "out" / "f")) << name;
  }
}

}  // namespace
}  // namespace tera
