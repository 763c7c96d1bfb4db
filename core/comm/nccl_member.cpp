#include "core/comm/nccl_member.h"

#include "core/base/error.h"

namespace tera::comm {

NcclMember::~NcclMember() {
  // Peers that gave up do not come to an end in peace.
  if (comm_ && process_->aborted()) comm_->abort();
}

void NcclMember::step(const NcclProcess::Wait& wait,
                      std::int64_t bytes,
                      const std::function<void(NcclComm& comm, std::byte* memory)>& start) {
  if (!comm_) comm_ = process_->join(name_, size_, rank_, wait);
  try {
    bool started = false;
    wait([&] {
      if (!started) start(*comm_, comm_->memory(bytes));
      started = true;
      return comm_->done();
    });
  } catch (...) {
    comm_->abort();
    throw;
  }
}

void NcclMember::exchange(const NcclProcess::Wait& wait, const std::vector<Parcel>& parcels) {
  std::int64_t bytes = 0;
  for (const Parcel& parcel : parcels)
    bytes += parcel.out_bytes + parcel.in_bytes;
  std::vector<NcclBlock> out(parcels.size());
  std::vector<NcclBlock> in(parcels.size());
  step(wait, bytes, [&](NcclComm& comm, std::byte* memory) {
    for (std::size_t r = 0; r < parcels.size(); ++r) {
      if (static_cast<int>(r) == rank_) continue;
      out[r] = {memory, parcels[r].out_bytes};
      in[r] = {out[r].data + out[r].bytes, parcels[r].in_bytes};
      memory = in[r].data + in[r].bytes;
      comm.copy_in(out[r].data, parcels[r].out, out[r].bytes);
    }
    comm.exchange(out, in);
  });
  step(wait, bytes, [&](NcclComm& comm, std::byte* /*memory*/) {
    for (std::size_t r = 0; r < parcels.size(); ++r)
      comm.copy_out(parcels[r].in, in[r].data, in[r].bytes);
  });
  const Parcel& own = parcels[static_cast<std::size_t>(rank_)];
  copy_bytes(own.in, own.out, own.out_bytes);
}

}  // namespace tera::comm
