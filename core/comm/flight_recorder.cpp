#include "core/comm/flight_recorder.h"

#include <array>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/units.h"

namespace tera::comm {
namespace {

std::string line_of(const FlightRecord& record, double now_s) {
  constexpr std::array kStates = {"waits since", "runs since", "done", "failed"};
  const bool over = record.end_s > 0;
  return fmt::format("{} {} on {}, {}: {} {}{}\n", enum_name(record.kind), record.number,
                     record.axis, format_bytes(static_cast<double>(record.bytes)),
                     kStates[static_cast<std::size_t>(record.state)], over ? "after " : "",
                     format_seconds((over ? record.end_s : now_s) - record.begin_s));
}

}  // namespace

std::uint64_t FlightRecorder::asked(FlightRecord record) {
  record.begin_s = monotonic_s();
  const std::scoped_lock lock(mutex_);
  records_.push_back(std::move(record));
  if (records_.size() > capacity_) {
    records_.pop_front();
    ++first_;
  }
  return first_ + records_.size() - 1;
}

void FlightRecorder::set(std::uint64_t id, FlightRecord::State state) {
  const bool is_over = state != FlightRecord::State::running;
  const double now_s = is_over ? monotonic_s() : 0;
  const std::scoped_lock lock(mutex_);
  if (id < first_) return;  // so many came after it that it was forgotten
  FlightRecord& record = records_[id - first_];
  record.state = state;
  if (is_over) record.end_s = now_s;
}

std::deque<FlightRecord> FlightRecorder::records() const {
  const std::scoped_lock lock(mutex_);
  return records_;
}

std::string FlightRecorder::text(std::size_t lines) const {
  const double now_s = monotonic_s();
  const std::deque<FlightRecord> all = records();
  std::string text;
  for (const bool done : {false, true}) {
    for (auto record = all.rbegin(); record != all.rend() && lines > 0; ++record) {
      if ((record->state == FlightRecord::State::done) != done) continue;
      text += line_of(*record, now_s);
      --lines;
    }
  }
  return text;
}

}  // namespace tera::comm
