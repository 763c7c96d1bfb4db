#include "core/base/staged_directory.h"

#include <utility>

#include <fmt/format.h>

namespace tera {

namespace fs = std::filesystem;

StagedDirectory::StagedDirectory(Vfs& vfs, fs::path name, fs::path temp)
    : vfs_(&vfs), name_(std::move(name)), temp_(std::move(temp)), entry_(temp_) {}

StagedDirectory::StagedDirectory(StagedDirectory&& other) noexcept
    : vfs_(std::exchange(other.vfs_, nullptr)),
      name_(std::move(other.name_)),
      temp_(std::move(other.temp_)),
      entry_(std::move(other.entry_)) {}

StagedDirectory::~StagedDirectory() {
  if (vfs_ != nullptr) static_cast<void>(vfs_->remove_all(temp_));
}

Result<StagedDirectory> StagedDirectory::create(Vfs& vfs, const fs::path& name) {
  std::error_code ignored;  // without a working directory the path is taken as it is
  fs::path final_path = fs::absolute(name, ignored).lexically_normal();
  if (!final_path.has_filename()) final_path = final_path.parent_path();
  TERA_TRY(const bool present, vfs.exists(final_path));
  if (present) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} exists and was left as it is", name.string()),
                "choose another name, or move it away first");
  }
  TERA_TRY_VOID(make_dirs(vfs, final_path.parent_path()));
  StagedDirectory staged(vfs, final_path, temporary_name(final_path));
  TERA_TRY_VOID(vfs.make_dir(staged.temp_));
  return staged;
}

Result<void> StagedDirectory::publish() {
  TERA_TRY_VOID(vfs_->sync_dir(temp_));
  TERA_TRY_VOID(vfs_->rename(temp_, name_, true));
  Vfs* vfs = std::exchange(vfs_, nullptr);
  entry_.reset();
  return vfs->sync_dir(name_.parent_path());
}

}  // namespace tera
