#include "core/plan/schedule_program.h"

#include <cmath>

#include <fmt/format.h>

namespace tera::plan {
namespace {

class ProgramBuilder {
 public:
  ProgramBuilder(const PipelineSchedule& schedule, const ScheduleTimes& times)
      : schedule_(schedule), times_(times), shape_(schedule.shape) {}

  Result<ScheduleProgram> run() {
    TERA_TRY_VOID(check());
    program_.num_mailboxes = 2 * static_cast<std::size_t>(shape_.num_links());
    set_scale();
    set_links();
    std::size_t count = 0;
    for (const StageOrder& order : schedule_.stages) {
      for (const ActionLoop& loop : order)
        count += loop.body.size();
    }
    program_.ops.reserve(count);
    for (int stage = 0; stage < shape_.num_stages; ++stage) {
      program_.first_op.emplace_back();
      Ticks busy = 0;
      for (const ActionLoop& loop : order_of(stage)) {
        program_.first_op.back().push_back(program_.ops.size());
        for (const PipelineAction& action : loop.body) {
          program_.ops.push_back(make_op(action, loop.shift, shape_.link({stage, action.chunk})));
          busy += loop.repeats * program_.ops.back().duration;
        }
      }
      program_.busy.push_back(busy);
    }
    return std::move(program_);
  }

 private:
  // What the ops of a link have in common.
  struct Link {
    Ticks forward = 0;
    Ticks backward_input = 0;
    Ticks backward_weight = 0;
    Ticks backward = 0;
    Ticks send_up = 0;
    Ticks send_down = 0;
  };

  Result<void> check() const {
    const auto links = static_cast<std::size_t>(shape_.num_links());
    if (schedule_.stages.size() == static_cast<std::size_t>(shape_.num_stages) &&
        times_.links.size() == links &&
        (times_.send_s.empty() || times_.send_s.size() + 1 == links))
      return {};
    return fail(ErrorCode::invalid_input,
                fmt::format("schedule: got {} stages, times of {} links and {} messages, expected "
                            "{}, {} and {}",
                            schedule_.stages.size(), times_.links.size(), times_.send_s.size(),
                            shape_.num_stages, links, links - 1));
  }

  const StageOrder& order_of(int stage) const {
    return schedule_.stages[static_cast<std::size_t>(stage)];
  }

  double seconds(const PipelineAction& action, int stage) const {
    const LinkSeconds& link =
        times_.links[static_cast<std::size_t>(shape_.link({stage, action.chunk}))];
    switch (action.work) {
      case Work::forward:
        return link.forward;
      case Work::backward:
        return link.backward_input + link.backward_weight;
      case Work::backward_input:
        return link.backward_input;
      case Work::backward_weight:
        return link.backward_weight;
    }
    return 0;
  }

  // Seconds of a message between a link and the next.
  double send_s(int link) const {
    const bool same = shape_.place(link).stage == shape_.place(link + 1).stage;
    return same || times_.send_s.empty() ? 0 : times_.send_s[static_cast<std::size_t>(link)];
  }

  // Ticks such that all work and all messages one after the other still fit.
  void set_scale() {
    double all_s = 0;
    for (int stage = 0; stage < shape_.num_stages; ++stage) {
      for (const ActionLoop& loop : order_of(stage)) {
        for (const PipelineAction& action : loop.body)
          all_s += static_cast<double>(loop.repeats) * seconds(action, stage);
      }
    }
    for (int link = 0; link + 1 < shape_.num_links(); ++link)
      all_s += 2 * static_cast<double>(shape_.num_micro_batches) * send_s(link);
    // A power of two, so that times that are short in binary are exact.
    constexpr int kBits = 60;  // of the sum: it stays below the sign
    program_.ticks_per_s_exponent = all_s > 0 ? kBits - std::ilogb(all_s) : 0;
  }

  Ticks ticks(double s) const { return std::llround(std::ldexp(s, program_.ticks_per_s_exponent)); }

  void set_links() {
    for (int link = 0; link < shape_.num_links(); ++link) {
      const LinkSeconds& s = times_.links[static_cast<std::size_t>(link)];
      links_.push_back({.forward = ticks(s.forward),
                        .backward_input = ticks(s.backward_input),
                        .backward_weight = ticks(s.backward_weight),
                        .backward = ticks(s.backward_input + s.backward_weight),
                        .send_up = link + 1 < shape_.num_links() ? ticks(send_s(link)) : 0,
                        .send_down = link > 0 ? ticks(send_s(link - 1)) : 0});
    }
  }

  // Mailbox 2 x link holds inputs of its forward, 2 x link + 1 gradients for its backward.
  Op make_op(const PipelineAction& action, std::int64_t shift, int at) const {
    const Link& link = links_[static_cast<std::size_t>(at)];
    const bool first = at == 0;
    const bool last = at + 1 == shape_.num_links();
    Op op{.micro_batch = action.micro_batch, .shift = shift, .duration = link.backward_weight};
    switch (action.work) {
      case Work::forward:
        op.duration = link.forward;
        op.send = link.send_up;
        op.inbox = first ? -1 : 2 * at;
        op.outbox = last ? -1 : 2 * (at + 1);
        break;
      case Work::backward:
      case Work::backward_input:
        op.duration = action.work == Work::backward ? link.backward : link.backward_input;
        op.send = link.send_down;
        op.inbox = last ? -1 : 2 * at + 1;
        op.outbox = first ? -1 : 2 * (at - 1) + 1;
        break;
      case Work::backward_weight:
        break;
    }
    return op;
  }

  const PipelineSchedule& schedule_;
  const ScheduleTimes& times_;
  PipelineShape shape_;
  std::vector<Link> links_;
  ScheduleProgram program_;
};

}  // namespace

double ScheduleProgram::to_seconds(Ticks ticks) const {
  return std::ldexp(static_cast<double>(ticks), -ticks_per_s_exponent);
}

Result<ScheduleProgram> make_program(const PipelineSchedule& schedule, const ScheduleTimes& times) {
  return ProgramBuilder(schedule, times).run();
}

}  // namespace tera::plan
