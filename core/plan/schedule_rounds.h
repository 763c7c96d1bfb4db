// The state of a schedule that is played, and the record of the last rounds: where they go on
// alike, turns of loops need not be played one by one.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "core/plan/pipeline_schedule.h"
#include "core/plan/schedule_program.h"

namespace tera::plan {

// Where in the record something happened.
struct Moment {
  std::int64_t round = 0;
  std::size_t slot = 0;
};

struct Message {
  std::int64_t micro_batch = 0;
  Ticks arrival = 0;
  Moment sent;
};

// Messages in the order sent, most often taken in that order.
class Mailbox {
 public:
  void put(const Message& message) { messages_.push_back(message); }
  bool holds(std::int64_t micro_batch) const;
  std::optional<Message> take(std::int64_t micro_batch);
  std::vector<Message>& messages() { return messages_; }
  const std::vector<Message>& messages() const { return messages_; }

 private:
  std::vector<Message> messages_;
};

// The next action of a stage.
struct Cursor {
  std::size_t loop = 0;
  std::int64_t turn = 0;
  std::size_t at = 0;

  bool is_done(const StageOrder& order) const { return loop == order.size(); }
  void advance(const StageOrder& order);     // by an action
  void skip_empty(const StageOrder& order);  // loops without actions or turns that are left
};

struct PlayState {
  struct Stage {
    Cursor next;
    Ticks free_at = 0;
    Ticks begun_at = 0;  // its first action
    Moment last;         // its last action
    bool started = false;
    bool apart = false;  // its next action runs without the one behind it
  };
  std::vector<Stage> stages;
  std::vector<Mailbox> mailboxes;
  std::int64_t round = 0;
};

// What ran while every stage had the chance to run as many actions as a turn of its loop has.
struct Round {
  std::vector<std::size_t> ops;
  std::vector<Ticks> ends;        // [slot]
  std::vector<Ticks> gaps;        // [slot] arrival of the input - end of the stage's action before
  std::vector<Cursor> cursors;    // [stage] after it
  std::int64_t longest_wait = 0;  // of a message taken, in rounds
};

class RoundHistory {
 public:
  explicit RoundHistory(const PipelineSchedule& schedule);

  // The newest round, to be filled in.
  Round& begin_round();
  // What comes next is not as what was.
  void forget();
  // After a round: moves the state as many turns on as are sure to go on like the last ones.
  void skip_turns(PlayState& state);

 private:
  const Round* ago(std::int64_t back) const;
  bool goes_on_alike(std::int64_t period) const;
  bool is_steady(std::int64_t period);
  std::int64_t turns_alike(const PlayState& state, std::int64_t period) const;
  std::int64_t turns_of_loops(const PlayState& state, std::int64_t period) const;
  bool reaches(const PlayState& state, const Moment& moment, std::int64_t period) const;
  Ticks later_by(const PlayState& state, const Moment& moment, std::int64_t period) const;
  void jump(PlayState& state, std::int64_t period, std::int64_t times);

  const PipelineSchedule& schedule_;
  std::int64_t max_period_ = 1;  // a message comes back after at most so many turns
  std::deque<Round> rounds_;
  std::vector<std::int64_t> quiet_;  // [period] rounds in a row that went on alike
};

}  // namespace tera::plan
