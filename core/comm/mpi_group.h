// One process as a member of a group: addresses and tags of its messages, and how bytes go round.
#pragma once
#include <memory>

#include "core/comm/mpi_process.h"
#include "core/comm/parcel.h"
#include "core/comm/transport.h"

namespace tera::comm {

class MpiGroup {
 public:
  enum Use : int { greeting, payload, mail };  // of a tag

  // `number` is the group's alone among those of its ranks. `group` outlives this.
  MpiGroup(const Group& group, std::shared_ptr<MpiProcess> process, int number)
      : group_(group), process_(std::move(process)), number_(number) {}

  const Group& group() const { return group_; }
  MpiProcess& process() const { return *process_; }
  const std::shared_ptr<MpiProcess>& shared_process() const { return process_; }
  int rank() const { return group_.rank; }
  int size() const { return group_.size(); }
  int world_rank(int r) const { return group_.ranks[static_cast<std::size_t>(r)]; }
  int tag(Use use) const { return number_ * MpiProcess::kTagsPerGroup + use; }
  Place place(OperationKind kind) const { return {&group_, kind}; }
  // Of n elements, those that member r reduces or passes on.
  Slice share(std::int64_t n, int r) const { return comm::share(n, r, size()); }

  // Peers, the next rank first: not all turn to the same one at the same time.
  template <class Visit>
  void for_each_peer(const Visit& visit) const {
    for (int i = 1; i < size(); ++i)
      visit((rank() + i) % size());
  }

 private:
  const Group& group_;
  const std::shared_ptr<MpiProcess> process_;
  const int number_;
};

}  // namespace tera::comm
