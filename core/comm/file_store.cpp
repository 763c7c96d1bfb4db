// A store in a folder: a value is written beside its name and renamed to it, which happens at once
// and for one rank only.
#include <filesystem>

#include <unistd.h>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/unfinished_file.h"
#include "core/base/vfs.h"
#include "core/comm/store.h"

namespace tera::comm {
namespace {

namespace fs = std::filesystem;

class FileStore final : public Store {
 public:
  FileStore(fs::path folder, int rank) : folder_(std::move(folder)), rank_(rank) {}

  bool set(std::string_view name, std::string_view value) override {
    const fs::path path = folder_ / name;
    Vfs& vfs = posix_vfs();
    const fs::path unfinished = temporary_name(path);
    const Result<std::unique_ptr<WritableFile>> file =
        vfs.open_write(unfinished, Vfs::Mode::create_new);
    if (!file) refuse("set", name, file.error());
    if (const Result<void> done = (*file)->append(as_bytes(value)); !done)
      refuse("set", name, done.error());
    if (const Result<void> done = (*file)->close(); !done) refuse("set", name, done.error());
    const Result<void> named = vfs.rename(unfinished, path, true);
    if (named) return true;
    if (const Result<void> removed = vfs.remove_all(unfinished); !removed)
      refuse("set", name, removed.error());
    if (!get(name)) refuse("set", name, named.error());
    return false;
  }

  std::optional<std::string> get(std::string_view name) override {
    const fs::path path = folder_ / name;
    const Result<bool> there = posix_vfs().exists(path);
    if (!there) refuse("get", name, there.error());
    if (!*there) return std::nullopt;
    Result<std::string> value = read_text(posix_vfs(), path, kMaxStoredBytes);
    if (!value) refuse("get", name, value.error());
    return std::move(*value);
  }

  std::string text() const override {
    return fmt::format("rank {}: store {}", rank_, folder_.string());
  }

 private:
  [[noreturn]] void refuse(std::string_view what, std::string_view name, const Error& why) const {
    throw CommunicationError(fmt::format("{}: cannot {} {}: {}", text(), what, name, why.message));
  }

  const fs::path folder_;
  const int rank_;
};

}  // namespace

Result<std::unique_ptr<Store>> make_file_store(const std::string& folder, int rank) {
  const fs::path path(folder);
  TERA_TRY_VOID(make_dirs(posix_vfs(), path));
  TERA_TRY_VOID(check_can_write(posix_vfs(), path / "store"));
  return std::make_unique<FileStore>(path, rank);
}

}  // namespace tera::comm
