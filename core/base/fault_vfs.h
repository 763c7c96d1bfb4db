// FaultVfs: a Vfs for tests that passes every operation on to another one, records it, and fails or
// dies at a chosen one. It also knows what a power cut would leave behind.
#pragma once
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/vfs.h"

namespace tera {

class FaultVfs : public Vfs {
 public:
  explicit FaultVfs(Vfs& inner = posix_vfs());

  enum class Kind : std::uint8_t {
    open_write,
    append,
    sync,
    close,
    read,
    file_size,
    exists,
    list,
    make_dir,
    rename,
    remove_all,
    sync_dir,
    free_bytes
  };
  struct Operation {
    Kind kind;
    std::filesystem::path path;
    std::uint64_t num_bytes = 0;  // of an append or read
  };
  const std::vector<Operation>& operations() const { return operations_; }

  enum class Fault : std::uint8_t {
    error,        // the operation is not done and fails; later ones work
    short_write,  // an append writes half and fails; any other operation fails
    crash,  // an append writes half; then nothing is done any more, as if the process was killed
  };
  // Counted from 0 over the operations() of this object; one fault at a time.
  void set_fault(Fault fault, std::int64_t at_operation, int error_number = EIO);
  bool fault_hit() const { return fault_hit_; }
  // What free_bytes answers from now on.
  void set_free_bytes(std::uint64_t bytes) { free_bytes_ = bytes; }

  // Takes back, on the real disk, what no fsync has made durable: bytes of files after their last
  // sync, and names (new, renamed) whose directory was not synced since. Removals stay. Later
  // operations fail as after a crash.
  void power_cut();

  Result<std::unique_ptr<WritableFile>> open_write(const std::filesystem::path& path,
                                                   Mode mode) override;
  Result<std::vector<std::byte>> read(const std::filesystem::path& path,
                                      std::uint64_t offset,
                                      std::uint64_t size) override;
  Result<std::uint64_t> file_size(const std::filesystem::path& path) override;
  Result<bool> exists(const std::filesystem::path& path) override;
  Result<std::vector<std::string>> list(const std::filesystem::path& dir) override;
  Result<void> make_dir(const std::filesystem::path& path) override;
  Result<void> rename(const std::filesystem::path& from,
                      const std::filesystem::path& to,
                      bool no_replace) override;
  Result<void> remove_all(const std::filesystem::path& path) override;
  Result<void> sync_dir(const std::filesystem::path& dir) override;
  Result<std::uint64_t> free_bytes(const std::filesystem::path& dir) override;

 private:
  friend class FaultFile;
  struct FileState {
    std::uint64_t written = 0, synced = 0;
  };
  // A name that is not durable yet: new, or moved there from another one.
  struct NameChange {
    std::filesystem::path path;
    std::filesystem::path from;                      // empty: new
    std::optional<std::vector<std::byte>> replaced;  // the file the rename took away
  };
  void undo(const NameChange& change);
  // Carries what is known about `from`, and everything below it, over to its new name.
  void moved(const std::filesystem::path& from, const std::filesystem::path& to);

  // Records an operation; an error when it must fail. half receives whether an append is to write
  // half of its bytes first.
  Result<void> begin(Kind kind,
                     const std::filesystem::path& path,
                     std::uint64_t num_bytes = 0,
                     bool* half = nullptr);

  Vfs* inner_;
  std::vector<Operation> operations_;
  Fault fault_ = Fault::error;
  std::int64_t fault_at_ = -1;
  int error_number_ = EIO;
  bool fault_hit_ = false;
  bool dead_ = false;
  std::optional<std::uint64_t> free_bytes_;
  std::map<std::filesystem::path, FileState>
      files_;                             // written through this object, by current path
  std::vector<NameChange> name_changes_;  // not yet durable, oldest first
};

}  // namespace tera
