// This process among those of an MPI job: messages, how they are waited for, and the end of it all.
// Nothing here blocks in MPI: what is pending is tested in turns, so that a wait has a timeout and
// an abort is heard. One lock around every call of MPI, each of which is short, so that the axes of
// a rank may wait on threads of their own and MPI_THREAD_SERIALIZED is enough.
#pragma once
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <mpi.h>

#include "core/comm/stuck_ranks.h"
#include "core/comm/transport.h"

namespace tera::comm {

class MpiProcess {
 public:
  // Starts MPI. CommunicationError where it serves one thread only.
  explicit MpiProcess(double timeout_s);
  ~MpiProcess();
  MpiProcess(const MpiProcess&) = delete;
  MpiProcess& operator=(const MpiProcess&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  double timeout_s() const { return timeout_s_; }

  // Messages on their way, between this process and others: the memory stays theirs until wait().
  class Messages {
   public:
    explicit Messages(MpiProcess& process) : process_(process) {}
    ~Messages();
    Messages(const Messages&) = delete;
    Messages& operator=(const Messages&) = delete;

    // To and from ranks of the world. Of any length: MPI counts to 2^31 only.
    void send(const void* data, std::int64_t bytes, int to, int tag);
    void receive(void* data, std::int64_t bytes, int from, int tag);
    // Until all have come and gone. `where` begins the messages of errors.
    void wait(const Place& where);

   private:
    friend class MpiProcess;
    void forget(std::size_t i);
    RankWait state() const;  // whom the rest is from, or to

    struct Peer {
      int rank;
      bool receives;
    };
    MpiProcess& process_;
    std::vector<MPI_Request> requests_;
    std::vector<Peer> peers_;
    Place where_ = {};
    double since_s_ = 0;
  };

  // Copies; the message leaves when it can.
  void send_copy(std::vector<std::byte> message, int to, int tag, const Place& where);

  // Ends the job for all ranks; the first reason stays.
  void abort(std::string_view reason) noexcept;
  [[noreturn]] void fail(const std::string& reason);  // aborts and throws

  // A number that no group of the ranks of a split has yet is the highest that any of them offers.
  int offer_group_number();
  void take_group_number(int number);
  // Tags are group number x kTagsPerGroup + use.
  static constexpr int kTagsPerGroup = 4;

 private:
  struct Outgoing {
    std::vector<std::byte> bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  // Who keeps this rank waiting, in words: asks those it waits for, then those these wait for.
  std::string why_stuck(const RankWait& stuck);

  // These hold the lock.
  void throw_if_aborted(const Place& where) const;
  void abort_locked(std::string_view reason);
  void listen();  // to an abort of a peer, its question or its answer
  void answer(int rank);
  void tell(int rank, char kind, std::string_view text);
  void reap(std::deque<Outgoing>& messages) const;
  void start_copy(MPI_Comm comm, std::vector<std::byte> message, int to, int tag);

  // Waits for all ranks to come to their end, which MPI's own end does without a timeout; where one
  // does not come it is named in the log, and the job aborted.
  void leave_together() noexcept;
  // Until `messages` have left, for a time; never throws.
  void drain(std::deque<Outgoing>& messages, double seconds) noexcept;

  const double timeout_s_;
  std::mutex mutex_;
  MPI_Comm data_ = MPI_COMM_NULL;     // messages of groups
  MPI_Comm control_ = MPI_COMM_NULL;  // reasons of aborts, and who waits for whom
  int rank_ = 0;
  int size_ = 1;
  bool has_processor_ = false;  // as every rank of its computer has
  std::int64_t looks_ = 0;      // whether messages have come and gone
  int next_group_ = 1;
  int most_groups_ = 0;
  std::deque<Outgoing> copies_;
  std::deque<Outgoing> told_;
  std::vector<const Messages*> waits_;
  HeardWaits heard_;
  bool aborted_ = false;
  bool gave_up_ = false;  // before any peer
  std::string reason_;
};

}  // namespace tera::comm
