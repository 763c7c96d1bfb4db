// Transport: what moves the bytes of one group of ranks. It waits for its peers, at most for a
// timeout; what is asked of it was checked before. Who may call it when is the Communicator's.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/comm/operation.h"

namespace tera::comm {

// Who belongs together, along which axis of the rank mesh.
struct Group {
  std::string axis;        // "world", "data", "tensor", ...
  std::vector<int> ranks;  // of the world, in the order of the group
  int rank = 0;            // of this member, in the group

  int size() const { return static_cast<int>(ranks.size()); }
  int world_rank() const { return ranks[static_cast<std::size_t>(rank)]; }
};

// "all_reduce on data, rank 3": who does what, for messages.
std::string place_of(const Group& group, OperationKind kind);
// The same, put into words only when they are needed.
struct Place {
  const Group* group;  // outlives the operation
  OperationKind kind;
  std::string text() const { return place_of(*group, kind); }
};
// "rank 4", "ranks 0-3, 6", in ascending order.
std::string rank_list(std::vector<int> ranks);

// What ranks of `group` bring to a split, and the group that the member `rank` of it ends up in.
struct SplitRequest {
  int color = 0;
  int key = 0;
};
Group split_group(const Group& group,
                  const std::vector<SplitRequest>& requests,
                  int rank,
                  std::string axis);

class Transport {
 public:
  explicit Transport(Group group) : group_(std::move(group)) {}
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  const Group& group() const { return group_; }

  // Returns when this rank's part is done. CommunicationError when a peer is missing for longer
  // than the timeout, calls something else, or aborted. A send copies and never waits; it may be
  // called while another thread runs another operation.
  virtual void run(const Operation& operation) = 0;
  // Ranks of equal color, ordered by (key, rank).
  virtual std::unique_ptr<Transport> split(SplitRequest request, std::string axis) = 0;
  // Ends the world this group is of: what its ranks run now or later throws with this reason.
  virtual void abort(std::string_view reason) noexcept = 0;

 private:
  Group group_;
};

// Ranks as threads of this process.
std::vector<std::unique_ptr<Transport>> make_thread_transports(int size, double timeout_s);

}  // namespace tera::comm
