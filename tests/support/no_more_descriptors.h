// A process that has as many files and sockets open as it may.
#pragma once
#include <stdexcept>

#include <sys/resource.h>
#include <unistd.h>

namespace tera::test {

// While this lives it may open `left` more.
class NoMoreDescriptors {
 public:
  explicit NoMoreDescriptors(int left = 0) {
    const int lowest = ::dup(STDERR_FILENO);  // all below are taken
    ::close(lowest);
    if (lowest < 0 || ::getrlimit(RLIMIT_NOFILE, &before_) != 0) throw std::runtime_error("rlimit");
    const rlimit now = {.rlim_cur = static_cast<rlim_t>(lowest + left),
                        .rlim_max = before_.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &now) != 0) throw std::runtime_error("rlimit");
  }
  ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;

 private:
  rlimit before_ = {};
};

}  // namespace tera::test
