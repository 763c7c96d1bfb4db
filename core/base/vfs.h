// Every durable byte goes through one Vfs: POSIX in production, recording and fault-injecting in
// tests. Errors are values and name path, operation and reason; EINTR and short writes are looped.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/os_error.h"
#include "core/base/result.h"

namespace tera {

// A file open for writing. Destruction without close() discards nothing on disk but reports
// nothing: durable code calls sync() and close() and looks at both.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual Result<void> append(std::span<const std::byte> bytes) = 0;
  virtual Result<void>
  sync() = 0;  // fsync; after an error the file must be thrown away, never retried
  virtual Result<void> close() = 0;
};

class Vfs {
 public:
  virtual ~Vfs() = default;
  enum class Mode : std::uint8_t { create_new, truncate, append };
  virtual Result<std::unique_ptr<WritableFile>> open_write(const std::filesystem::path& path,
                                                           Mode mode) = 0;
  virtual Result<std::vector<std::byte>> read(const std::filesystem::path& path,
                                              std::uint64_t offset,
                                              std::uint64_t size) = 0;  // exact size or error
  virtual Result<std::uint64_t> file_size(const std::filesystem::path& path) = 0;
  virtual Result<bool> exists(const std::filesystem::path& path) = 0;
  virtual Result<std::vector<std::string>> list(const std::filesystem::path& dir) = 0;  // sorted
  // Mode 0700; an error if it exists.
  virtual Result<void> make_dir(const std::filesystem::path& path) = 0;
  // Atomic. no_replace fails when `to` exists.
  virtual Result<void> rename(const std::filesystem::path& from,
                              const std::filesystem::path& to,
                              bool no_replace) = 0;
  virtual Result<void> remove_all(const std::filesystem::path& path) = 0;
  virtual Result<void> sync_dir(const std::filesystem::path& dir) = 0;  // makes names durable
  virtual Result<std::uint64_t> free_bytes(const std::filesystem::path& dir) = 0;
};

// The production back end; stateless, lives for the whole program.
Vfs& posix_vfs();

// Helpers built from the verbs above.
Result<std::string> read_text(Vfs& vfs, const std::filesystem::path& path, std::uint64_t max_bytes);
// Writes beside the target, fsyncs, renames over it, fsyncs the directory: old or new, never half.
Result<void> write_file_atomic(Vfs& vfs, const std::filesystem::path& path, std::string_view text);
// Whether a file can be written at `path`: its folder takes new files, and no folder, pipe or
// device has the name. Asked before long work whose result goes there; leaves nothing behind.
Result<void> check_can_write(Vfs& vfs, const std::filesystem::path& path);

// Creates a directory and its missing parents, durably; one that exists already is fine.
Result<void> make_dirs(Vfs& vfs, const std::filesystem::path& path);

}  // namespace tera
