#include "core/base/vfs.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fmt/format.h>

#include "core/base/unfinished_file.h"
#include "core/base/units.h"

namespace tera {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kFileMode = 0666;  // less the umask
constexpr mode_t kDirMode = 0700;

tl::unexpected<Error> fail_os(std::string_view operation,
                              const fs::path& path,
                              int error_number,
                              std::uint64_t needed_bytes = 0) {
  return tl::unexpected<Error>(os_error(operation, path, error_number, needed_bytes));
}

// Repeats a call that a signal interrupted. close() must not be repeated: the descriptor is gone.
template <class Call>
auto retry_interrupted(Call&& call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

class PosixFile : public WritableFile {
 public:
  PosixFile(fs::path path, int fd) : path_(std::move(path)), fd_(fd) {}

  Result<void> append(std::span<const std::byte> bytes) override {
    constexpr std::size_t kMaxWrite = std::size_t{1} << 30;  // Linux writes at most 2 GiB at once
    while (!bytes.empty()) {
      const ssize_t written = retry_interrupted(
          [&] { return ::write(fd_.get(), bytes.data(), std::min(bytes.size(), kMaxWrite)); });
      if (written < 0) return fail_os("write", path_, errno, bytes.size());
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
  }

  Result<void> sync() override {
    if (retry_interrupted([&] { return ::fsync(fd_.get()); }) != 0) {
      return fail_os("flush", path_, errno);
    }
    return {};
  }

  Result<void> close() override {
    const int fd = fd_.release();
    if (fd >= 0 && ::close(fd) != 0 && errno != EINTR) return fail_os("close", path_, errno);
    return {};
  }

 private:
  fs::path path_;
  Descriptor fd_;
};

class PosixVfs : public Vfs {
 public:
  Result<std::unique_ptr<WritableFile>> open_write(const fs::path& path, Mode mode) override {
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC;
    switch (mode) {
      case Mode::create_new:
        flags |= O_EXCL;
        break;
      case Mode::truncate:
        flags |= O_TRUNC;
        break;
      case Mode::append:
        flags |= O_APPEND;
        break;
    }
    const int fd = retry_interrupted([&] { return ::open(path.c_str(), flags, kFileMode); });
    if (fd < 0) return fail_os(mode == Mode::append ? "open" : "create", path, errno);
    return std::make_unique<PosixFile>(path, fd);
  }

  Result<std::vector<std::byte>> read(const fs::path& path,
                                      std::uint64_t offset,
                                      std::uint64_t size) override {
    // Without O_NONBLOCK, opening a pipe waits for its writer.
    const Descriptor fd(
        retry_interrupted([&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); }));
    if (fd.get() < 0) return fail_os("read", path, errno);
    struct stat status = {};
    if (::fstat(fd.get(), &status) != 0) return fail_os("read", path, errno);
    TERA_TRY_VOID(check_regular_file(path, status.st_mode));
    // The check comes before the allocation, so that a wrong size asks for no memory.
    const auto file_bytes = static_cast<std::uint64_t>(status.st_size);
    if (offset > file_bytes || size > file_bytes - offset) {
      return fail(ErrorCode::corrupt,
                  fmt::format("cannot read {}: got {} bytes, expected at least {} + {}",
                              path.string(), file_bytes, offset, size));
    }
    std::vector<std::byte> bytes(size);
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t got = retry_interrupted([&] {
        return ::pread(fd.get(), bytes.data() + done, bytes.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0) return fail_os("read", path, errno);
      if (got == 0) {
        return fail(ErrorCode::corrupt,
                    fmt::format("cannot read {}: the file ends at byte {}, expected {} more",
                                path.string(), offset + done, bytes.size() - done));
      }
      done += static_cast<std::size_t>(got);
    }
    return bytes;
  }

  Result<std::uint64_t> file_size(const fs::path& path) override {
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0) return fail_os("read", path, errno);
    TERA_TRY_VOID(check_regular_file(path, status.st_mode));
    return static_cast<std::uint64_t>(status.st_size);
  }

  Result<bool> exists(const fs::path& path) override {
    struct stat status = {};
    if (::lstat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return fail_os("look for", path, errno);
  }

  Result<std::vector<std::string>> list(const fs::path& dir) override {
    std::error_code error;
    std::vector<std::string> names;
    fs::directory_iterator at(dir, error);
    for (; !error && at != fs::directory_iterator(); at.increment(error)) {
      names.push_back(at->path().filename().string());
    }
    if (error) return fail_os("list", dir, error.value());
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<void> make_dir(const fs::path& path) override {
    if (::mkdir(path.c_str(), kDirMode) != 0) return fail_os("create directory", path, errno);
    return {};
  }

  Result<void> rename(const fs::path& from, const fs::path& to, bool no_replace) override {
    const int result =
        no_replace ? rename_no_replace(from, to) : ::rename(from.c_str(), to.c_str());
    if (result != 0) {
      const int reason = errno;
      return fail_os(fmt::format("rename {} to", from.string()), to, reason);
    }
    return {};
  }

  Result<void> remove_all(const fs::path& path) override {
    std::error_code error;
    fs::remove_all(path, error);
    if (error) return fail_os("remove", path, error.value());
    return {};
  }

  Result<void> sync_dir(const fs::path& dir) override {
    const Descriptor fd(
        retry_interrupted([&] { return ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (fd.get() < 0) return fail_os("open directory", dir, errno);
    if (retry_interrupted([&] { return ::fsync(fd.get()); }) != 0) {
      return fail_os("flush directory", dir, errno);
    }
    return {};
  }

  Result<std::uint64_t> free_bytes(const fs::path& dir) override {
    struct statvfs status = {};
    if (retry_interrupted([&] { return ::statvfs(dir.c_str(), &status); }) != 0) {
      return fail_os("measure free space of", dir, errno);
    }
    return std::uint64_t{status.f_bavail} * std::uint64_t{status.f_frsize};
  }

 private:
  // File systems without RENAME_NOREPLACE: a hard link is as atomic for files; for directories the
  // kernel refuses a target that is not empty, and an empty one is refused here.
  static int rename_no_replace(const fs::path& from, const fs::path& to) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) return -1;
    struct stat status = {};
    if (::lstat(from.c_str(), &status) != 0) return -1;
    if (!S_ISDIR(status.st_mode)) {
      return ::link(from.c_str(), to.c_str()) != 0 ? -1 : ::unlink(from.c_str());
    }
    if (::lstat(to.c_str(), &status) == 0) {
      errno = EEXIST;
      return -1;
    }
    return ::rename(from.c_str(), to.c_str());
  }
};

fs::path parent_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

// An error of a temporary file, told of the name that a person knows.
Error told_of(Error error, const fs::path& temporary, const fs::path& path) {
  for (std::string* text : {&error.message, &error.hint}) {
    const auto at = text->find(temporary.string());
    if (at != std::string::npos) text->replace(at, temporary.string().size(), path.string());
  }
  return error;
}

}  // namespace

Vfs& posix_vfs() {
  static PosixVfs vfs;  // stateless
  return vfs;
}

Result<std::string> read_text(Vfs& vfs, const fs::path& path, std::uint64_t max_bytes) {
  TERA_TRY(const std::uint64_t size, vfs.file_size(path));
  if (size > max_bytes) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: got {} bytes, expected at most {}", path.string(), size,
                            format_bytes(static_cast<double>(max_bytes))));
  }
  TERA_TRY(const std::vector<std::byte> bytes, vfs.read(path, 0, size));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<void> write_file_atomic(Vfs& vfs, const fs::path& path, std::string_view text) {
  UnfinishedFile temp(vfs, temporary_name(path));
  const auto write = [&]() -> Result<void> {
    TERA_TRY_VOID(temp.write(text));
    return temp.publish(path);
  };
  if (const Result<void> written = write(); !written)
    return tl::unexpected<Error>(told_of(written.error(), temp.path(), path));
  return vfs.sync_dir(parent_of(path));
}

Result<void> check_can_write(Vfs& vfs, const fs::path& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) == 0) {
    Result<void> regular = check_regular_file(path, status.st_mode);
    if (!regular && !S_ISDIR(status.st_mode)) regular.error().hint = "choose another name";
    if (!regular) return regular;
  }
  if (!path.has_filename()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("cannot write \"{}\": expected the name of a file", path.string()),
                fmt::format("for example {}", (path / "out").string()));
  }
  UnfinishedFile temp(vfs, temporary_name(path));
  const Result<std::unique_ptr<WritableFile>> file = temp.open();
  if (!file) return tl::unexpected<Error>(told_of(file.error(), temp.path(), path));
  return (*file)->close();
}

Result<void> make_dirs(Vfs& vfs, const fs::path& path) {
  TERA_TRY(const bool present, vfs.exists(path));
  if (present) return {};
  const fs::path parent = parent_of(path);
  TERA_TRY_VOID(make_dirs(vfs, parent));
  if (Result<void> made = vfs.make_dir(path); !made) {
    TERA_TRY(const bool now_present, vfs.exists(path));  // another process was first
    return now_present ? Result<void>() : made;
  }
  return vfs.sync_dir(parent);
}

}  // namespace tera
