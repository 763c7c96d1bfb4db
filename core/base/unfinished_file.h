// A file under a name of its own until it is whole.
#pragma once
#include <filesystem>
#include <memory>
#include <string_view>

#include "core/base/vfs.h"

namespace tera {

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
  int slot_ = -1;  // in the table of remove_unfinished_files()
  bool exists_ = false;
};

// A hidden name in the same folder that nobody else uses: ".NAME.tmp-0123456789abcdef".
std::filesystem::path temporary_name(const std::filesystem::path& path);

// Removes the files of all objects that live. Safe in a signal handler; the process must end then.
void remove_unfinished_files() noexcept;

}  // namespace tera
