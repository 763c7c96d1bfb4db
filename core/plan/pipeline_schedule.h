// PipelineSchedule: the ordered work of every stage, as data. The simulator plays it, the trainer
// executes it, `teragpt simulate` draws it.
//
// A rank of the pipeline (a stage) holds one or more chunks of the model. The chunks of all stages
// are the links of one chain; a forward goes up the chain, a backward down. A stage works through
// its list in order: it waits for what an action needs from another stage; sending does not hold it
// up.
#pragma once
#include <cstdint>
#include <vector>

#include "core/spec/run_spec.h"

namespace tera::plan {

// backward is the whole of it: of the input, then of the weights. Schedules that split it run
// backward_input, on which the previous link waits, and later backward_weight, on which nobody
// does (Qi et al. 2023, Zero Bubble Pipeline Parallelism).
enum class Work : std::uint8_t { forward, backward, backward_input, backward_weight };

struct PipelineAction {
  Work work = Work::forward;
  int chunk = 0;                 // on this stage, 0 .. num_chunks - 1
  std::int64_t micro_batch = 0;  // 0 .. num_micro_batches - 1
  bool operator==(const PipelineAction&) const = default;
};

// Actions that repeat, `shift` micro-batches later each time: a schedule of any length is short.
struct ActionLoop {
  std::vector<PipelineAction> body;
  std::int64_t repeats = 1;
  std::int64_t shift = 0;
};
using StageOrder = std::vector<ActionLoop>;

// loop: link = chunk x num_stages + stage. v: odd chunks run back from the last stage to the first,
// so that stage 0 holds both ends of the model (Qi et al. 2024, Pipeline Parallelism with
// Controllable Memory).
enum class ChunkPlacement : std::uint8_t { loop, v };

struct PipelineShape {
  int num_stages = 1;
  int num_chunks = 1;  // on each stage
  std::int64_t num_micro_batches = 1;
  ChunkPlacement placement = ChunkPlacement::loop;
  // A forward and the backward behind it run in turns, so that rows of one travel to their experts
  // while the other is computed (schedule_pairs.h).
  bool in_pairs = false;

  struct Place {
    int stage = 0;
    int chunk = 0;
  };
  int num_links() const { return num_stages * num_chunks; }
  int link(Place place) const;
  Place place(int link) const;
  bool operator==(const PipelineShape&) const = default;
};
PipelineShape pipeline_shape(const spec::RunSpec& spec);

struct PipelineSchedule {
  PipelineShape shape;
  std::vector<StageOrder> stages;  // [stage]
  // A stage begins its next step before the others end theirs: the optimizer's checks come after
  // the update, and undo it if need be. Qi et al. 2023, section 4.
  bool overlaps_steps = false;
};

// The schedule of a kind; the placement of the shape is set by the kind. The rules of
// spec::validate must hold (contract): interleaved needs micro-batches in multiples of the stages,
// the v schedules two chunks per stage, dualpipe_v two micro-batches per stage.
PipelineSchedule make_schedule(spec::ScheduleKind kind, PipelineShape shape);
PipelineSchedule make_schedule(const spec::RunSpec& spec);

// An order with its loops written out.
std::vector<PipelineAction> actions_of(const StageOrder& order);

}  // namespace tera::plan
