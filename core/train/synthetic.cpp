#include "core/train/synthetic.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "core/comm/mesh_groups.h"
#include "core/plan/param_slice.h"
#include "core/plan/schedule_file.h"
#include "core/train/grad_sync.h"
#include "core/train/lr_schedule.h"
#include "core/train/optimizer.h"
#include "core/train/step_record.h"

namespace tera::train {
namespace {

// A replica's micro-batches of the global batch (ORDER.md: replicas take turns).
std::vector<data::HostBatch> random_batches(const spec::RunSpec& spec, int replica) {
  const Philox rng(spec.seed, RngPurpose::test);
  std::vector<data::HostBatch> batches;
  const std::int64_t tokens = std::int64_t{spec.layout.micro_batch_size} * spec.training.seq_length;
  for (std::int64_t micro = 0; micro < spec.num_micro_batches(); ++micro) {
    const std::int64_t before = (micro * spec.layout.data_parallel_size + replica) * tokens;
    auto counter = static_cast<std::uint64_t>(2 * before);  // a token and its target
    const auto token = [&] {
      return static_cast<std::int32_t>(rng.words(0, counter++)[0] %
                                       static_cast<std::uint32_t>(spec.model.vocab_size));
    };
    data::HostBatch batch;
    batch.batch_size = spec.layout.micro_batch_size;
    batch.seq_length = spec.training.seq_length;
    for (std::int64_t i = 0; i < tokens; ++i) {
      batch.tokens.push_back(token());
      batch.targets.push_back(token());
      batch.positions.push_back(static_cast<std::int32_t>(i % spec.training.seq_length));
      batch.first_key.push_back(0);
    }
    batch.num_targets = tokens;
    batches.push_back(std::move(batch));
  }
  return batches;
}

plan::PipelineSchedule loaded_schedule(const spec::RunSpec& spec) {
  Result<plan::PipelineSchedule> schedule = plan::load_schedule(spec);
  TERA_CHECK(schedule.has_value(), "{}", schedule.error().message);
  return std::move(*schedule);
}

}  // namespace

struct SyntheticTrainer::Parts {
  Parts(const spec::RunSpec& run_spec, Backend& backend, comm::Communicator* ranks)
      : spec(run_spec),
        self(comm::make_self_communicator()),
        groups(*plan::RankMesh::make(spec.layout), ranks != nullptr ? *ranks : *self),
        params(make_param_store(backend, spec, groups)),
        executor(spec, params, groups[plan::Axis::pipeline]),
        sync(params, groups, spec),
        schedule(loaded_schedule(spec)),
        batches(random_batches(spec, groups.coordinate(plan::Axis::data))) {
    nn::init_params(params, spec.model, spec.seed);
    optimizer = std::make_unique<Optimizer>(params, spec);
  }

  spec::RunSpec spec;
  std::unique_ptr<comm::Communicator> self;
  comm::MeshGroups groups;
  nn::ParamStore params;
  StageExecutor executor;
  GradSync sync;
  plan::PipelineSchedule schedule;
  std::vector<data::HostBatch> batches;
  std::unique_ptr<Optimizer> optimizer;
  StageResult result;
};

SyntheticTrainer::SyntheticTrainer(const spec::RunSpec& spec,
                                   Backend& backend,
                                   comm::Communicator* world)
    : parts_(std::make_unique<Parts>(spec, backend, world)) {}

SyntheticTrainer::~SyntheticTrainer() = default;

double SyntheticTrainer::step() {
  Parts& p = *parts_;
  const std::int64_t targets = p.spec.tokens_per_step();
  p.sync.begin_step(p.spec.num_micro_batches());
  p.result = p.executor.run(
      p.schedule, p.batches,
      {.global_targets = targets,
       .global_micro_batches = p.spec.num_micro_batches() * p.spec.layout.data_parallel_size,
       .seed = p.spec.seed,
       .number = p.optimizer->steps_done(),
       .replicas = &p.groups[plan::Axis::data],
       .watcher = &p.sync,
       .recompute = p.spec.layout.recompute});
  p.sync.finish();
  p.optimizer->step(learning_rate_at(p.spec.training, p.optimizer->steps_done()),
                    clip_factor(p.sync.norm(), p.spec.training.grad_clip));
  p.sync.share_weights();
  p.params.zero_grads();
  sum_over_ranks(p.result, false, p.groups, p.params.backend());
  return p.result.loss_sum / static_cast<double>(targets);
}

const nn::ParamStore& SyntheticTrainer::params() const {
  return parts_->params;
}

const StageResult& SyntheticTrainer::last_result() const {
  return parts_->result;
}

}  // namespace tera::train
