#include "core/base/vfs.h"

#include <cstdlib>
#include <fstream>
#include <random>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "core/base/fault_vfs.h"

namespace tera {
namespace {

namespace fs = std::filesystem;

class VfsTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::path(testing::TempDir()) /
           ("tera-vfs-" + std::to_string(getpid()) + "-" +
            testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  static std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  }
  std::string content(const fs::path& path) const {
    const Result<std::string> text = read_text(posix_vfs(), path, 1 << 20);
    return text ? *text : "<" + text.error().message + ">";
  }
  std::size_t num_entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(dir_), fs::directory_iterator()));
  }

  fs::path dir_;
};

TEST_F(VfsTest, WritesInThreeModes) {
  Vfs& vfs = posix_vfs();
  const fs::path path = dir_ / "file";
  const auto write = [&](Vfs::Mode mode, std::string_view text) -> Result<void> {
    TERA_TRY(const auto file, vfs.open_write(path, mode));
    TERA_TRY_VOID(file->append(bytes_of(text)));
    TERA_TRY_VOID(file->sync());
    return file->close();
  };
  ASSERT_TRUE(write(Vfs::Mode::create_new, "one"));
  EXPECT_EQ(content(path), "one");
  const Result<void> again = write(Vfs::Mode::create_new, "two");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::io);
  EXPECT_NE(again.error().message.find(path.string()), std::string::npos);
  EXPECT_NE(again.error().message.find("File exists"), std::string::npos);
  ASSERT_TRUE(write(Vfs::Mode::append, "+more"));
  EXPECT_EQ(content(path), "one+more");
  ASSERT_TRUE(write(Vfs::Mode::truncate, "2"));
  EXPECT_EQ(content(path), "2");
}

TEST_F(VfsTest, ReadsExactRangesOrSaysWhy) {
  Vfs& vfs = posix_vfs();
  std::ofstream(dir_ / "file") << "0123456789";
  const auto middle = vfs.read(dir_ / "file", 3, 4);
  ASSERT_TRUE(middle);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(middle->data()), middle->size()), "3456");
  EXPECT_TRUE(vfs.read(dir_ / "file", 10, 0));
  const auto beyond = vfs.read(dir_ / "file", 8, 3);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::corrupt);
  // A size from a damaged header must fail before memory is asked for.
  EXPECT_FALSE(vfs.read(dir_ / "file", 0, std::uint64_t{1} << 62));
  EXPECT_FALSE(vfs.read(dir_ / "file", std::uint64_t{1} << 62, 1));
  const auto missing = vfs.read(dir_ / "none", 0, 1);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_FALSE(vfs.read(dir_, 0, 1));
  EXPECT_FALSE(vfs.file_size(dir_));
}

