// All ranks greet each other before a collective: who is missing, or means something else, is found
// out there.
#pragma once
#include <vector>

#include "core/comm/announcement.h"
#include "core/comm/mpi_group.h"

namespace tera::comm {

struct Greeting {
  Announcement announced;
  std::int64_t sends_rows = 0;  // of an all_to_all, to the one who is greeted
  std::int64_t expects_rows = 0;
  int group_number = 0;  // of a split: offered
};

// As much goes with a greeting, which costs less than a message of its own.
inline constexpr std::int64_t kMostCarriedBytes = 8 << 10;
inline bool is_carried(std::int64_t bytes) {
  return bytes <= kMostCarriedBytes;
}

// Says `mine` [member] to each and returns what each said. Where they do not mean the same, all end
// with the same CommunicationError. Parcels that are carried are delivered then: one for each
// member, or none at all. `letters` is kept from call to call.
std::vector<Greeting> greet(const MpiGroup& group,
                            const std::vector<Greeting>& mine,
                            const std::vector<Parcel>& parcels,
                            std::vector<std::byte>& letters);
// For a collective.
std::vector<Greeting> greetings_of(const MpiGroup& group, const Operation& operation);

}  // namespace tera::comm
