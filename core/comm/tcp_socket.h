// Sockets of the TCP store: frames of bytes with a length before them.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tera::comm {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int get() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }
  void close();

 private:
  int descriptor_ = -1;
};

// Longer ones are refused.
inline constexpr std::size_t kMaxFrameBytes = (1 << 20) + 1024;

// Sends and receives of a connection end after `seconds`.
void limit_waits(const Socket& socket, double seconds);
// False when the peer is gone or does not take it in time.
bool send_frame(const Socket& socket, std::string_view bytes);
// Nothing when the peer is gone, does not send in time or sends too much.
std::optional<std::string> receive_frame(const Socket& socket);
// Takes the first frame off what has come so far; nothing while it is not whole. `too_long` is set
// when it never may be.
std::optional<std::string> take_frame(std::string& received, std::size_t limit, bool& too_long);

// Whether it is an address that the following take.
bool is_ipv4(const std::string& host);
// Null where nobody listens or answers within `seconds`.
Socket connect_to(const std::string& host, int port, double seconds);
// Listens at `host`, or everywhere where that is empty. Not open, with errno set, where it may not.
Socket listen_at(const std::string& host, int port);
int port_of(const Socket& socket);
// IPv4 addresses of this computer, loopback last.
std::vector<std::string> own_addresses();

}  // namespace tera::comm
