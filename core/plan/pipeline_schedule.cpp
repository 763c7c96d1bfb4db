#include "core/plan/pipeline_schedule.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace tera::plan {
namespace {

constexpr double kNotDone = std::numeric_limits<double>::infinity();

// Plays one schedule. A model chunk c of stage s is link c * num_stages + s of the chain that a
// micro-batch runs through; forward goes up the chain, backward down.
class Simulation {
 public:
  Simulation(const PipelineSchedule& schedule,
             const std::vector<double>& forward_s,
             const std::vector<double>& backward_s)
      : schedule_(schedule), forward_s_(forward_s), backward_s_(backward_s) {}

  Result<SimulatedStep> run() {
    if (Result<void> checked = check(); !checked) return tl::unexpected<Error>(checked.error());
    std::vector<std::size_t> next(num_stages_, 0);
    std::vector<double> free_at(num_stages_, 0), busy(num_stages_, 0);
    // Stages take turns, each running as far as its inputs are there; every turn is linear in what
    // it runs, and a round in which nobody moves is a deadlock.
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t stage = 0; stage < num_stages_; ++stage) {
        while (next[stage] < schedule_[stage].size()) {
          const PipelineAction& action = schedule_[stage][next[stage]];
          const double ready = ready_at(action, stage);
          if (ready == kNotDone) break;
          const double duration = (action.work == Work::forward ? forward_s_ : backward_s_)[stage];
          free_at[stage] = std::max(free_at[stage], ready) + duration;
          busy[stage] += duration;
          done(action, stage) = free_at[stage];
          ++next[stage];
          moved = true;
        }
      }
    }
    return result(next, free_at, busy);
  }

 private:
  Result<void> check() {
    num_stages_ = schedule_.size();
    if (num_stages_ == 0 || forward_s_.size() != num_stages_ || backward_s_.size() != num_stages_) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("pipeline schedule: got {} stages with {} forward and {} backward times, "
                      "expected one of each per stage",
                      num_stages_, forward_s_.size(), backward_s_.size()));
    }
    for (const auto& actions : schedule_) {
      for (const PipelineAction& action : actions) {
        if (action.chunk < 0 || action.micro_batch < 0) {
          return fail(ErrorCode::invalid_input, "pipeline schedule: negative chunk or micro-batch");
        }
        num_chunks_ = std::max(num_chunks_, static_cast<std::size_t>(action.chunk) + 1);
        num_micro_batches_ =
            std::max(num_micro_batches_, static_cast<std::size_t>(action.micro_batch) + 1);
      }
    }
    const std::size_t links = num_stages_ * num_chunks_;
    forward_done_.assign(links * num_micro_batches_, kNotDone);
    backward_done_.assign(links * num_micro_batches_, kNotDone);
    return {};
  }

  std::size_t link(const PipelineAction& action, std::size_t stage) const {
    return static_cast<std::size_t>(action.chunk) * num_stages_ + stage;
  }
  std::size_t slot(std::size_t link, const PipelineAction& action) const {
    return link * num_micro_batches_ + static_cast<std::size_t>(action.micro_batch);
  }
  double& done(const PipelineAction& action, std::size_t stage) {
    auto& times = action.work == Work::forward ? forward_done_ : backward_done_;
    return times[slot(link(action, stage), action)];
  }

  // When the input of an action is there; infinite when its producer has not run yet.
  double ready_at(const PipelineAction& action, std::size_t stage) const {
    const std::size_t at = link(action, stage);
    if (action.work == Work::forward) return at == 0 ? 0 : forward_done_[slot(at - 1, action)];
    const bool last = at + 1 == num_stages_ * num_chunks_;
    const double own = forward_done_[slot(at, action)];
    return last ? own : std::max(own, backward_done_[slot(at + 1, action)]);
  }

  Result<SimulatedStep> result(const std::vector<std::size_t>& next,
                               const std::vector<double>& free_at,
                               const std::vector<double>& busy) const {
    for (std::size_t stage = 0; stage < num_stages_; ++stage) {
      if (next[stage] == schedule_[stage].size()) continue;
      const PipelineAction& action = schedule_[stage][next[stage]];
      return fail(ErrorCode::invalid_input,
                  fmt::format("pipeline schedule: stage {} waits for ever before the {} of "
                              "micro-batch {}: its input is never produced",
                              stage, action.work == Work::forward ? "forward" : "backward",
                              action.micro_batch));
    }
    SimulatedStep step;
    step.step_s = *std::max_element(free_at.begin(), free_at.end());
    const double busiest = *std::max_element(busy.begin(), busy.end());
    step.bubble_ratio = step.step_s > 0 ? (step.step_s - busiest) / step.step_s : 0;
    for (const auto& actions : schedule_) {
      int in_flight = 0;
      int peak = 0;
      for (const PipelineAction& action : actions) {
        in_flight += action.work == Work::forward ? 1 : -1;
        peak = std::max(peak, in_flight);
      }
      step.peak_in_flight.push_back(peak);
    }
    return step;
  }

  const PipelineSchedule& schedule_;
  const std::vector<double>& forward_s_;
  const std::vector<double>& backward_s_;
  std::size_t num_stages_ = 0;
  std::size_t num_chunks_ = 1;
  std::size_t num_micro_batches_ = 1;
  std::vector<double> forward_done_, backward_done_;  // [link][micro-batch] end times
};

}  // namespace

PipelineSchedule make_gpipe(int num_stages, int num_micro_batches) {
  std::vector<PipelineAction> order;
  order.reserve(2 * static_cast<std::size_t>(std::max(0, num_micro_batches)));
  for (int i = 0; i < num_micro_batches; ++i)
    order.push_back({Work::forward, 0, i});
  for (int i = 0; i < num_micro_batches; ++i)
    order.push_back({Work::backward, 0, i});
  return PipelineSchedule(static_cast<std::size_t>(std::max(0, num_stages)), order);
}

PipelineSchedule make_1f1b(int num_stages, int num_micro_batches) {
  PipelineSchedule schedule;
  for (int stage = 0; stage < num_stages; ++stage) {
    std::vector<PipelineAction> order;
    order.reserve(2 * static_cast<std::size_t>(std::max(0, num_micro_batches)));
    const int warmup = std::min(num_stages - 1 - stage, num_micro_batches);
    for (int i = 0; i < warmup; ++i)
      order.push_back({Work::forward, 0, i});
    for (int i = warmup; i < num_micro_batches; ++i) {
      order.push_back({Work::forward, 0, i});
      order.push_back({Work::backward, 0, i - warmup});
    }
    for (int i = num_micro_batches - warmup; i < num_micro_batches; ++i) {
      order.push_back({Work::backward, 0, i});
    }
    schedule.push_back(std::move(order));
  }
  return schedule;
}

PipelineSchedule make_schedule(spec::ScheduleKind kind, int num_stages, int num_micro_batches) {
  return kind == spec::ScheduleKind::gpipe ? make_gpipe(num_stages, num_micro_batches)
                                           : make_1f1b(num_stages, num_micro_batches);
}

Result<SimulatedStep> simulate(const PipelineSchedule& schedule,
                               const std::vector<double>& forward_s,
                               const std::vector<double>& backward_s) {
  return Simulation(schedule, forward_s, backward_s).run();
}

}  // namespace tera::plan
