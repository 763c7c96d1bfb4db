#include "core/comm/tcp_store.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>

#include <poll.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/vfs.h"
#include "core/comm/tcp_socket.h"

namespace tera::comm {
namespace {

// Requests are "s" name newline value and "g" name; answers "1" (set; a value follows) and "0".
// Before them the secret, which is answered with "1".
constexpr std::size_t kMaxSecretBytes = 256;
// Who connects says the secret at once; those who have not yet are few at any time.
constexpr double kGreetingS = 3;
constexpr std::ptrdiff_t kMaxUnknown = 64;
constexpr double kAcceptPauseS = 0.1;  // when this process has no descriptor for another one
// A computer on the way that drops packets.
constexpr double kConnectS = 2;
constexpr std::string_view kTcp = "tcp://";
constexpr std::string_view kSecretFile = "/@";  // its name follows
constexpr int kLookMs = 20;  // how often the server looks whether it should end

std::string make_secret() {
  std::random_device random;
  std::string secret;
  for (int i = 0; i < 4; ++i)
    secret += fmt::format("{:08x}", random());
  return secret;
}

class StoreServer {
 public:
  StoreServer(Socket listener, std::string secret)
      : listener_(std::move(listener)), secret_(std::move(secret)), thread_([this] { serve(); }) {}
  ~StoreServer() {
    closing_ = true;
    thread_.join();
  }
  StoreServer(const StoreServer&) = delete;
  StoreServer& operator=(const StoreServer&) = delete;

  MemoryStore& values() { return values_; }
  int num_known() const { return num_known_; }

 private:
  struct Client {
    Socket socket;
    std::string received;
    double since_s = 0;
    bool known = false;  // told the secret
  };

  void serve() {
    while (!closing_) {
      forget_silent();
      std::vector<pollfd> waits = {
          {.fd = accepts() ? listener_.get() : -1, .events = POLLIN, .revents = 0}};
      for (const Client& client : clients_)
        waits.push_back({.fd = client.socket.get(), .events = POLLIN, .revents = 0});
      if (::poll(waits.data(), waits.size(), kLookMs) <= 0) continue;
      for (std::size_t i = clients_.size(); i-- > 0;) {
        if (waits[i + 1].revents != 0 && !hear(clients_[i]))
          clients_.erase(clients_.begin() + static_cast<std::ptrdiff_t>(i));
      }
      if (waits.front().revents != 0) accept();
    }
  }

  void forget_silent() {
    const double now_s = monotonic_s();
    std::erase_if(clients_, [&](const Client& client) {
      return !client.known && now_s > client.since_s + kGreetingS;
    });
    num_known_ = static_cast<int>(std::count_if(clients_.begin(), clients_.end(),
                                                [](const Client& client) { return client.known; }));
  }

  bool accepts() const {
    return std::ssize(clients_) - num_known_ < kMaxUnknown && monotonic_s() >= accepts_from_s_;
  }

  void accept() {
    Socket socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.is_open()) {
      accepts_from_s_ = monotonic_s() + kAcceptPauseS;
      return;
    }
    limit_waits(socket, 1);  // nobody keeps the others waiting for longer
    clients_.push_back({.socket = std::move(socket), .received = {}, .since_s = monotonic_s()});
  }

  // False when the client is gone, or none of ours.
  bool hear(Client& client) {
    char bytes[64 << 10];
    const ssize_t got = ::recv(client.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    client.received.append(bytes, static_cast<std::size_t>(got));
    bool too_long = false;
    const auto limit = [&] { return client.known ? kMaxFrameBytes : kMaxSecretBytes; };
    while (const auto frame = take_frame(client.received, limit(), too_long)) {
      if (!client.known && *frame != secret_) return false;
      const std::string reply = client.known ? answer(*frame) : "1";
      client.known = true;
      if (!send_frame(client.socket, reply)) return false;
    }
    return !too_long;
  }

  std::string answer(std::string_view request) {
    if (request.empty()) return "0";
    const std::string_view rest = request.substr(1);
    if (request.front() == 'g') {
      const std::optional<std::string> value = values_.get(rest);
      return value ? "1" + *value : "0";
    }
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) return "0";
    return values_.set(rest.substr(0, end), rest.substr(end + 1)) ? "1" : "0";
  }

  const Socket listener_;
  const std::string secret_;
  MemoryStore values_;
  std::vector<Client> clients_;
  double accepts_from_s_ = 0;
  std::atomic<int> num_known_ = 0;
  std::atomic<bool> closing_ = false;
  std::thread thread_;
};

class ServedTcpStore final : public Store {
 public:
  ServedTcpStore(Socket listener, const TcpStoreAddress& address)
      : server_(std::move(listener), address.secret),
        text_(fmt::format("rank 0: its own store at port {}", address.port)) {}

  bool set(std::string_view name, std::string_view value) override {
    return server_.values().set(name, value);
  }
  std::optional<std::string> get(std::string_view name) override {
    return server_.values().get(name);
  }
  void leave(double seconds) noexcept override {
    const double end_s = monotonic_s() + seconds;
    while (server_.num_known() > 0 && monotonic_s() < end_s)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::string text() const override { return text_; }

 private:
  StoreServer server_;
  const std::string text_;
};

class TcpStore final : public Store {
 public:
  TcpStore(Socket socket, std::string text, double timeout_s)
      : socket_(std::move(socket)), text_(std::move(text)), timeout_s_(timeout_s) {
    limit_waits(socket_, timeout_s);
  }

