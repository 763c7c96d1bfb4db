#include "core/data/mapped_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "core/base/os_error.h"

namespace tera::data {
namespace {

struct OpenFile {
  int descriptor = -1;
  std::int64_t size = 0;
};

Result<OpenFile> open_regular(const std::filesystem::path& path) {
  // Without O_NONBLOCK, opening a pipe waits for its writer.
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) return tl::unexpected<Error>(os_error("read", path, errno));
  struct stat status = {};
  const bool known = ::fstat(descriptor, &status) == 0;
  const Result<void> regular = known ? check_regular_file(path, status.st_mode)
                                     : tl::unexpected<Error>(os_error("read", path, errno));
  if (!regular) {
    ::close(descriptor);
    return tl::unexpected<Error>(regular.error());
  }
  return OpenFile{descriptor, static_cast<std::int64_t>(status.st_size)};
}

}  // namespace

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  TERA_TRY(const OpenFile file, open_regular(path));
  MappedFile mapped;
  if (file.size > 0) {
    void* data = ::mmap(nullptr, static_cast<std::size_t>(file.size), PROT_READ, MAP_SHARED,
                        file.descriptor, 0);
    if (data == MAP_FAILED) {
      const int reason = errno;
      ::close(file.descriptor);
      return tl::unexpected<Error>(os_error("map", path, reason));
    }
    mapped.data_ = static_cast<const std::byte*>(data);
    mapped.size_ = static_cast<std::size_t>(file.size);
  }
  ::close(file.descriptor);
  return mapped;
}

ReadFile::~ReadFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

ReadFile::ReadFile(ReadFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_),
      path_(std::move(other.path_)) {}

ReadFile& ReadFile::operator=(ReadFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

Result<ReadFile> ReadFile::open(const std::filesystem::path& path) {
  TERA_TRY(const OpenFile file, open_regular(path));
  ReadFile opened;
  opened.descriptor_ = file.descriptor;
  opened.size_ = file.size;
  opened.path_ = path;
  return opened;
}

Result<void> ReadFile::read_at(std::int64_t offset, std::span<std::byte> out) const {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(descriptor_, out.data() + done, out.size() - done,
                                static_cast<off_t>(offset + static_cast<std::int64_t>(done)));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return tl::unexpected<Error>(os_error("read", path_, errno));
    }
    if (got == 0) {
      return fail(
          ErrorCode::corrupt,
          fmt::format("{}: got {} bytes at byte {}, expected {}: the file has become shorter",
                      path_.string(), done, offset, out.size()),
          "restore the file or tokenize again");
    }
    done += static_cast<std::size_t>(got);
  }
  return {};
}

}  // namespace tera::data
