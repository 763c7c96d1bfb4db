// Files and folders under names of their own until they are whole.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "core/base/vfs.h"

namespace tera {

// What remove_unfinished_files() removes while it lives: a file, or a folder with all in it.
class UnfinishedEntry {
 public:
  explicit UnfinishedEntry(const std::filesystem::path& path);
  ~UnfinishedEntry();
  UnfinishedEntry(UnfinishedEntry&& other) noexcept;
  UnfinishedEntry& operator=(UnfinishedEntry&&) = delete;
  UnfinishedEntry(const UnfinishedEntry&) = delete;
  UnfinishedEntry& operator=(const UnfinishedEntry&) = delete;

 private:
  int slot_ = -1;
};

// Removes its file when destroyed before publish(). A process that ends without destructors calls
// remove_unfinished_files() for all of them.
class UnfinishedFile {
 public:
  UnfinishedFile(Vfs& vfs, std::filesystem::path path);
  ~UnfinishedFile();
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;

  // Opens it for writing, empty.
  Result<std::unique_ptr<WritableFile>> open();
  // Writes the whole text and syncs it.
  Result<void> write(std::string_view text);
  // Gives it its name, in place of what was there. The caller syncs the folder.
  Result<void> publish(const std::filesystem::path& to);
  const std::filesystem::path& path() const { return path_; }

 private:
  void end();

  Vfs& vfs_;
  std::filesystem::path path_;
  std::optional<UnfinishedEntry> entry_;
  bool exists_ = false;
};

// A hidden name in the same folder that nobody else uses: ".NAME.tmp-0123456789abcdef".
std::filesystem::path temporary_name(const std::filesystem::path& path);

// Removes the files and folders of all objects that live. Safe in a signal handler; the process
// must end then.
void remove_unfinished_files() noexcept;

}  // namespace tera