TEST_F(VfsTest, ListsSortedAndKnowsWhatExists) {
  Vfs& vfs = posix_vfs();
  for (const char* name : {"b", "a", "c"})
    std::ofstream(dir_ / name) << name;
  const auto names = vfs.list(dir_);
  ASSERT_TRUE(names);
  EXPECT_EQ(*names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(*vfs.exists(dir_ / "a"));
  EXPECT_FALSE(*vfs.exists(dir_ / "d"));
  EXPECT_FALSE(*vfs.exists(dir_ / "a" / "below a file"));
  EXPECT_EQ(vfs.list(dir_ / "d").error().code, ErrorCode::not_found);
}

TEST_F(VfsTest, RenameReplacesOnlyWhenAllowed) {
  Vfs& vfs = posix_vfs();
  std::ofstream(dir_ / "a") << "a";
  std::ofstream(dir_ / "b") << "b";
  EXPECT_FALSE(vfs.rename(dir_ / "a", dir_ / "b", true));
  EXPECT_EQ(content(dir_ / "b"), "b");
  ASSERT_TRUE(vfs.rename(dir_ / "a", dir_ / "b", false));
  EXPECT_EQ(content(dir_ / "b"), "a");
  // A directory over an empty directory is what plain rename would allow.
  ASSERT_TRUE(vfs.make_dir(dir_ / "d1"));
  ASSERT_TRUE(vfs.make_dir(dir_ / "d2"));
  EXPECT_FALSE(vfs.rename(dir_ / "d1", dir_ / "d2", true));
  EXPECT_TRUE(vfs.rename(dir_ / "d1", dir_ / "d3", true));
}

TEST_F(VfsTest, DirectoriesArePrivate) {
  ASSERT_TRUE(make_dirs(posix_vfs(), dir_ / "x" / "y" / "z"));
  ASSERT_TRUE(make_dirs(posix_vfs(), dir_ / "x" / "y" / "z")) << "an existing one is fine";
  struct stat status = {};
  ASSERT_EQ(::stat((dir_ / "x" / "y").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  EXPECT_FALSE(posix_vfs().make_dir(dir_ / "x"));
  std::ofstream(dir_ / "file") << "";
  EXPECT_FALSE(make_dirs(posix_vfs(), dir_ / "file" / "below"));
}

TEST_F(VfsTest, FullDiskNamesNeedAndFree) {
  const Error error = os_error("write", dir_ / "file", ENOSPC, std::uint64_t{3} << 30);
  EXPECT_NE(error.message.find("needs 3.00 GiB"), std::string::npos) << error.message;
  EXPECT_NE(error.message.find("free"), std::string::npos);
  EXPECT_FALSE(error.hint.empty());
}

TEST_F(VfsTest, ErrorsOfPathsSayWhatToDo) {
  std::ofstream(dir_ / "file") << "x";
  struct Case {
    fs::path path;
    ErrorCode code;
    std::string hint;
  };
  const std::string dir = dir_.string();
  for (const Case& c : std::vector<Case>{
           {dir_ / "none", ErrorCode::not_found, dir + " holds no none: check the name"},
           {dir_ / "a/b/c", ErrorCode::not_found,
            "there is no folder " + dir + "/a: create it, or correct the path"},
           {dir_ / "file/below", ErrorCode::not_found,
            dir + "/file is a file, not a folder: correct the path"},
           {dir_, ErrorCode::invalid_input, "name a file in it"},
           {dir_ / std::string(300, 'a'), ErrorCode::invalid_input, "shorten the name"}}) {
    const auto read = posix_vfs().read(c.path, 0, 1);
    ASSERT_FALSE(read) << c.path;
    EXPECT_EQ(read.error().code, c.code) << c.path;
    EXPECT_EQ(read.error().hint, c.hint);
    EXPECT_EQ(posix_vfs().file_size(c.path).error().hint, c.hint);
  }
}

// Reading a pipe that nobody writes to would wait for ever.
TEST_F(VfsTest, PipesAndDevicesAreNotRead) {
  ASSERT_EQ(::mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  for (const fs::path& path : {dir_ / "pipe", fs::path("/dev/zero")}) {
    EXPECT_EQ(posix_vfs().read(path, 0, 1).error().code, ErrorCode::invalid_input);
    EXPECT_EQ(posix_vfs().file_size(path).error().code, ErrorCode::invalid_input);
  }
}

TEST_F(VfsTest, CheckCanWriteLeavesNothingAndChangesNothing) {
  std::ofstream(dir_ / "file") << "precious";
  EXPECT_TRUE(check_can_write(posix_vfs(), dir_ / "new"));
  EXPECT_TRUE(check_can_write(posix_vfs(), dir_ / "file"));
  EXPECT_EQ(content(dir_ / "file"), "precious");
  EXPECT_EQ(num_entries(), 1U);
  const auto error = [&](const fs::path& path) {
    const Result<void> ready = check_can_write(posix_vfs(), path);
    return ready ? "writable" : ready.error().message;
  };
  EXPECT_EQ(error(dir_ / "a/b"),
            "cannot create " + (dir_ / "a/b").string() + ": No such file or directory");
  EXPECT_EQ(error(dir_), dir_.string() + ": got a folder, expected a file");
  EXPECT_EQ(error("/dev/full"), "/dev/full: got a device, expected a file");
  EXPECT_EQ(error(""), "cannot write \"\": expected the name of a file");
}

TEST_F(VfsTest, DevFullIsReported) {
  const auto file = posix_vfs().open_write("/dev/full", Vfs::Mode::append);
  ASSERT_TRUE(file);
  const Result<void> written = (*file)->append(bytes_of("x"));
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("No space left"), std::string::npos);
  EXPECT_NE(written.error().message.find("/dev/full"), std::string::npos);
}

TEST_F(VfsTest, ReadTextRefusesWhatIsTooLarge) {
  std::ofstream(dir_ / "file") << std::string(100, 'x');
  EXPECT_TRUE(read_text(posix_vfs(), dir_ / "file", 100));
  const auto refused = read_text(posix_vfs(), dir_ / "file", 99);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_input);
}

// At whichever operation writing fails, the old text stands and nothing else is left.
TEST_F(VfsTest, AtomicWriteIsOldOrNewAfterEveryFault) {
  const fs::path path = dir_ / "state.json";
  ASSERT_TRUE(write_file_atomic(posix_vfs(), path, "old"));
  for (const auto fault : {FaultVfs::Fault::error, FaultVfs::Fault::short_write}) {
    for (std::int64_t k = 0;; ++k) {
      FaultVfs vfs;
      vfs.set_fault(fault, k, ENOSPC);
      const Result<void> written = write_file_atomic(vfs, path, "new text");
      if (!vfs.fault_hit()) {
        EXPECT_TRUE(written);
        EXPECT_EQ(k, 6) << "open, append, sync, close, rename, sync of the directory";
        break;
      }
      ASSERT_FALSE(written) << k;
      EXPECT_EQ(written.error().message.find(".tmp-"), std::string::npos)
          << "a name of our own in: " << written.error().message;
      const bool renamed = k == 5;  // only the durability of the new name is in doubt
      EXPECT_EQ(content(path), renamed ? "new text" : "old") << k;
      EXPECT_EQ(num_entries(), 1U) << k;
      ASSERT_TRUE(write_file_atomic(posix_vfs(), path, "old"));
    }
    ASSERT_TRUE(write_file_atomic(posix_vfs(), path, "old"));
  }
}

TEST_F(VfsTest, AtomicWriteIsOldOrNewAfterEveryPowerCut) {
  const fs::path path = dir_ / "state.json";
  for (std::int64_t k = 0; k <= 6; ++k) {
    ASSERT_TRUE(write_file_atomic(posix_vfs(), path, "old"));
    FaultVfs vfs;
    vfs.set_fault(FaultVfs::Fault::crash, k);
    const Result<void> written = write_file_atomic(vfs, path, "new text");
    vfs.power_cut();
    EXPECT_EQ(content(path), written ? "new text" : "old") << k;
  }
}

TEST_F(VfsTest, PowerCutLosesWhatWasNotSynced) {
  FaultVfs vfs;
  ASSERT_TRUE(vfs.make_dir(dir_ / "kept"));
  ASSERT_TRUE(vfs.sync_dir(dir_));
  const auto file = vfs.open_write(dir_ / "kept" / "file", Vfs::Mode::create_new);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->append(bytes_of("durable")));
  ASSERT_TRUE((*file)->sync());
  ASSERT_TRUE(vfs.sync_dir(dir_ / "kept"));
  ASSERT_TRUE((*file)->append(bytes_of(" lost")));
  ASSERT_TRUE(vfs.make_dir(dir_ / "lost"));
  ASSERT_TRUE(vfs.rename(dir_ / "kept", dir_ / "moved", true));
  vfs.power_cut();
  EXPECT_EQ(content(dir_ / "kept" / "file"), "durable");
  EXPECT_FALSE(fs::exists(dir_ / "lost"));
  EXPECT_FALSE(fs::exists(dir_ / "moved"));
  EXPECT_FALSE(vfs.exists(dir_)) << "the process is dead";
}

// The name of a directory may be durable while the names in it are not.
TEST_F(VfsTest, PowerCutFollowsRenamedDirectories) {
  FaultVfs vfs;
  ASSERT_TRUE(vfs.make_dir(dir_ / "temp"));
  for (const char* name : {"synced", "lost"}) {
    const auto file = vfs.open_write(dir_ / "temp" / name, Vfs::Mode::create_new);
    ASSERT_TRUE(file && (*file)->sync());
    if (name == std::string("synced")) {
      ASSERT_TRUE(vfs.sync_dir(dir_ / "temp"));
    }
  }
  ASSERT_TRUE(vfs.rename(dir_ / "temp", dir_ / "final", true));
  ASSERT_TRUE(vfs.sync_dir(dir_));
  vfs.power_cut();
  EXPECT_TRUE(fs::exists(dir_ / "final" / "synced"));
  EXPECT_FALSE(fs::exists(dir_ / "final" / "lost"));
}

TEST_F(VfsTest, ACrashTearsTheAppendAndStopsEverything) {
  FaultVfs vfs;
  const auto file = vfs.open_write(dir_ / "file", Vfs::Mode::create_new);
  ASSERT_TRUE(file);
  vfs.set_fault(FaultVfs::Fault::crash, 1);
  EXPECT_FALSE((*file)->append(bytes_of("12345678")));
  EXPECT_FALSE((*file)->append(bytes_of("90")));
  EXPECT_FALSE((*file)->close());
  EXPECT_EQ(content(dir_ / "file"), "1234");
  ASSERT_EQ(vfs.operations().size(), 4U);
  EXPECT_EQ(vfs.operations()[1].kind, FaultVfs::Kind::append);
  EXPECT_EQ(vfs.operations()[1].num_bytes, 8U);
}

}  // namespace
}  // namespace tera
