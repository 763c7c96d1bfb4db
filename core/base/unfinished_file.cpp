#include "core/base/unfinished_file.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

namespace tera {
namespace {

// What a signal handler may read: fixed in size, without locks. What is beyond its size is only
// removed by its object.
constexpr int kMaxEntries = 64;
static_assert(std::atomic<char*>::is_always_lock_free);
std::array<std::atomic<char*>, kMaxEntries> g_unfinished;

// Removes a file or a folder with all in it; of symbolic links only the link. System calls alone:
// what opens folders in the C library allocates memory, which a signal handler must not.
// NOLINTNEXTLINE(misc-no-recursion): as deep as the folders that this program made
void remove_tree(int parent, const char* name) noexcept {
  if (::unlinkat(parent, name, 0) == 0) return;
  const int folder = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) return;
  std::array<char, 4096> entries;
  for (long size = 0;
       (size = ::syscall(SYS_getdents64, folder, entries.data(), entries.size())) > 0;) {
    for (long at = 0; at < size;) {
      dirent64 entry;
      const auto known = std::min(sizeof(entry), static_cast<std::size_t>(size - at));
      std::memcpy(&entry, entries.data() + at, known);
      at += entry.d_reclen;
      const std::string_view child = static_cast<const char*>(entry.d_name);
      if (child != "." && child != "..") remove_tree(folder, child.data());
    }
  }
  ::close(folder);
  ::unlinkat(parent, name, AT_REMOVEDIR);
}

}  // namespace

UnfinishedEntry::UnfinishedEntry(const std::filesystem::path& path) {
  char* name = ::strdup(path.c_str());
  for (int i = 0; i < kMaxEntries && name != nullptr; ++i) {
    char* empty = nullptr;
    if (g_unfinished[static_cast<std::size_t>(i)].compare_exchange_strong(empty, name)) {
      slot_ = i;
      return;
    }
  }
  std::free(name);
}

UnfinishedEntry::UnfinishedEntry(UnfinishedEntry&& other) noexcept
    : slot_(std::exchange(other.slot_, -1)) {}

UnfinishedEntry::~UnfinishedEntry() {
  if (slot_ >= 0) std::free(g_unfinished[static_cast<std::size_t>(slot_)].exchange(nullptr));
}

UnfinishedFile::UnfinishedFile(Vfs& vfs, std::filesystem::path path)
    : vfs_(vfs), path_(std::move(path)) {}

UnfinishedFile::~UnfinishedFile() {
  if (exists_) static_cast<void>(vfs_.remove_all(path_));  // the first error is the one to report
  end();
}

Result<std::unique_ptr<WritableFile>> UnfinishedFile::open() {
  if (!entry_) entry_.emplace(path_);
  Result<std::unique_ptr<WritableFile>> file = vfs_.open_write(path_, Vfs::Mode::truncate);
  exists_ = exists_ || file;
  return file;
}

Result<void> UnfinishedFile::write(std::string_view text) {
  TERA_TRY(const std::unique_ptr<WritableFile> file, open());
  TERA_TRY_VOID(file->append(std::as_bytes(std::span(text.data(), text.size()))));
  TERA_TRY_VOID(file->sync());
  return file->close();
}

Result<void> UnfinishedFile::publish(const std::filesystem::path& to) {
  TERA_TRY_VOID(vfs_.rename(path_, to, false));
  end();
  return {};
}

void UnfinishedFile::end() {
  entry_.reset();
  exists_ = false;
}

std::filesystem::path temporary_name(const std::filesystem::path& path) {
  std::random_device random;
  return path.parent_path() /
         fmt::format(".{}.tmp-{:08x}{:08x}", path.filename().string(), random(), random());
}

void remove_unfinished_files() noexcept {
  for (std::atomic<char*>& entry : g_unfinished) {
    const char* name = entry.exchange(nullptr);  // kept: nothing may be freed in a handler
    if (name != nullptr) remove_tree(AT_FDCWD, name);
  }
}

}  // namespace tera
