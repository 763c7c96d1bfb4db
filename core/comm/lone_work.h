// What one rank does alone while the others wait, for as long as it takes.
#pragma once
#include <functional>

#include "core/comm/communicator.h"

namespace tera::comm {

// Collective: returns when the work of rank 0 is done. It works on a thread of its own and says a
// few times a second that it lives, so that the others wait for a slow disk as long as it takes,
// and for a rank that is stopped no longer than for any message. Throws what the work throws on
// rank 0, and CommunicationError where a rank is missing, on rank 0 when its work is done.
void do_on_rank_0(Communicator& world, Backend& backend, const std::function<void()>& work);

}  // namespace tera::comm
