#include "core/plan/step_traffic.h"

#include "core/base/check.h"
#include "core/plan/adapter_table.h"
#include "core/plan/module_messages.h"
#include "core/plan/placement.h"
#include "core/plan/rank_extents.h"
#include "core/plan/schedule_file.h"
#include "core/plan/schedule_messages.h"
#include "core/plan/sync_messages.h"

namespace tera::plan {
namespace {

using enum MessageKind;

constexpr std::int64_t kF64 = 8;  // bytes

void stage_messages(const spec::RunSpec& spec,
                    const PipelineSchedule& schedule,
                    int stage,
                    MessageTally& tally) {
  const PipelineShape& shape = schedule.shape;
  const std::int64_t bytes = rank_extents(spec).own_tokens * spec.model.hidden_size *
                             dtype_bytes(compute_dtype(spec.training.precision));
  for (const PipelineAction& action :
       actions_of(schedule.stages[static_cast<std::size_t>(stage)])) {
    const auto given = given_by(shape, stage, action);
    if (given && shape.place(given->to_link).stage != stage)
      tally.add("pipeline", shape.num_stages, send, bytes);
    const auto needed = needed_by(shape, stage, action);
    if (needed && sender_of(shape, *needed) != stage)
      tally.add("pipeline", shape.num_stages, recv, bytes);
  }
}

// The squares of every tensor's gradient; five sums of losses, and of each layer four counts, with
// experts one more for each.
void world_messages(const spec::RunSpec& spec, MessageTally& tally) {
  const int ranks = tally.mesh().world_size();
  tally.add("world", ranks, all_reduce,
            static_cast<std::int64_t>(make_param_table(spec).size()) * kF64);
  std::int64_t values = 5;
  for (int layer = 0; layer < spec.model.num_all_layers(); ++layer)
    values += 4 + (spec.model.is_moe_layer(layer) ? spec.model.num_experts : 0);
  tally.add("world", ranks, all_reduce, values * kF64);
}

}  // namespace

ExpertCounts even_counts(const spec::RunSpec& spec) {
  const RankExtents extents = rank_extents(spec);
  const std::int64_t micro_batch =
      std::int64_t{spec.layout.micro_batch_size} * spec.training.seq_length;
  const std::int64_t experts = spec.model.num_experts;
  const std::int64_t rows = spec.model.routed_rows(micro_batch) * extents.own_tokens / micro_batch;
  ExpertCounts counts;
  for (std::int64_t rank = 0; rank < extents.expert_ranks; ++rank) {
    for (std::int64_t expert = 0; expert < experts; ++expert)
      counts.push_back(rows / experts + (expert < rows % experts ? 1 : 0));
  }
  return counts;
}

std::vector<PlannedMessages> step_traffic(const spec::RunSpec& spec,
                                          const RankMesh& mesh,
                                          int rank,
                                          const std::vector<ExpertCounts>& exchanges) {
  const int stage = mesh.coordinate(rank, Axis::pipeline);
  MessageTally tally(mesh);
  tally.set_times(spec.num_micro_batches());
  ModuleMessages modules(spec, tally);
  for (const StageChunk& chunk : stage_chunks(spec, stage))
    modules.chunk(chunk);
  tally.set_times(1);
  const ExpertBlock block{.expert_ranks = mesh.size(Axis::expert),
                          .tensor_ranks = mesh.size(Axis::expert_tensor),
                          .expert_rank = mesh.coordinate(rank, Axis::expert),
                          .tensor_rank = mesh.coordinate(rank, Axis::expert_tensor)};
  if (block.size() > 1) {
    ExchangeMessages rows(spec, block, tally);
    for (const ExpertCounts& counts : exchanges)
      rows.exchange(counts);
  }
  const Result<PipelineSchedule> schedule = load_schedule(spec);
  TERA_CHECK(schedule.has_value(), "{}", schedule.error().message);
  stage_messages(spec, *schedule, stage, tally);
  SyncMessages sync(spec, rank, tally);
  sync.gradients();
  sync.blocks_of_norm();
  sync.weights(schedule->stages[static_cast<std::size_t>(stage)]);
  world_messages(spec, tally);
  return tally.take();
}

std::vector<PlannedMessages> step_traffic(const spec::RunSpec& spec,
                                          const RankMesh& mesh,
                                          int rank) {
  if (spec.model.num_experts == 0) return step_traffic(spec, mesh, rank, {});
  std::int64_t layers = 0;
  for (const StageChunk& chunk : stage_chunks(spec, mesh.coordinate(rank, Axis::pipeline))) {
    layers += layer_mix(spec.model, chunk.layers).moe;
    if (chunk.has_head)
      layers += layer_mix(spec.model, {spec.model.num_layers, spec.model.num_all_layers()}).moe;
  }
  return step_traffic(
      spec, mesh, rank,
      std::vector<ExpertCounts>(static_cast<std::size_t>(layers * spec.num_micro_batches()),
                                even_counts(spec)));
}

}  // namespace tera::plan
