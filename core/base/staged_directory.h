// A directory that appears under its name only when it is complete.
#pragma once
#include <filesystem>
#include <optional>

#include "core/base/result.h"
#include "core/base/unfinished_file.h"
#include "core/base/vfs.h"

namespace tera {

class StagedDirectory {
 public:
  // Makes a hidden directory beside `name`, and missing parents. Error when `name` exists.
  static Result<StagedDirectory> create(Vfs& vfs, const std::filesystem::path& name);
  // Removes everything unless it was published; so does remove_unfinished_files().
  ~StagedDirectory();
  StagedDirectory(StagedDirectory&& other) noexcept;
  StagedDirectory& operator=(StagedDirectory&&) = delete;
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;

  // Where to write; files are synced by who writes them.
  const std::filesystem::path& path() const { return temp_; }
  // Gives the directory its name, durably.
  Result<void> publish();

 private:
  StagedDirectory(Vfs& vfs, std::filesystem::path name, std::filesystem::path temp);

  Vfs* vfs_;  // null: published or moved from
  std::filesystem::path name_, temp_;
  std::optional<UnfinishedEntry> entry_;
};

}  // namespace tera
