#include <array>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/run/run_directory.h"

namespace tera::run {
namespace {

constexpr std::size_t kMaxLockBytes = 4096;

// What the lock file says; pid 0 when it says nothing yet.
LockHolder parse_holder(const std::string& text) {
  LockHolder holder;
  const nlohmann::json document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_object()) return holder;
  try {
    LockHolder read;
    read.process.pid = document.at("pid").get<std::int64_t>();
    read.process.starttime = document.at("starttime").get<std::int64_t>();
    read.process.boot_id = document.at("boot_id").get<std::string>();
    read.attempt = document.at("attempt").get<int>();
    holder = read;
  } catch (const nlohmann::json::exception&) {
    // An older or foreign content names nobody.
  }
  return holder;
}

std::string read_all(int fd) {
  std::array<char, kMaxLockBytes> buffer{};
  const ssize_t size = ::pread(fd, buffer.data(), buffer.size(), 0);
  return std::string(buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
}

// True when taken, false when another process has it. Readers probe with a shared lock for some
// microseconds, so an exclusive request is repeated for a moment before it counts as refused.
bool take(int fd, int operation) {
  const int tries = operation == LOCK_EX ? 20 : 1;
  for (int i = 0; i < tries; ++i) {
    if (::flock(fd, operation | LOCK_NB) == 0) return true;
    if (i + 1 < tries) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace

Result<RunLock> RunLock::acquire(const RunDirectory& dir, int attempt) {
  RunLock lock;
  lock.fd_ = ::open(dir.lock_file().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock.fd_ < 0) return tl::unexpected<Error>(os_error("open", dir.lock_file(), errno));
  if (!take(lock.fd_, LOCK_EX)) {
    const LockHolder holder = parse_holder(read_all(lock.fd_));
    return fail(ErrorCode::failed,
                fmt::format("run {} is being trained by process {} (attempt {})", dir.id(),
                            holder.process.pid, holder.attempt),
                "watch it with `teragpt attach`, or end it with `teragpt stop`");
  }
  const ProcessId self = this_process();
  const nlohmann::ordered_json document = {{"pid", self.pid},
                                           {"starttime", self.starttime},
                                           {"boot_id", self.boot_id},
                                           {"attempt", attempt}};
  const std::string text = document.dump() + "\n";
  if (::ftruncate(lock.fd_, 0) != 0 ||
      ::pwrite(lock.fd_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return tl::unexpected<Error>(os_error("write", dir.lock_file(), errno, text.size()));
  }
  return lock;
}

RunLock::~RunLock() {
  if (fd_ >= 0) ::close(fd_);
}

RunLock::RunLock(RunLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

RunLock& RunLock::operator=(RunLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Result<LockHolder> lock_holder(const RunDirectory& dir) {
  const int fd = ::open(dir.lock_file().c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return LockHolder{};
    return tl::unexpected<Error>(os_error("open", dir.lock_file(), errno));
  }
  const bool free = take(fd, LOCK_SH);
  LockHolder holder = parse_holder(read_all(fd));
  ::close(fd);
  // A child may have inherited the lock of a dead process; on another machine only the lock tells.
  const bool same_boot = holder.process.boot_id == boot_id();
  holder.held = !free && (holder.process.pid == 0 || !same_boot || is_alive(holder.process));
  return holder;
}

}  // namespace tera::run
