#include "core/comm/mpi_greeting.h"

#include <cstring>

namespace tera::comm {
namespace {

void refuse_if_different(const MpiGroup& group,
                         const std::vector<Greeting>& mine,
                         const std::vector<Greeting>& heard) {
  std::vector<Announcement> all;
  for (const Greeting& each : heard)
    all.push_back(each.announced);
  if (const std::string reason = disagreement(group.group(), all); !reason.empty())
    group.process().fail(reason);
  const auto require = [&](int from, int to, std::int64_t sent, std::int64_t expected) {
    if (sent != expected)
      group.process().fail(row_disagreement(group.group(), from, to, sent, expected));
  };
  for (int r = 0; r < group.size(); ++r) {
    const Greeting& theirs = heard[static_cast<std::size_t>(r)];
    const Greeting& ours = mine[static_cast<std::size_t>(r)];
    require(r, group.rank(), theirs.sends_rows, ours.expects_rows);
    require(group.rank(), r, ours.sends_rows, theirs.expects_rows);
  }
}

}  // namespace

std::vector<Greeting> greetings_of(const MpiGroup& group, const Operation& operation) {
  std::vector<Greeting> mine(static_cast<std::size_t>(group.size()));
  const Announcement announced = announce(operation);
  for (std::size_t r = 0; r < mine.size(); ++r) {
    mine[r].announced = announced;
    if (operation.kind != OperationKind::all_to_all) continue;
    mine[r].sends_rows = operation.send_rows[r];
    mine[r].expects_rows = operation.recv_rows[r];
  }
  return mine;
}

std::vector<Greeting> greet(const MpiGroup& group,
                            const std::vector<Greeting>& mine,
                            const std::vector<Parcel>& parcels,
                            std::vector<std::byte>& letters) {
  constexpr std::int64_t kLetterBytes = sizeof(Greeting) + kMostCarriedBytes;
  letters.resize(2 * mine.size() * kLetterBytes);
  const auto to = [&](int r) { return letters.data() + 2 * r * kLetterBytes; };
  const auto from = [&](int r) { return to(r) + kLetterBytes; };
  std::vector<Greeting> heard(mine.size());
  const auto me = static_cast<std::size_t>(group.rank());
  heard[me] = mine[me];
  {
    MpiProcess::Messages messages(group.process());
    group.for_each_peer([&](int r) {
      const auto i = static_cast<std::size_t>(r);
      std::memcpy(to(r), &mine[i], sizeof(Greeting));
      std::int64_t bytes = 0;
      if (!parcels.empty() && is_carried(parcels[i].out_bytes)) bytes = parcels[i].out_bytes;
      copy_bytes(to(r) + sizeof(Greeting), parcels.empty() ? nullptr : parcels[i].out, bytes);
      // Who means something else may send more than this rank expects.
      messages.receive(from(r), kLetterBytes, group.world_rank(r), group.tag(MpiGroup::greeting));
      messages.send(to(r), sizeof(Greeting) + bytes, group.world_rank(r),
                    group.tag(MpiGroup::greeting));
    });
    messages.wait(group.place(mine[me].announced.kind));
  }
  group.for_each_peer(
      [&](int r) { std::memcpy(&heard[static_cast<std::size_t>(r)], from(r), sizeof(Greeting)); });
  refuse_if_different(group, mine, heard);
  if (parcels.empty()) return heard;
  group.for_each_peer([&](int r) {
    const Parcel& parcel = parcels[static_cast<std::size_t>(r)];
    if (is_carried(parcel.in_bytes))
      copy_bytes(parcel.in, from(r) + sizeof(Greeting), parcel.in_bytes);
  });
  return heard;
}

}  // namespace tera::comm
