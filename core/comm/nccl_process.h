// This rank among those of an NCCL job: how it waits, how all end together, and how it finds out
// who keeps it waiting. NCCL does none of that: a collective that lacks a rank waits for ever. So
// nothing here blocks in NCCL; ranks look whether they are done, and leave word in the store.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/comm/nccl_device.h"
#include "core/comm/store.h"
#include "core/comm/stuck_ranks.h"
#include "core/comm/transport.h"

namespace tera::comm {

// In the store: member `rank` of a communicator has come for it.
std::string joins_key(const std::string& name, int rank);

// Any thread of the rank may call it.
class NcclProcess {
 public:
  using Done = std::function<bool()>;

  NcclProcess(std::unique_ptr<NcclDevice> device,
              std::unique_ptr<Store> store,
              int rank,
              double timeout_s);
  ~NcclProcess();  // waits for ranks that need this one's store; after an abort for a second
  NcclProcess(const NcclProcess&) = delete;
  NcclProcess& operator=(const NcclProcess&) = delete;

  double timeout_s() const { return timeout_s_; }

  // Waits until done(). `ranks` of the world are those it waits for. CommunicationError at the
  // timeout, naming who is missing, or when NCCL fails; PeerAborted once a rank has given up.
  void wait(const Place& where, const std::vector<int>& ranks, const Done& done);
  // The same for what its receiver may come to much later: without a timeout, and nothing that this
  // rank waits in when it is asked.
  void wait_in_background(const Place& where, const Done& done);

  // How a wait goes on: one of the two above.
  using Wait = std::function<void(const Done& done)>;
  // Joins the communicator that `size` ranks know by `name`, as member `rank` of it.
  std::unique_ptr<NcclComm> join(const std::string& name, int size, int rank, const Wait& wait);

  bool aborted();
  void throw_if_aborted(const Place& where);
  // Ends the job for all ranks; the first reason stays.
  void abort(std::string_view reason) noexcept;
  [[noreturn]] void fail(const std::string& reason);  // aborts and throws

 private:
  struct Waiting {
    Place where;
    const std::vector<int>* ranks;
    double since_s;
    RankWait now() const;
  };
  // One look of a wait; at an error of NCCL, or of the store, the end.
  bool look(const Place& where, const Done& done);
  // To what other ranks have left in the store, a few times a second.
  void listen();
  bool hear_abort();  // whether a rank has given up
  std::string why_stuck(const Waiting& waiting);
  // Until `heard` tells the cause, or for a while.
  void ask_who_waits(const Place& where, const RankWait& stuck, HeardWaits& heard);

  const std::unique_ptr<NcclDevice> device_;
  const std::unique_ptr<Store> store_;
  const int rank_;
  const double timeout_s_;
  std::mutex mutex_;
  std::list<Waiting> waits_;
  double next_listen_s_ = 0;
  bool answered_ = false;
  bool aborted_ = false;
  std::string reason_;
};

}  // namespace tera::comm
