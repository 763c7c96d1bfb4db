// Messages of one rank, by axis and operation: as comm/traffic.h counts them, to be planned.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/base/fields.h"
#include "core/plan/rank_mesh.h"

namespace tera::plan {

// As comm::OperationKind, without those that carry nothing.
enum class MessageKind : std::uint8_t {
  all_reduce,
  reduce_scatter,
  all_gather,
  all_to_all,
  broadcast,
  send,
  recv
};

struct PlannedMessages {
  std::string_view axis;  // as comm::mesh_groups names it, or "world"
  int ranks = 1;
  MessageKind kind = MessageKind::all_reduce;
  std::int64_t calls = 0;
  std::int64_t bytes = 0;  // of the whole tensor; of all_to_all and send what goes to others
};

// Adds up those over groups of several ranks; those of one rank are none.
class MessageTally {
 public:
  explicit MessageTally(const RankMesh& mesh) : mesh_(mesh) {}

  void add(std::string_view axis, int ranks, MessageKind kind, std::int64_t bytes);
  void tensor(MessageKind kind, std::int64_t bytes) {
    add("tensor", mesh_.size(Axis::tensor), kind, bytes);
  }
  void context(MessageKind kind, std::int64_t bytes) {
    add("context", mesh_.size(Axis::context), kind, bytes);
  }
  void data(MessageKind kind, std::int64_t bytes) {
    add("data", mesh_.size(Axis::data), kind, bytes);
  }
  void expert(MessageKind kind, std::int64_t bytes) {
    add("expert", mesh_.size(Axis::expert), kind, bytes);
  }
  void expert_tensor(MessageKind kind, std::int64_t bytes) {
    add("expert_tensor", mesh_.size(Axis::expert_tensor), kind, bytes);
  }
  // Of ranks that hold the same parameters; of those that share a copy of what ZeRO shards; and of
  // those that hold the same shard.
  void replicas(bool experts, MessageKind kind, std::int64_t bytes);
  void shards(bool experts, MessageKind kind, std::int64_t bytes);
  void copies(bool experts, MessageKind kind, std::int64_t bytes);
  // What is added from now on happens so many times.
  void set_times(std::int64_t times) { times_ = times; }

  std::vector<PlannedMessages> take() const;
  const RankMesh& mesh() const { return mesh_; }

 private:
  const RankMesh& mesh_;
  std::int64_t times_ = 1;
  std::map<std::tuple<std::string_view, int, MessageKind>, PlannedMessages> sums_;
};

}  // namespace tera::plan

namespace tera {

template <>
struct EnumNames<plan::MessageKind> {
  static constexpr std::array<std::string_view, 7> value = {
      "all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast", "send", "recv"};
};

}  // namespace tera
