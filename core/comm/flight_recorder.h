// What a rank did last with others, and what it is at: read when a run is stuck or lost.
#pragma once
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

#include "core/comm/transport.h"

namespace tera::comm {

struct FlightRecord {
  enum class State : std::uint8_t { waiting, running, done, failed };
  std::string axis;
  OperationKind kind = OperationKind::barrier;
  // Which collective of its group this is, or which message, from 0: where ranks of a group differ
  // in it, one is ahead.
  std::int64_t number = 0;
  std::int64_t bytes = 0;  // TrafficCount::bytes
  State state = State::waiting;
  double begin_s = 0;  // monotonic: when it was asked for
  double end_s = 0;
};

// The last `capacity` operations of one rank over all its groups.
class FlightRecorder {
 public:
  explicit FlightRecorder(std::size_t capacity = 4096) : capacity_(capacity) {}

  // Returns the number that the other calls take.
  std::uint64_t asked(FlightRecord record);
  void running(std::uint64_t id) { set(id, FlightRecord::State::running); }
  void done(std::uint64_t id) { set(id, FlightRecord::State::done); }
  void failed(std::uint64_t id) { set(id, FlightRecord::State::failed); }

  std::deque<FlightRecord> records() const;  // in the order they were asked for
  // A line for each operation that is not done, then for the last ones that are; at most `lines`.
  std::string text(std::size_t lines = 20) const;

 private:
  void set(std::uint64_t id, FlightRecord::State state);

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::uint64_t first_ = 0;  // id of the oldest record kept
  std::deque<FlightRecord> records_;
};

}  // namespace tera::comm
