#include "core/train/synthetic.h"

#include <algorithm>

#include "core/base/rng.h"
#include "core/nn/model.h"
#include "core/plan/adapter_table.h"
#include "core/plan/pipeline_schedule.h"
#include "core/train/grad_sync.h"
#include "core/train/lr_schedule.h"
#include "core/train/optimizer.h"
#include "core/train/stage_executor.h"

namespace tera::train {
namespace {

std::vector<data::HostBatch> random_batches(const spec::RunSpec& spec) {
  const Philox rng(spec.seed, RngPurpose::test);
  std::vector<data::HostBatch> batches;
  std::uint64_t counter = 0;
  const auto token = [&] {
    return static_cast<std::int32_t>(rng.words(0, counter++)[0] %
                                     static_cast<std::uint32_t>(spec.model.vocab_size));
  };
  for (std::int64_t micro = 0; micro < spec.num_micro_batches(); ++micro) {
    data::HostBatch batch;
    batch.batch_size = spec.layout.micro_batch_size;
    batch.seq_length = spec.training.seq_length;
    for (int sequence = 0; sequence < batch.batch_size; ++sequence) {
      for (int i = 0; i < batch.seq_length; ++i) {
        batch.tokens.push_back(token());
        batch.targets.push_back(token());
        batch.positions.push_back(i);
        batch.first_key.push_back(0);
      }
    }
    batch.num_targets = static_cast<std::int64_t>(batch.tokens.size());
    batches.push_back(std::move(batch));
  }
  return batches;
}

}  // namespace

struct SyntheticTrainer::Parts {
  Parts(const spec::RunSpec& run_spec, Backend& backend)
      : spec(run_spec),
        params(backend,
               plan::make_param_table(spec),
               {.compute = plan::compute_dtype(spec.training.precision)}),
        model(spec.model, params),
        executor(model, backend),
        actions(plan::actions_of(plan::make_schedule(spec).stages.front())),
        batches(random_batches(spec)) {
    nn::init_params(params, spec.model, spec.seed);
    optimizer = std::make_unique<Optimizer>(params, spec);
  }

  spec::RunSpec spec;
  nn::ParamStore params;
  nn::Model model;
  StageExecutor executor;
  std::vector<plan::PipelineAction> actions;
  std::vector<data::HostBatch> batches;
  std::unique_ptr<Optimizer> optimizer;
};

SyntheticTrainer::SyntheticTrainer(const spec::RunSpec& spec, Backend& backend)
    : parts_(std::make_unique<Parts>(spec, backend)) {}

SyntheticTrainer::~SyntheticTrainer() = default;

double SyntheticTrainer::step() {
  Parts& p = *parts_;
  const std::int64_t targets = p.spec.tokens_per_step();
  const StageResult result = p.executor.run(p.actions, p.batches,
                                            {.global_targets = targets,
                                             .global_micro_batches = p.spec.num_micro_batches(),
                                             .seed = p.spec.seed,
                                             .number = p.optimizer->steps_done(),
                                             .recompute = p.spec.layout.recompute});
  p.params.settle_grads();
  const double norm = gradient_norm(p.params);
  p.optimizer->step(learning_rate_at(p.spec.training, p.optimizer->steps_done()),
                    clip_factor(norm, p.spec.training.grad_clip));
  p.params.zero_grads();
  return result.loss_sum / static_cast<double>(targets);
}

}  // namespace tera::train
