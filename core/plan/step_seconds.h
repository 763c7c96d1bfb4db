// Seconds of one optimizer step as numbers alone, fast enough to compare millions of layouts:
// time_model.h explains the same numbers.
#pragma once
#include <array>

#include "core/plan/layer_cost.h"
#include "core/plan/offload_cost.h"
#include "core/plan/rank_mesh.h"
#include "core/plan/stage_times.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// The kinds of time of a pass, in the order in which they are explained and summed.
inline constexpr std::array kComputeKinds = {
    &Seconds::dense, &Seconds::experts,   &Seconds::attention, &Seconds::streaming,
    &Seconds::head,  &Seconds::recompute, &Seconds::overhead};
inline constexpr std::array kCommunicationKinds = {&Seconds::tensor, &Seconds::expert,
                                                   &Seconds::context};

// The schedule, played without and with messages between stages.
struct PlayedSchedule {
  double apart_s = 0;
  double step_s = 0;
};

// Summing gradients and gathering weights, once per step.
struct GradientSync {
  double gradients_s = 0;
  double weights_s = 0;
  double copies_s = 0;   // into messages and out of them
  double exposed_s = 0;  // of all, beside what passes hide
};

struct StepSeconds {
  double micro_batches = 1;
  PassCost pass;           // of one micro-batch on the busiest stage
  double waits_s = 0;      // what messages between stages add to the step
  double send_wait_s = 0;  // of one of those messages, what the sender waits for
  double sends_s = 0;      // and of all
  GradientSync sync;
  double bubble_s = 0;     // the busiest stage waits for work, messages taking no time
  double optimizer_s = 0;  // on the device
  OffloadTraffic traffic;
  OffloadSeconds offload;
  double stragglers_s = 0;  // every rank waits for the slowest

  // Of all micro-batches, one kind of time.
  double of_kind(double Seconds::*kind) const {
    return micro_batches * (pass.forward.*kind + pass.backward.*kind);
  }
  double busy_s() const { return micro_batches * pass.total(); }
  double compute_s() const;
  double communication_s() const;
  double busy_share() const;  // of the step in which the busiest stage computes
  double total_s() const {
    return compute_s() + communication_s() + bubble_s + optimizer_s + offload.total() +
           stragglers_s;
  }
};

Result<PlayedSchedule> play_pipeline(const PipelineSchedule& schedule, const ScheduleTimes& times);

// Grows with both times of `played`: bounds of them from below give one of the step.
StepSeconds step_seconds(const spec::RunSpec& spec,
                         const RankMesh& mesh,
                         const LayerCost& cost,
                         const BusiestStage& busiest,
                         const PlayedSchedule& played);

// What offloading by the layout adds and takes away, of a step with nothing offloaded.
void add_offload(const spec::RunSpec& spec, const OffloadTraffic& traffic, StepSeconds& step);

// The norm of the gradients reads them and the next step sets them to zero, in f32.
inline constexpr double kNormAndZeroBytes = 8;
// Of the update: bytes of memory traffic; speed of the products of muon, in f32.
double update_bytes(const LocalParams& params);
double update_flops_per_s(const spec::RunSpec& spec);

}  // namespace tera::plan
