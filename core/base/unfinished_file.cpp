#include "core/base/unfinished_file.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <random>
#include <utility>

#include <unistd.h>

#include <fmt/format.h>

namespace tera {
namespace {

// What a signal handler may read: fixed in size, without locks. A file beyond its size is only
// removed by its object.
constexpr int kMaxFiles = 64;
static_assert(std::atomic<char*>::is_always_lock_free);
std::array<std::atomic<char*>, kMaxFiles> g_unfinished;

int enter(const std::filesystem::path& path) {
  char* name = ::strdup(path.c_str());
  for (int i = 0; i < kMaxFiles && name != nullptr; ++i) {
    char* empty = nullptr;
    if (g_unfinished[static_cast<std::size_t>(i)].compare_exchange_strong(empty, name)) return i;
  }
  std::free(name);
  return -1;
}

void leave(int slot) {
  if (slot >= 0) std::free(g_unfinished[static_cast<std::size_t>(slot)].exchange(nullptr));
}

}  // namespace

UnfinishedFile::UnfinishedFile(Vfs& vfs, std::filesystem::path path)
    : vfs_(vfs), path_(std::move(path)) {}

UnfinishedFile::~UnfinishedFile() {
  if (exists_) static_cast<void>(vfs_.remove_all(path_));  // the first error is the one to report
  end();
}

Result<std::unique_ptr<WritableFile>> UnfinishedFile::open() {
  if (slot_ < 0) slot_ = enter(path_);
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
  leave(std::exchange(slot_, -1));
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
    if (name != nullptr) ::unlink(name);
  }
}

}  // namespace tera
