#include "core/comm/mpi_greeting.h"

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

std::vector<Greeting> greet(const MpiGroup& group, const std::vector<Greeting>& mine) {
  std::vector<Greeting> heard(mine.size());
  const auto me = static_cast<std::size_t>(group.rank());
  heard[me] = mine[me];
  {
    MpiProcess::Messages messages(group.process());
    group.for_each_peer([&](int r) {
      const auto i = static_cast<std::size_t>(r);
      messages.receive(&heard[i], sizeof(Greeting), group.world_rank(r),
                       group.tag(MpiGroup::greeting));
      messages.send(&mine[i], sizeof(Greeting), group.world_rank(r), group.tag(MpiGroup::greeting));
    });
    messages.wait(group.place(mine[me].announced.kind));
  }
  refuse_if_different(group, mine, heard);
  return heard;
}

}  // namespace tera::comm
