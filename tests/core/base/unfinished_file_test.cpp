#include "core/base/unfinished_file.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include <gtest/gtest.h>

namespace tera {
namespace {

namespace fs = std::filesystem;

class UnfinishedFileTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  std::size_t num_entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(dir_), fs::directory_iterator()));
  }
  fs::path dir_ = fs::path(testing::TempDir()) / ("tera-unfinished-" + std::to_string(getpid()));
};

TEST_F(UnfinishedFileTest, GoesWithItsObjectUnlessPublished) {
  {
    UnfinishedFile file(posix_vfs(), dir_ / "a.part");
    ASSERT_TRUE(file.write("half"));
    EXPECT_EQ(num_entries(), 1U);
  }
  EXPECT_EQ(num_entries(), 0U);
  {
    UnfinishedFile file(posix_vfs(), dir_ / "a.part");
    ASSERT_TRUE(file.write("whole"));
    ASSERT_TRUE(file.publish(dir_ / "a"));
  }
  EXPECT_EQ(read_text(posix_vfs(), dir_ / "a", 100).value(), "whole");
  EXPECT_EQ(num_entries(), 1U);
}

TEST_F(UnfinishedFileTest, NeverRemovesWhatItDidNotWrite) {
  fs::create_directories(dir_ / "a.part" / "precious");
  {
    UnfinishedFile file(posix_vfs(), dir_ / "a.part");
    EXPECT_FALSE(file.write("x")) << "a folder has the name";
    UnfinishedFile unused(posix_vfs(), dir_ / "b.part");
    std::ofstream(dir_ / "b.part") << "precious";
  }
  EXPECT_TRUE(fs::exists(dir_ / "a.part" / "precious"));
  EXPECT_TRUE(fs::exists(dir_ / "b.part"));
}

// As after a second Ctrl-C: the process ends without destructors, in a signal handler.
TEST_F(UnfinishedFileTest, AllGoWhenTheProcessEndsAtOnce) {
  const auto end_at_once = [&] {
    std::vector<std::unique_ptr<UnfinishedFile>> files;
    for (int i = 0; i < 30; ++i) {
      files.push_back(
          std::make_unique<UnfinishedFile>(posix_vfs(), dir_ / (std::to_string(i) + ".part")));
      if (!files.back()->write("half")) _exit(2);
    }
    if (!files[7]->publish(dir_ / "whole")) _exit(3);
    files[8].reset();
    remove_unfinished_files();
    _exit(0);
  };
  EXPECT_EXIT(end_at_once(), testing::ExitedWithCode(0), "");
  EXPECT_EQ(num_entries(), 1U);
  EXPECT_TRUE(fs::exists(dir_ / "whole"));
}

// More than the table of the signal handler holds: the objects still remove theirs.
TEST_F(UnfinishedFileTest, ManyAreFine) {
  {
    std::vector<std::unique_ptr<UnfinishedFile>> files;
    for (int i = 0; i < 200; ++i) {
      files.push_back(std::make_unique<UnfinishedFile>(posix_vfs(), dir_ / std::to_string(i)));
      ASSERT_TRUE(files.back()->write("half"));
    }
    EXPECT_EQ(num_entries(), 200U);
  }
  EXPECT_EQ(num_entries(), 0U);
}

TEST_F(UnfinishedFileTest, TemporaryNamesAreHiddenAndDiffer) {
  const fs::path first = temporary_name(dir_ / "state.json");
  EXPECT_EQ(first.parent_path(), dir_);
  EXPECT_TRUE(first.filename().string().starts_with(".state.json.tmp-"));
  EXPECT_NE(first, temporary_name(dir_ / "state.json"));
}

}  // namespace
}  // namespace tera
