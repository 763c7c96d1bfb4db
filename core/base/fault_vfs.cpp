#include "core/base/fault_vfs.h"

#include <utility>

#include <fmt/format.h>

namespace tera {

namespace fs = std::filesystem;

namespace {

// `path` after `from` was renamed to `to`: another one only for `from` itself and what is below it.
fs::path renamed(const fs::path& path, const fs::path& from, const fs::path& to) {
  if (path == from) return to;
  const fs::path inside = path.lexically_relative(from);
  const bool below = !inside.empty() && *inside.begin() != ".." && *inside.begin() != ".";
  return below ? to / inside : path;
}

}  // namespace

class FaultFile : public WritableFile {
 public:
  FaultFile(FaultVfs& vfs, fs::path path, std::unique_ptr<WritableFile> inner)
      : vfs_(&vfs), path_(std::move(path)), inner_(std::move(inner)) {}

  Result<void> append(std::span<const std::byte> bytes) override {
    bool half = false;
    Result<void> allowed = vfs_->begin(FaultVfs::Kind::append, path_, bytes.size(), &half);
    if (!allowed && !half) return allowed;
    const std::span<const std::byte> written = half ? bytes.first(bytes.size() / 2) : bytes;
    TERA_TRY_VOID(inner_->append(written));
    vfs_->files_[path_].written += written.size();
    return allowed;
  }

  Result<void> sync() override {
    TERA_TRY_VOID(vfs_->begin(FaultVfs::Kind::sync, path_));
    TERA_TRY_VOID(inner_->sync());
    FaultVfs::FileState& state = vfs_->files_[path_];
    state.synced = state.written;
    return {};
  }

  Result<void> close() override {
    TERA_TRY_VOID(vfs_->begin(FaultVfs::Kind::close, path_));
    return inner_->close();
  }

 private:
  FaultVfs* vfs_;
  fs::path path_;
  std::unique_ptr<WritableFile> inner_;
};

FaultVfs::FaultVfs(Vfs& inner) : inner_(&inner) {}

void FaultVfs::set_fault(Fault fault, std::int64_t at_operation, int error_number) {
  fault_ = fault;
  fault_at_ = at_operation;
  error_number_ = error_number;
  fault_hit_ = false;
}

Result<void> FaultVfs::begin(Kind kind, const fs::path& path, std::uint64_t num_bytes, bool* half) {
  const auto index = static_cast<std::int64_t>(operations_.size());
  operations_.push_back({kind, path, num_bytes});
  if (dead_) return fail(ErrorCode::io, fmt::format("{}: the process is dead", path.string()));
  if (index != fault_at_) return {};
  fault_hit_ = true;
  if (half != nullptr) *half = fault_ != Fault::error;
  if (fault_ == Fault::crash) dead_ = true;
  return tl::unexpected<Error>(os_error("(fault injected) use", path, error_number_, num_bytes));
}

void FaultVfs::power_cut() {
  dead_ = true;
  std::error_code ignored;  // a file may be gone together with its directory
  for (const auto& [path, state] : files_) {
    if (state.synced < state.written && fs::exists(path, ignored)) {
      fs::resize_file(path, state.synced, ignored);
    }
  }
  while (!name_changes_.empty()) {
    const NameChange change = std::move(name_changes_.back());
    name_changes_.pop_back();
    undo(change);
  }
}

void FaultVfs::undo(const NameChange& change) {
  std::error_code ignored;
  if (change.from.empty()) {
    fs::remove_all(change.path, ignored);
    return;
  }
  fs::rename(change.path, change.from, ignored);
  moved(change.path, change.from);
  if (!change.replaced) return;
  const auto file = inner_->open_write(change.path, Mode::truncate);
  if (file) static_cast<void>((*file)->append(*change.replaced));
}

void FaultVfs::moved(const fs::path& from, const fs::path& to) {
  std::map<fs::path, FileState> files;
  for (const auto& [path, state] : files_) {
    if (path != to) files[renamed(path, from, to)] = state;
  }
  files_ = std::move(files);
  for (NameChange& change : name_changes_) {
    change.path = renamed(change.path, from, to);
    if (!change.from.empty()) change.from = renamed(change.from, from, to);
  }
}

Result<std::unique_ptr<WritableFile>> FaultVfs::open_write(const fs::path& path, Mode mode) {
  TERA_TRY_VOID(begin(Kind::open_write, path));
  TERA_TRY(const bool existed, inner_->exists(path));
  TERA_TRY(std::unique_ptr<WritableFile> file, inner_->open_write(path, mode));
  TERA_TRY(const std::uint64_t size, inner_->file_size(path));
  const auto known = files_.find(path);
  if (known == files_.end() || mode != Mode::append) files_[path] = {size, size};
  if (!existed) name_changes_.push_back({path, {}, {}});
  return std::make_unique<FaultFile>(*this, path, std::move(file));
}

Result<std::vector<std::byte>> FaultVfs::read(const fs::path& path,
                                              std::uint64_t offset,
                                              std::uint64_t size) {
  TERA_TRY_VOID(begin(Kind::read, path, size));
  return inner_->read(path, offset, size);
}

Result<std::uint64_t> FaultVfs::file_size(const fs::path& path) {
  TERA_TRY_VOID(begin(Kind::file_size, path));
  return inner_->file_size(path);
}

Result<bool> FaultVfs::exists(const fs::path& path) {
  TERA_TRY_VOID(begin(Kind::exists, path));
  return inner_->exists(path);
}

Result<std::vector<std::string>> FaultVfs::list(const fs::path& dir) {
  TERA_TRY_VOID(begin(Kind::list, dir));
  return inner_->list(dir);
}

Result<void> FaultVfs::make_dir(const fs::path& path) {
  TERA_TRY_VOID(begin(Kind::make_dir, path));
  TERA_TRY_VOID(inner_->make_dir(path));
  name_changes_.push_back({path, {}, {}});
  return {};
}

Result<void> FaultVfs::rename(const fs::path& from, const fs::path& to, bool no_replace) {
  TERA_TRY_VOID(begin(Kind::rename, to));
  // A file that is replaced comes back when the rename was not durable.
  std::optional<std::vector<std::byte>> replaced;
  std::error_code ignored;
  if (!no_replace && fs::is_regular_file(to, ignored)) {
    TERA_TRY(const std::uint64_t size, inner_->file_size(to));
    TERA_TRY(replaced, inner_->read(to, 0, size));
  }
  TERA_TRY_VOID(inner_->rename(from, to, no_replace));
  moved(from, to);
  name_changes_.push_back({to, from, std::move(replaced)});
  return {};
}

Result<void> FaultVfs::remove_all(const fs::path& path) {
  TERA_TRY_VOID(begin(Kind::remove_all, path));
  return inner_->remove_all(path);
}

Result<void> FaultVfs::sync_dir(const fs::path& dir) {
  TERA_TRY_VOID(begin(Kind::sync_dir, dir));
  TERA_TRY_VOID(inner_->sync_dir(dir));
  std::erase_if(name_changes_,
                [&](const NameChange& change) { return change.path.parent_path() == dir; });
  return {};
}

Result<std::uint64_t> FaultVfs::free_bytes(const fs::path& dir) {
  TERA_TRY_VOID(begin(Kind::free_bytes, dir));
  if (free_bytes_) return *free_bytes_;
  return inner_->free_bytes(dir);
}

}  // namespace tera
