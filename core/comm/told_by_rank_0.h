// What rank 0 alone knows, on every rank.
#pragma once
#include <string>

#include "core/comm/communicator.h"

namespace tera::comm {

// The `text` of rank 0, of any length; those of the others are not read. Collective over `world`.
std::string told_by_rank_0(Communicator& world, std::string text = {});

}  // namespace tera::comm
