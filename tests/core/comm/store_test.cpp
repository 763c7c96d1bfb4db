// Stores that ranks find each other in: folders and TCP, between threads and processes.
#include "core/comm/store.h"

#include <atomic>
#include <ctime>
#include <fstream>
#include <thread>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/comm/tcp_socket.h"
#include "core/comm/tcp_store.h"
#include "tests/support/no_more_descriptors.h"
#include "tests/support/temp_dir.h"

namespace tera::comm {
namespace {

using testing::HasSubstr;

constexpr int kRanks = 4;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const CommunicationError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// What every store promises, on one rank of kRanks, each on a thread or in a process.
void use(Store& store, int rank) {
  const std::string mine = "rank." + std::to_string(rank);
  EXPECT_EQ(store.get("nobody.set-this"), std::nullopt);
  std::string bytes(3000, '\0');  // any bytes, newlines and zeros among them
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<char>(i * 7 + static_cast<std::size_t>(rank));
  EXPECT_TRUE(store.set(mine, bytes));
  EXPECT_FALSE(store.set(mine, "another"));
  EXPECT_EQ(store.get(mine), bytes);
  for (int r = 0; r < kRanks; ++r) {
    const std::string theirs = store.wait_for("rank." + std::to_string(r), 30);
    EXPECT_EQ(theirs.size(), bytes.size());
    EXPECT_EQ(static_cast<int>(theirs.front()), r);
  }
  if (store.set("first", mine)) store.set(mine + ".won", "");
  int num_winners = 0;
  const std::string winner = store.wait_for("first", 30);
  for (int r = 0; r < kRanks; ++r)
    num_winners += winner == "rank." + std::to_string(r) ? 1 : 0;
  EXPECT_EQ(num_winners, 1);
  EXPECT_EQ(store.wait_for(winner + ".won", 30), "");
  EXPECT_TRUE(store.set(mine + ".empty", ""));
  EXPECT_EQ(store.get(mine + ".empty"), "");
}

// Runs it on as many threads.
template <class OpenStore>
void use_on_threads(const OpenStore& open) {
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < kRanks; ++rank)
    threads.emplace_back([&, rank] {
      const std::unique_ptr<Store> store = open(rank);
      use(*store, rank);
      store->leave(30);
    });
}

// In as many processes; a process whose expectations fail ends with 1.
template <class OpenStore>
void use_in_processes(const OpenStore& open) {
  std::vector<pid_t> children;
  for (int rank = 0; rank < kRanks; ++rank) {
    const pid_t child = ::fork();
    if (child == 0) {
      {
        const std::unique_ptr<Store> store = open(rank);
        use(*store, rank);
        store->leave(30);
      }
      ::_exit(testing::Test::HasFailure() ? 1 : 0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

std::unique_ptr<Store> opened(Result<std::unique_ptr<Store>> store) {
  EXPECT_TRUE(store) << store.error().message;
  return std::move(*store);
}

TEST(FileStore, ServesThreadsAndProcesses) {
  const tera::test::TempDir dir;
  use_on_threads(
      [&](int rank) { return opened(make_file_store((dir / "threads").string(), rank)); });
  use_in_processes(
      [&](int rank) { return opened(make_file_store((dir / "processes").string(), rank)); });
}

TEST(FileStore, NamesTheFolderTheRankAndTheName) {
  const tera::test::TempDir dir;
  const auto store = opened(make_file_store(dir.path().string(), 3));
  EXPECT_EQ(message_of([&] { store->wait_for("id.world", 0.05); }),
            "rank 3: store " + dir.path().string() + ": nobody set id.world within 0.05 s");
  std::filesystem::remove_all(dir.path());
  EXPECT_THAT(message_of([&] { store->set("id.world", "x"); }),
              HasSubstr("rank 3: store " + dir.path().string() + ": cannot set id.world: "));
}

TEST(FileStore, IsRefusedWhereNoFolderCanBe) {
  const Result<std::unique_ptr<Store>> store = make_file_store("/proc/none/store", 0);
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, HasSubstr("/proc/none"));
}

// Rank 0 serves at a port of the loopback that the others know.
std::unique_ptr<Store> open_tcp(const TcpStoreAddress& address, int rank) {
  if (rank > 0) return opened(join_tcp_store(address, rank, 30));
  Result<ServedStore> served = serve_tcp_store(address);
  EXPECT_TRUE(served) << served.error().message;
  return std::move(served->store);
}

// One that is free now.
TcpStoreAddress free_address() {
  Result<ServedStore> served = serve_tcp_store({.hosts = {"127.0.0.1"}});
  EXPECT_TRUE(served) << served.error().message;
  return served->address;
}

TEST(TcpStore, ServesThreadsAndProcesses) {
  const TcpStoreAddress address = free_address();
  use_on_threads([&](int rank) { return open_tcp(address, rank); });
  use_in_processes([&](int rank) { return open_tcp(address, rank); });
}

TEST(TcpStore, IsFoundByItsAddressAsText) {
  Result<ServedStore> served = serve_tcp_store();
  ASSERT_TRUE(served) << served.error().message;
  const Result<TcpStoreAddress> address = parse_tcp_store_address(served->address.text());
  ASSERT_TRUE(address);
  EXPECT_EQ(address->text(), served->address.text());
  EXPECT_EQ(address->hosts.back(), "127.0.0.1");
  EXPECT_EQ(address->secret.size(), 32U);
  const auto store = opened(join_tcp_store(*address, 1, 30));
  EXPECT_TRUE(served->store->set("a", "1"));
  EXPECT_EQ(store->get("a"), "1");
  store->leave(0);
  for (const char* text : {"", ":4242/s", "10.0.0.1", "10.0.0.1:x/s", "10.0.0.1:99999/s",
                           "node-3:4242/s", ",10.0.0.1:4242/s", "::1:4242/s"})
    EXPECT_FALSE(parse_tcp_store_address(text)) << text;
  EXPECT_EQ(parse_tcp_store_address("node-3:4242/hidden").error().message,
            "got the address \"node-3:4242\" of a store, expected IPv4 addresses and a port: "
            "\"10.0.0.1:4242/secret\"");
  EXPECT_TRUE(parse_tcp_store_address("10.0.0.1:4242/" + std::string(256, 's')));
  EXPECT_EQ(parse_tcp_store_address("10.0.0.1:4242/" + std::string(257, 's')).error().message,
            "store 10.0.0.1:4242: got a secret of 257 bytes, expected at most 256");
}

TEST(Stores, AreOpenedAsTheRanksOfAJobAreGivenThem) {
  const tera::test::TempDir dir;
  const std::string address = "tcp://" + free_address().text();
  const std::string place = address.substr(0, address.rfind('/'));
  const std::string secret = (dir / "secret").string();
  std::ofstream(secret) << "not for ps\n";
  for (const std::string& where : {(dir / "store").string(), address, place + "/@" + secret})
    use_in_processes([&](int rank) { return opened(open_store(where, rank, 30)); });
  EXPECT_FALSE(open_store(place + "/@" + secret + ".none", 0, 30));
  std::ofstream(secret, std::ios::trunc) << "";
  EXPECT_THAT(open_store(place + "/@" + secret, 0, 30).error().message,
              HasSubstr("without a secret"));
  const Result<std::unique_ptr<Store>> open = open_store("tcp://127.0.0.1:4242", 0, 30);
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().message,
            "got the store tcp://127.0.0.1:4242 without a secret, expected one after a slash");
  EXPECT_FALSE(open_store("tcp://here", 0, 30));
}

TEST(TcpStore, KnowsNobodyWithoutItsSecret) {
  Result<ServedStore> served = serve_tcp_store({.hosts = {"127.0.0.1"}});
  ASSERT_TRUE(served);
  TcpStoreAddress wrong = served->address;
  wrong.secret = "guessed";
  const Result<std::unique_ptr<Store>> store = join_tcp_store(wrong, 2, 0.2);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().message, "rank 2: store 127.0.0.1:" + std::to_string(wrong.port) +
                                       ": nobody answers there within 0.2 s");
}

// Whoever they are: they hold descriptors of rank 0.
TEST(TcpStore, DropsThoseThatSayNoSecret) {
  Result<ServedStore> served = serve_tcp_store({.hosts = {"127.0.0.1"}});
  ASSERT_TRUE(served);
  const double start_s = monotonic_s();
  std::vector<Socket> silent;
  for (int i = 0; i < 80; ++i)  // more than it lets in at a time
    silent.push_back(connect_to("127.0.0.1", served->address.port, 30));
  limit_waits(silent.front(), 30);
  EXPECT_EQ(receive_frame(silent.front()), std::nullopt);
  const double waited_s = monotonic_s() - start_s;
  EXPECT_GE(waited_s, 3);
  EXPECT_LT(waited_s, 20);
  const auto store = opened(join_tcp_store(served->address, 1, 30));
  EXPECT_TRUE(store->set("a", "1"));
}

TEST(TcpStore, RestsWhileThereIsNoDescriptorForAnother) {
  Result<ServedStore> served = serve_tcp_store({.hosts = {"127.0.0.1"}});
  ASSERT_TRUE(served);
  Socket waits;
  std::clock_t busy = 0;  // all threads
  {
    const tera::test::NoMoreDescriptors but_one(1);
    waits = connect_to("127.0.0.1", served->address.port, 30);
    const std::clock_t start = std::clock();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    busy = std::clock() - start;
  }
  EXPECT_TRUE(waits.is_open());
  EXPECT_LT(static_cast<double>(busy) / CLOCKS_PER_SEC, 0.1);
  EXPECT_TRUE(opened(join_tcp_store(served->address, 1, 30))->set("a", "1"));
}

TEST(TcpStore, IsGivenUpInTimeWhereAnotherProgramListens) {
  const Socket listener = listen_at("127.0.0.1", 0);
  const double start_s = monotonic_s();
  EXPECT_FALSE(join_tcp_store(
      {.hosts = {"127.0.0.1", "127.0.0.1"}, .port = port_of(listener), .secret = "s"}, 1, 0.3));
  EXPECT_LT(monotonic_s() - start_s, 1.5);
}

TEST(TcpStore, SaysThatRank0IsGone) {
  Result<ServedStore> served = serve_tcp_store({.hosts = {"127.0.0.1"}});
  ASSERT_TRUE(served);
  const auto store = opened(join_tcp_store(served->address, 5, 30));
  served->store.reset();
  for (int i = 0; i < 2; ++i)
    EXPECT_THAT(message_of([&] { store->get("id.world"); }),
                HasSubstr("rank 5: store 127.0.0.1:" + std::to_string(served->address.port) +
                          ": asked for id.world, rank 0 is gone"));
}

// One that is stopped, or whose computer drops packets: ranks wait as long as they wait for others.
TEST(TcpStore, SaysThatRank0DoesNotAnswer) {
  const Socket listener = listen_at("127.0.0.1", 0);
  const TcpStoreAddress address = {
      .hosts = {"127.0.0.1"}, .port = port_of(listener), .secret = "s"};
  std::atomic<bool> is_over = false;
  const std::jthread rank_0([&] {
    const Socket joined(::accept(listener.get(), nullptr, nullptr));
    EXPECT_EQ(receive_frame(joined), "s");
    EXPECT_TRUE(send_frame(joined, "1"));
    is_over.wait(false);
  });
  const auto store = opened(join_tcp_store(address, 5, 0.3));
  const double start_s = monotonic_s();
  const std::string said = message_of([&] { store->get("id.world"); });
  EXPECT_THAT(said,
              HasSubstr("asked for id.world, rank 0 is gone or does not answer within 0.3 s"));
  EXPECT_GE(monotonic_s() - start_s, 0.3);
  EXPECT_LT(monotonic_s() - start_s, 5);
  is_over = true;
  is_over.notify_all();
}

TEST(TcpStore, StaysUntilTheOthersHaveLeft) {
  Result<ServedStore> served = serve_tcp_store({.hosts = {"127.0.0.1"}});
  ASSERT_TRUE(served);
  auto store = opened(join_tcp_store(served->address, 1, 30));
  EXPECT_EQ(store->get("a"), std::nullopt);
  const double start_s = monotonic_s();
  served->store->leave(0.1);  // not for ever
  EXPECT_GE(monotonic_s() - start_s, 0.1);
  std::atomic<bool> left = false;
  const std::jthread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    left = true;
    store.reset();
  });
  served->store->leave(30);
  EXPECT_TRUE(left);
}

TEST(TcpStore, APortInUseIsNamed) {
  Result<ServedStore> first = serve_tcp_store({.hosts = {"127.0.0.1"}});
  ASSERT_TRUE(first);
  const Result<ServedStore> second = serve_tcp_store(first->address);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message,
              HasSubstr("rank 0: cannot listen at 127.0.0.1:" +
                        std::to_string(first->address.port) + ": Address already in use"));
}

}  // namespace
}  // namespace tera::comm
