// A store in the memory of rank 0, reached over TCP by those who know its secret.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/comm/store.h"

namespace tera::comm {

// Where to find a store: what rank 0 tells the others, over whatever they have in common.
struct TcpStoreAddress {
  std::vector<std::string> hosts = {};  // IPv4 addresses of the same computer, tried in turn
  int port = 0;
  std::string secret = {};

  std::string text() const;  // "10.0.0.1,127.0.0.1:4242/secret"
};
// Errors: not of that form, which names no computers, and a secret of more than 256 bytes.
Result<TcpStoreAddress> parse_tcp_store_address(const std::string& text);

// Rank 0's own: serves the others until they have left or its process ends. It listens at `hosts`,
// or at all addresses of this computer, at a free port where `port` is 0; a secret is made up where
// there is none.
struct ServedStore {
  std::unique_ptr<Store> store;
  TcpStoreAddress address;
};
Result<ServedStore> serve_tcp_store(TcpStoreAddress address = {});

// Another rank's. Tries for timeout_s; an answer that takes longer is an error, too.
Result<std::unique_ptr<Store>> join_tcp_store(const TcpStoreAddress& address,
                                              int rank,
                                              double timeout_s);

// What the ranks of one job are given: a folder that all see, or "tcp://10.0.0.1:4242/secret",
// where rank 0 listens; of "tcp://10.0.0.1:4242/@FILE" the secret is the first line of that file.
// Errors: those of the above and of make_file_store(), and no secret.
Result<std::unique_ptr<Store>> open_store(const std::string& where, int rank, double timeout_s);

}  // namespace tera::comm
