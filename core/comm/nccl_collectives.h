// Collectives by NCCL on tensors of host memory, which pass through the device.
#pragma once
#include <vector>

#include "core/comm/announcement.h"
#include "core/comm/nccl_member.h"

namespace tera::comm {

// Says `mine` to all members and returns what each said: who is missing, or means something else,
// is found out there. Where they do not mean the same, all end with the same CommunicationError.
std::vector<Announcement> greet(NcclMember& member, const Group& group, const Announcement& mine);

// Greets, then does this rank's part of a collective. `scratch` is kept from call to call.
void run_collective(NcclMember& member,
                    const Group& group,
                    const Operation& operation,
                    std::vector<std::byte>& scratch);

// Whether NCCL's own reduction of `size` ranks has the bits that adding in rank order has. It adds
// along rings and trees, each part of a tensor in another order, and rounds bf16 and f16 at every
// step; it skips NaN in a maximum. So: whole numbers, and sums of two.
bool reduces_alike(DType dtype, Reduce reduce, int size);

}  // namespace tera::comm