  bool set(std::string_view name, std::string_view value) override {
    return ask(fmt::format("s{}\n{}", name, value), name) == "1";
  }
  std::optional<std::string> get(std::string_view name) override {
    const std::string reply = ask(fmt::format("g{}", name), name);
    return reply.starts_with('1') ? std::optional(reply.substr(1)) : std::nullopt;
  }
  void leave(double /*seconds*/) noexcept override {
    const std::scoped_lock lock(mutex_);
    socket_.close();
  }
  std::string text() const override { return text_; }

 private:
  std::string ask(const std::string& request, std::string_view name) {
    const std::scoped_lock lock(mutex_);
    if (socket_.is_open() && send_frame(socket_, request)) {
      if (std::optional<std::string> reply = receive_frame(socket_)) return std::move(*reply);
    }
    socket_.close();  // a late answer would be taken for that of another question
    throw CommunicationError(
        fmt::format("{}: asked for {}, rank 0 is gone or does not answer within {} s", text_, name,
                    timeout_s_));
  }

  std::mutex mutex_;
  Socket socket_;
  const std::string text_;
  const double timeout_s_;
};

// Where the secret is known, too: other computers may have the same address.
Socket find_server(const TcpStoreAddress& address, double end_s) {
  const auto left_s = [end_s] { return std::clamp(end_s - monotonic_s(), 1e-3, kConnectS); };
  for (const std::string& host : address.hosts) {
    Socket socket = connect_to(host, address.port, left_s());
    if (!socket.is_open()) continue;
    limit_waits(socket, left_s());
    if (!send_frame(socket, address.secret) || receive_frame(socket) != "1") continue;
    return socket;
  }
  return {};
}

// An address whose secret is in a file, with the first line of that.
Result<std::string> with_secret(const std::string& text) {
  const std::size_t at = text.find(kSecretFile);
  if (at == std::string::npos) return text;
  TERA_TRY(const std::string lines,
           read_text(posix_vfs(), text.substr(at + kSecretFile.size()), kMaxSecretBytes + 1));
  return text.substr(0, at + 1) + lines.substr(0, lines.find('\n'));
}

}  // namespace

std::string TcpStoreAddress::text() const {
  return fmt::format("{}:{}/{}", fmt::join(hosts, ","), port, secret);
}

Result<TcpStoreAddress> parse_tcp_store_address(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::size_t slash = std::min(text.find('/'), text.size());
  TcpStoreAddress address;
  for (std::size_t at = 0; colon != std::string::npos && at < colon;) {
    const std::size_t end = std::min(text.find(',', at), colon);
    address.hosts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (colon < slash) {
    const char* end = text.data() + slash;
    if (std::from_chars(text.data() + colon + 1, end, address.port).ptr != end) address.port = 0;
  }
  address.secret = text.substr(std::min(slash + 1, text.size()));
  const bool named = !std::all_of(address.hosts.begin(), address.hosts.end(), is_ipv4);
  if (named || address.hosts.empty() || address.port < 1 || address.port > 65535) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("got the address \"{}\" of a store, expected IPv4 addresses and a port: "
                    "\"10.0.0.1:4242/secret\"",
                    text.substr(0, slash)),
        "`getent ahostsv4 NAME` tells those of a computer");
  }
  if (address.secret.size() > kMaxSecretBytes) {
    return fail(ErrorCode::invalid_input,
                fmt::format("store {}: got a secret of {} bytes, expected at most {}",
                            text.substr(0, slash), address.secret.size(), kMaxSecretBytes));
  }
  return address;
}

Result<ServedStore> serve_tcp_store(TcpStoreAddress address) {
  const std::string at = address.hosts.empty() ? "" : address.hosts.front();
  Socket listener = listen_at(at, address.port);
  if (!listener.is_open()) {
    return fail(
        ErrorCode::io,
        fmt::format("rank 0: cannot listen at {}:{}: {}", at, address.port, std::strerror(errno)),
        "is the port in use, or the address of another computer?");
  }
  address.port = port_of(listener);
  if (address.hosts.empty()) address.hosts = own_addresses();
  if (address.secret.empty()) address.secret = make_secret();
  return ServedStore{std::make_unique<ServedTcpStore>(std::move(listener), address), address};
}

Result<std::unique_ptr<Store>> join_tcp_store(const TcpStoreAddress& address,
                                              int rank,
                                              double timeout_s) {
  const std::string where =
      fmt::format("rank {}: store {}:{}", rank, fmt::join(address.hosts, ","), address.port);
  const double end_s = monotonic_s() + timeout_s;
  while (true) {
    Socket socket = find_server(address, end_s);
    if (socket.is_open()) {
      return std::make_unique<TcpStore>(std::move(socket), where, timeout_s);
    }
    if (monotonic_s() >= end_s) {
      return fail(ErrorCode::failed,
                  fmt::format("{}: nobody answers there within {} s", where, timeout_s),
                  "has rank 0 started, and can this computer reach it at that port?");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

Result<std::unique_ptr<Store>> open_store(const std::string& where, int rank, double timeout_s) {
  if (!where.starts_with(kTcp)) return make_file_store(where, rank);
  TERA_TRY(const std::string text, with_secret(where.substr(kTcp.size())));
  TERA_TRY(const TcpStoreAddress address, parse_tcp_store_address(text));
  if (address.secret.empty()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("got the store {} without a secret, expected one after a slash", where),
                "without it any process of the network could join");
  }
  if (rank > 0) return join_tcp_store(address, rank, timeout_s);
  TERA_TRY(ServedStore served, serve_tcp_store(address));
  return std::move(served.store);
}

}  // namespace tera::comm
