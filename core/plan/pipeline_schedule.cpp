#include "core/plan/pipeline_schedule.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "core/base/check.h"

namespace tera::plan {
namespace {

using Actions = std::vector<PipelineAction>;
using spec::ScheduleKind;

PipelineAction forward(int chunk, std::int64_t micro_batch) {
  return {Work::forward, chunk, micro_batch};
}
PipelineAction whole(int chunk, std::int64_t micro_batch) {
  return {Work::backward, chunk, micro_batch};
}
PipelineAction input(int chunk, std::int64_t micro_batch) {
  return {Work::backward_input, chunk, micro_batch};
}
PipelineAction weight(int chunk, std::int64_t micro_batch) {
  return {Work::backward_weight, chunk, micro_batch};
}

void add(StageOrder& order, Actions body, std::int64_t repeats) {
  if (repeats > 0) order.push_back({std::move(body), repeats, 1});
}

// All forwards, then all backwards. Huang et al. 2019, GPipe.
StageOrder gpipe(const PipelineShape& shape) {
  StageOrder order;
  add(order, {forward(0, 0)}, shape.num_micro_batches);
  add(order, {whole(0, 0)}, shape.num_micro_batches);
  return order;
}

// Of a forward and the backward behind it, which are of one micro-batch on the last stage: one
// forward more ahead, so that they are not.
std::int64_t ahead_of_pairs(const PipelineShape& shape) {
  return shape.in_pairs ? 1 : 0;
}

// As many forwards ahead as there are later stages, then one of each.
// Narayanan et al. 2019, PipeDream; 2021, Megatron-LM, section 2.2.1.
// In pairs twice as many: what a pair gives to a neighbour is there when both of it have ended, so
// that a micro-batch takes the time of a pair for every stage on its way up, and again down.
StageOrder one_f_one_b(const PipelineShape& shape, int stage) {
  const std::int64_t count = shape.num_micro_batches;
  const std::int64_t later = shape.num_stages - 1 - stage;
  const std::int64_t ahead =
      std::min((shape.in_pairs ? 2 : 1) * later + ahead_of_pairs(shape), count);
  StageOrder order;
  add(order, {forward(0, 0)}, ahead);
  add(order, {forward(0, ahead), whole(0, 0)}, count - ahead);
  add(order, {whole(0, count - ahead)}, ahead);
  return order;
}

// 1F1B with chunks in turn, a group of num_stages micro-batches each.
// Narayanan et al. 2021, Megatron-LM, section 2.2.2.
StageOrder interleaved(const PipelineShape& shape, int stage) {
  const std::int64_t stages = shape.num_stages;
  const std::int64_t chunks = shape.num_chunks;
  const std::int64_t period = stages * chunks;  // passes in which a group meets every chunk
  const std::int64_t total = shape.num_micro_batches * chunks;
  const std::int64_t ahead =
      std::min(total, 2 * (stages - 1 - stage) + (chunks - 1) * stages + ahead_of_pairs(shape));
  const auto chunk_of = [&](std::int64_t pass) { return static_cast<int>(pass / stages % chunks); };
  const auto micro_batch_of = [&](std::int64_t pass) {
    return pass / period * stages + pass % stages;
  };
  const auto up = [&](std::int64_t pass) { return forward(chunk_of(pass), micro_batch_of(pass)); };
  const auto down = [&](std::int64_t pass) {
    return whole(shape.num_chunks - 1 - chunk_of(pass), micro_batch_of(pass));
  };
  const auto pairs = [&](std::int64_t first, std::int64_t last) {
    Actions actions;
    for (std::int64_t pass = first; pass < last; ++pass) {
      actions.push_back(up(pass + ahead));
      actions.push_back(down(pass));
    }
    return actions;
  };
  const std::int64_t repeats = (total - ahead) / period;
  Actions fill;
  for (std::int64_t pass = 0; pass < ahead; ++pass)
    fill.push_back(up(pass));
  Actions drain = pairs(repeats * period, total - ahead);
  for (std::int64_t pass = total - ahead; pass < total; ++pass)
    drain.push_back(down(pass));
  StageOrder order;
  order.push_back({std::move(fill), 1, 0});
  if (repeats > 0) order.push_back({pairs(0, period), repeats, stages});
  order.push_back({std::move(drain), 1, 0});
  return order;
}

// 1F1B whose weight gradients lag by the number of the stage: all stages hold num_stages
// micro-batches, and later ones fill the end of the step. With twice as many forwards ahead and
// weights behind (H2) stages hold nearly twice as much and never wait. Qi et al. 2023, section 3.
StageOrder zero_bubble(const PipelineShape& shape, int stage, int times) {
  const std::int64_t count = shape.num_micro_batches;
  const std::int64_t later = shape.num_stages - 1 - stage;
  const std::int64_t ahead = std::min<std::int64_t>(times * later, count);
  const std::int64_t lag = std::min<std::int64_t>(std::int64_t{times} * stage, count);
  const std::int64_t paired = count - ahead;  // backwards with a forward before them
  const std::int64_t early = std::min(lag, paired);
  StageOrder order;
  add(order, {forward(0, 0)}, ahead);
  add(order, {forward(0, ahead), input(0, 0)}, early);
  add(order, {forward(0, ahead + early), input(0, early), weight(0, 0)}, paired - early);
  const std::int64_t weighted = std::max(paired, lag);  // first backward that a weight follows
  add(order, {input(0, paired)}, weighted - paired);
  add(order, {input(0, weighted), weight(0, weighted - lag)}, count - weighted);
  add(order, {weight(0, count - lag)}, lag);
  return order;
}

// Two chunks in a V: what fills the bubble is there as soon as it opens. No idle time between the
// first and the last action of a stage when F, B and W take the same time. Qi et al. 2024.
StageOrder zero_bubble_v(const PipelineShape& shape, int stage) {
  const std::int64_t p = shape.num_stages;
  const std::int64_t r = stage;
  const std::int64_t n = std::max(2 * p - 1, shape.num_micro_batches);
  const std::int64_t first = 2 * p - r - 1;  // forwards of chunk 0 before the steady state
  const std::int64_t steady = n - first;     // rounds with all six actions
  StageOrder order;
  add(order, {forward(0, 0)}, 2 * (p - r) - 1);
  add(order, {forward(1, 0), forward(0, 2 * (p - r) - 1)}, r);
  add(order, {forward(1, r), input(1, 0), weight(1, 0)}, p - r);
  add(order,
      {forward(0, first), input(0, 0), weight(0, 0), forward(1, p), input(1, p - r),
       weight(1, p - r)},
      steady);
  add(order,
      {input(0, steady), weight(0, steady), forward(1, p + steady), input(1, p - r + steady),
       weight(1, p - r + steady)},
      p - 1 - r);
  add(order, {input(0, n - p), input(1, n - r)}, r);
  add(order, {input(0, n - p + r), weight(0, n - p)}, p - r);
  add(order, {weight(1, n - r)}, r);
  add(order, {weight(0, n - r)}, r);
  if (n == shape.num_micro_batches) return order;
  Actions fewer;  // a short step is the start of a longer one
  for (const PipelineAction& action : actions_of(order)) {
    if (action.micro_batch < shape.num_micro_batches) fewer.push_back(action);
  }
  return {{std::move(fewer), 1, 0}};
}

// Two chunks in a V; forwards and backwards of the two directions stand in pairs, so that the
// messages of one can hide behind the products of the other. DeepSeek 2025, DualPipe, "DualPipeV".
StageOrder dual_pipe_v(const PipelineShape& shape, int stage) {
  const std::int64_t p = shape.num_stages;
  const std::int64_t r = stage;
  const std::int64_t n = shape.num_micro_batches;
  const std::int64_t later = p - 1 - r;
  const std::int64_t steady = n - 2 * p + r + 1;
  StageOrder order;
  add(order, {forward(0, 0)}, 2 * later);
  add(order, {forward(0, 2 * later), forward(1, 0)}, r + 1);
  add(order, {input(1, 0), weight(1, 0), forward(1, r + 1)}, later);
  add(order, {forward(0, 2 * p - r - 1), whole(1, later), forward(1, p), whole(0, 0)}, steady);
  add(order, {whole(1, later + steady), forward(1, p + steady), whole(0, steady)}, later);
  // The second half of what is left splits the backward; weights come when nothing else can.
  Actions drain;
  std::deque<PipelineAction> weights;
  const auto backward = [&](int chunk, std::int64_t micro_batch, bool split) {
    drain.push_back(split ? input(chunk, micro_batch) : whole(chunk, micro_batch));
    if (split) weights.push_back(weight(chunk, micro_batch));
  };
  const auto next_weight = [&] {
    drain.push_back(weights.front());
    weights.pop_front();
  };
  const std::int64_t half = (r + 1) / 2;
  for (std::int64_t i = 0; i <= r; ++i) {
    backward(1, n - r - 1 + i, r % 2 == 1 ? i >= half : i > half);
    backward(0, n - p + i, i >= half);
  }
  for (std::int64_t i = 0; i < later; ++i) {
    next_weight();
    backward(0, n - later + i, true);
  }
  while (!weights.empty())
    next_weight();
  order.push_back({std::move(drain), 1, 0});
  return order;
}

StageOrder stage_order(ScheduleKind kind, const PipelineShape& shape, int stage) {
  switch (kind) {
    case ScheduleKind::gpipe:
      return gpipe(shape);
    case ScheduleKind::one_f_one_b:
      return one_f_one_b(shape, stage);
    case ScheduleKind::interleaved:
      return interleaved(shape, stage);
    case ScheduleKind::zb_h1:
      return zero_bubble(shape, stage, 1);
    case ScheduleKind::zb_h2:
      return zero_bubble(shape, stage, 2);
    case ScheduleKind::zb_v:
      return zero_bubble_v(shape, stage);
    case ScheduleKind::dualpipe_v:
      return dual_pipe_v(shape, stage);
  }
  return {};
}

}  // namespace

int PipelineShape::link(Place place) const {
  const bool back = placement == ChunkPlacement::v && place.chunk % 2 == 1;
  return place.chunk * num_stages + (back ? num_stages - 1 - place.stage : place.stage);
}

PipelineShape::Place PipelineShape::place(int link) const {
  const int chunk = link / num_stages;
  const int at = link % num_stages;
  const bool back = placement == ChunkPlacement::v && chunk % 2 == 1;
  return {back ? num_stages - 1 - at : at, chunk};
}

PipelineShape pipeline_shape(const spec::RunSpec& spec) {
  return {
      .num_stages = spec.layout.pipeline_parallel_size,
      .num_chunks = spec.layout.virtual_stages,
      .num_micro_batches = std::max<std::int64_t>(1, spec.num_micro_batches()),
      .placement = spec::runs_in_v(spec.layout.schedule) ? ChunkPlacement::v : ChunkPlacement::loop,
      .in_pairs = spec.overlaps_experts()};
}

PipelineSchedule make_schedule(ScheduleKind kind, PipelineShape shape) {
  TERA_CHECK(shape.num_stages > 0 && shape.num_chunks > 0 && shape.num_micro_batches > 0,
             "schedule of {} stages, {} chunks and {} micro-batches", shape.num_stages,
             shape.num_chunks, shape.num_micro_batches);
  TERA_CHECK(
      kind == ScheduleKind::interleaved || shape.num_chunks == (spec::runs_in_v(kind) ? 2 : 1),
      "{} with {} chunks per stage", enum_name(kind), shape.num_chunks);
  TERA_CHECK(kind != ScheduleKind::interleaved || shape.num_micro_batches % shape.num_stages == 0,
             "interleaved: {} micro-batches on {} stages", shape.num_micro_batches,
             shape.num_stages);
  TERA_CHECK(kind != ScheduleKind::dualpipe_v ||
                 shape.num_micro_batches >= 2 * std::int64_t{shape.num_stages},
             "dualpipe-v: {} micro-batches on {} stages", shape.num_micro_batches,
             shape.num_stages);
  shape.placement = spec::runs_in_v(kind) ? ChunkPlacement::v : ChunkPlacement::loop;
  PipelineSchedule schedule{
      .shape = shape, .stages = {}, .overlaps_steps = kind == ScheduleKind::zb_h2};
  for (int stage = 0; stage < shape.num_stages; ++stage)
    schedule.stages.push_back(stage_order(kind, shape, stage));
  return schedule;
}

PipelineSchedule make_schedule(const spec::RunSpec& spec) {
  return make_schedule(spec.layout.schedule, pipeline_shape(spec));
}

std::vector<PipelineAction> actions_of(const StageOrder& order) {
  Actions actions;
  for (const ActionLoop& loop : order) {
    for (std::int64_t turn = 0; turn < loop.repeats; ++turn) {
      for (PipelineAction action : loop.body) {
        action.micro_batch += turn * loop.shift;
        actions.push_back(action);
      }
    }
  }
  return actions;
}

}  // namespace tera::plan
