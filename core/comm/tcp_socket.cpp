#include "core/comm/tcp_socket.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace tera::comm {
namespace {

constexpr std::size_t kLengthBytes = sizeof(std::uint32_t);

std::optional<sockaddr_in> address_of(const std::string& host, int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  if (!host.empty() && ::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1)
    return std::nullopt;
  return address;
}

bool receive_all(const Socket& socket, char* to, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t got = ::recv(socket.get(), to, bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

void send_at_once(const Socket& socket) {
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

void Socket::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

void limit_waits(const Socket& socket, double seconds) {
  timeval limit = {};
  limit.tv_sec = static_cast<time_t>(seconds);
  limit.tv_usec =
      static_cast<suseconds_t>((seconds - static_cast<double>(limit.tv_sec)) * 1'000'000);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

bool send_frame(const Socket& socket, std::string_view bytes) {
  std::string frame(kLengthBytes, '\0');
  const std::uint32_t length = htonl(static_cast<std::uint32_t>(bytes.size()));
  std::memcpy(frame.data(), &length, kLengthBytes);
  frame += bytes;
  for (std::size_t at = 0; at < frame.size();) {
    const ssize_t sent = ::send(socket.get(), frame.data() + at, frame.size() - at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += static_cast<std::size_t>(sent);
  }
  return true;
}

std::optional<std::string> receive_frame(const Socket& socket) {
  std::uint32_t length = 0;
  if (!receive_all(socket, reinterpret_cast<char*>(&length), kLengthBytes)) return std::nullopt;
  length = ntohl(length);
  if (length > kMaxFrameBytes) return std::nullopt;
  std::string bytes(length, '\0');
  if (!receive_all(socket, bytes.data(), length)) return std::nullopt;
  return bytes;
}

std::optional<std::string> take_frame(std::string& received, std::size_t limit, bool& too_long) {
  if (received.size() < kLengthBytes) return std::nullopt;
  std::uint32_t length = 0;
  std::memcpy(&length, received.data(), kLengthBytes);
  length = ntohl(length);
  too_long = length > limit;
  if (too_long || received.size() < kLengthBytes + length) return std::nullopt;
  std::string bytes = received.substr(kLengthBytes, length);
  received.erase(0, kLengthBytes + length);
  return bytes;
}

bool is_ipv4(const std::string& host) {
  return !host.empty() && address_of(host, 0).has_value();
}

Socket connect_to(const std::string& host, int port, double seconds) {
  const std::optional<sockaddr_in> address = address_of(host, port);
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!address || !socket.is_open()) return {};
  const auto* where = reinterpret_cast<const sockaddr*>(&*address);
  if (::connect(socket.get(), where, sizeof *address) != 0) {
    if (errno != EINPROGRESS) return {};
    pollfd waits = {.fd = socket.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&waits, 1, std::max(1, static_cast<int>(seconds * 1000))) != 1) return {};
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return {};
  }
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) & ~O_NONBLOCK);
  send_at_once(socket);
  return socket;
}

Socket listen_at(const std::string& host, int port) {
  const std::optional<sockaddr_in> address = address_of(host, port);
  if (!address) {
    errno = EADDRNOTAVAIL;
    return {};
  }
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return {};
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto* where = reinterpret_cast<const sockaddr*>(&*address);
  if (::bind(socket.get(), where, sizeof *address) != 0 || ::listen(socket.get(), SOMAXCONN) != 0)
    return {};
  return socket;
}

int port_of(const Socket& socket) {
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

std::vector<std::string> own_addresses() {
  std::vector<std::string> found;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {"127.0.0.1"};
  for (const ifaddrs* each = first; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    if ((each->ifa_flags & IFF_UP) == 0 || (each->ifa_flags & IFF_LOOPBACK) != 0) continue;
    char text[INET_ADDRSTRLEN] = {};
    const auto* address = reinterpret_cast<const sockaddr_in*>(each->ifa_addr);
    if (::inet_ntop(AF_INET, &address->sin_addr, text, sizeof text) != nullptr)
      found.emplace_back(text);
  }
  ::freeifaddrs(first);
  found.emplace_back("127.0.0.1");
  return found;
}

}  // namespace tera::comm
