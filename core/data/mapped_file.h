// A file mapped read-only into memory.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "core/base/result.h"

namespace tera::data {

class MappedFile {
 public:
  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  // Errors: not_found, or io with the reason.
  static Result<MappedFile> open(const std::filesystem::path& path);
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// A descriptor open for positioned reads from any thread. Reading what is no longer there is an
// error, not a signal, which is why token files are read this way and not mapped.
class ReadFile {
 public:
  ReadFile() = default;
  ~ReadFile();
  ReadFile(ReadFile&& other) noexcept;
  ReadFile& operator=(ReadFile&& other) noexcept;

  static Result<ReadFile> open(const std::filesystem::path& path);
  // Fills `out`; a file that ends before is corrupt (names path, offset, expected, got).
  Result<void> read_at(std::int64_t offset, std::span<std::byte> out) const;
  std::int64_t size_bytes() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  int descriptor_ = -1;
  std::int64_t size_ = 0;  // when it was opened
  std::filesystem::path path_;
};

}  // namespace tera::data
