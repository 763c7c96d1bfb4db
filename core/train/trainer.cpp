#include "core/train/trainer.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/checkpoint/checkpoint.h"
#include "core/comm/lone_work.h"
#include "core/comm/mesh_groups.h"
#include "core/data/batch_loader.h"
#include "core/plan/adapter_table.h"
#include "core/plan/estimate.h"
#include "core/plan/param_slice.h"
#include "core/plan/schedule_file.h"
#include "core/spec/step_samples.h"
#include "core/train/grad_sync.h"
#include "core/train/lr_schedule.h"
#include "core/train/optimizer.h"
#include "core/train/run_reporter.h"
#include "core/train/stage_executor.h"
#include "core/train/step_judge.h"
#include "core/train/step_record.h"
#include "core/train/train_state.h"

namespace tera::train {
namespace {

// Everything one rank holds while it trains, and the step.
class RankTrainer {
 public:
  RankTrainer(const run::RunDirectory& dir,
              const spec::RunSpec& spec,
              const plan::RankMesh& mesh,
              comm::Communicator& world,
              Backend& backend,
              const TrainOptions& options)
      : dir_(dir),
        spec_(spec),
        world_(world),
        backend_(backend),
        options_(options),
        groups_(mesh, world),
        params_(make_param_store(backend, spec, groups_)),
        executor_(spec, params_, groups_[plan::Axis::pipeline]),
        sync_(params_, groups_, spec),
        judge_(spec.training) {}

  Result<TrainEnd> run() {
    TERA_TRY_VOID(start());
    const auto at_stop = [this] {
      return options_.stop_at_step > 0 && state_.step >= options_.stop_at_step;
    };
    while (state_.step < spec_.training.num_steps) {
      if (at_stop()) return TrainEnd::stopped;  // resumed from a checkpoint that is there already
      TERA_TRY_VOID(step());
      const bool leave = stop_agreed_ || at_stop();
      const bool last = state_.step == spec_.training.num_steps;
      if (leave || last) {
        TERA_TRY_VOID(save());
      } else if (due(spec_.training.checkpoint_interval)) {
        TERA_TRY_VOID(save());
        comm::do_on_rank_0(world_, backend_, [this] { remove_old_checkpoints(dir_, spec_); });
      }
      if (leave && !last) return TrainEnd::stopped;
    }
    return TrainEnd::completed;
  }

 private:
  bool leader() const { return world_.rank() == 0; }
  // Part of the frozen weights where adapters are trained.
  bool moves_expert_bias() const {
    return spec_.model.expert_bias_update_rate > 0 && !spec_.lora.enabled();
  }
  bool due(std::int64_t interval) const { return interval > 0 && state_.step % interval == 0; }

  Result<void> start() {
    TERA_TRY(schedule_, plan::load_schedule(spec_));
    nn::init_params(params_, spec_.model, spec_.seed);
    optimizer_ = std::make_unique<Optimizer>(params_, spec_);
    parts_.emplace(groups_, params_, *optimizer_);
    if (options_.resume) {
      TERA_TRY_VOID(resume());
    } else if (!spec_.training.init_from.empty()) {
      TERA_TRY(state_.base,
               load_initial_weights(dir_.vfs(), spec_.training.init_from, spec_, *parts_));
    }
    sync_.share_weights();
    TERA_TRY(loader_, data::BatchLoader::open(spec_, groups_.coordinate(plan::Axis::data),
                                              state_.step, state_.data_chain));
    if (!state_.data_plan.empty() && state_.data_plan != loader_->plan_hash()) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("the data differs from what the checkpoint of step {} was trained on "
                              "(plan {} now, {} then)",
                              state_.step, loader_->plan_hash(), state_.data_plan),
                  "restore the token files and the data section of the run's spec");
    }
    state_.data_plan = loader_->plan_hash();
    TERA_TRY(held_out_, spec_.training.eval_interval > 0
                            ? loader_->held_out(spec_.training.eval_sequences)
                            : Result<std::vector<data::HostBatch>>(std::vector<data::HostBatch>{}));
    if (leader()) {
      TERA_TRY(reporter_, RunReporter::open(dir_, options_.attempt, options_.on_record));
      flops_per_token_ = plan::train_flops_per_token(spec_);
      spdlog::info("{}: step {} of {}, {} parameters, {} trained, {} ranks", spec_.name,
                   state_.step, spec_.training.num_steps,
                   format_count(static_cast<double>(plan::count_params(spec_.model).total)),
                   format_count(static_cast<double>(plan::count_trainable(spec_))), world_.size());
    }
    return {};
  }

  Result<void> resume() {
    TERA_TRY(const checkpoint::Reader reader,
             open_chosen(dir_.vfs(), *parts_, [&](std::vector<std::string>& skipped) {
               return checkpoint::open_latest_valid(dir_.vfs(), dir_.checkpoints_dir(), skipped);
             }));
    TERA_TRY(state_, load_state(reader, spec_, *parts_));
    judge_.restore(state_);
    return {};
  }

  // Of a step of so many micro-batches. One that a person wrote has those of every step.
  const plan::PipelineSchedule& schedule_of(std::int64_t num_micro_batches) {
    if (schedule_.shape.num_micro_batches != num_micro_batches) {
      schedule_.shape.num_micro_batches = num_micro_batches;
      schedule_ = plan::make_schedule(spec_.layout.schedule, schedule_.shape);
    }
    return schedule_;
  }

  Result<void> step() {
    const double begin = monotonic_s();
    const double sent_before = world_.traffic().wire_bytes();
    TERA_TRY(const data::StepBatches batches, loader_->next());
    const double data_s = monotonic_s() - begin;

    const auto num_micro_batches = static_cast<int>(batches.micro_batches.size());
    const std::int64_t global_micro_batches =
        std::int64_t{num_micro_batches} * spec_.layout.data_parallel_size;
    const std::int64_t step_tokens =
        global_micro_batches * spec_.layout.micro_batch_size * spec_.training.seq_length;
    sync_.begin_step(num_micro_batches);
    StageResult result = executor_.run(schedule_of(num_micro_batches), batches.micro_batches,
                                       {.global_targets = batches.global_targets,
                                        .global_micro_batches = global_micro_batches,
                                        .gradient_scale = judge_.loss_scale(),
                                        .seed = spec_.seed,
                                        .number = state_.step,
                                        .replicas = &groups_[plan::Axis::data],
                                        .watcher = &sync_,
                                        .recompute = spec_.layout.recompute});

    const double sync_begin = monotonic_s();
    sync_.finish();
    const bool wants_to_stop =
        options_.stop_requested != nullptr && options_.stop_requested->load() > 0;
    stop_agreed_ = sum_over_ranks(result, wants_to_stop, groups_, backend_);
    const double grad_sync_s = monotonic_s() - sync_begin;

    const double update_begin = monotonic_s();
    const double loss = result.loss_sum / static_cast<double>(batches.global_targets);
    const double norm = sync_.norm() / judge_.loss_scale();
    const double rate = learning_rate_at(spec_.training, state_.step);
    TERA_TRY(const Judgement judgement, judge_.judge(state_.step + 1, loss, norm));
    if (!judgement.skipped) {
      optimizer_->step(rate, clip_factor(norm, spec_.training.grad_clip) / judgement.loss_scale);
      sync_.share_weights();
      if (moves_expert_bias()) executor_.update_expert_bias(expert_counts(result));
    }
    params_.zero_grads();
    const double optimizer_s = monotonic_s() - update_begin;

    ++state_.step;
    state_.tokens += step_tokens;
    state_.data_chain = batches.chain;
    const double step_s = monotonic_s() - begin;
    const double tokens_per_s = static_cast<double>(step_tokens) / step_s;
    run::MetricRecord record{.time_s = wall_s(),
                             .attempt = options_.attempt,
                             .step = state_.step,
                             .data_chain = state_.data_chain};
    add_losses(result, loss, spec_, record);
    record.values.insert(record.values.end(),
                         {{"grad_norm", norm},
                          {"learning_rate", rate},
                          {"tokens", static_cast<double>(state_.tokens)},
                          {"tokens_per_s", tokens_per_s},
                          {"model_flops_per_s", tokens_per_s * flops_per_token_},
                          {"step_s", step_s},
                          {"data_s", data_s},
                          {"forward_s", result.forward_s},
                          {"backward_s", result.backward_s},
                          {"grad_sync_s", grad_sync_s},
                          {"traffic", world_.traffic().wire_bytes() - sent_before},
                          {"optimizer_s", optimizer_s}});
    if (spec_.layout.pipeline_parallel_size > 1)
      record.values.emplace_back("wait_s", result.wait_s);
    if (spec_.training.has_batch_ramp()) {
      record.values.emplace_back("batch_size",
                                 static_cast<double>(step_tokens) / spec_.training.seq_length);
    }
    TERA_TRY_VOID(note(judgement, record));
    if (due(spec_.training.eval_interval) || state_.step == spec_.training.num_steps) {
      evaluate(record);
    }
    return leader() ? reporter_->report(std::move(record)) : Result<void>();
  }

  // Into the record of the step, and an outlier into the events of the run.
  Result<void> note(const Judgement& judgement, run::MetricRecord& record) const {
    judge_.add_to(record, judgement);
    if (!judgement.verdict.outlier || !leader()) return {};
    std::string detail = outlier_text(record, judgement);
    spdlog::warn("step {} skipped: {}", state_.step, detail);
    return reporter_->event("skipped", std::move(detail), state_.step);
  }

  // Of the weights, and of their running mean where there is one.
  void evaluate(run::MetricRecord& record) {
    const double begin = monotonic_s();
    if (const std::optional<double> loss = held_out_loss()) {
      record.values.emplace_back("eval_loss", *loss);
      if (spec_.training.ema_decay > 0) {
        optimizer_->with_ema([&] {
          sync_.share_weights();
          record.values.emplace_back("eval_loss_ema", held_out_loss().value());
        });
        sync_.share_weights();
      }
      record.values.emplace_back("eval_s", monotonic_s() - begin);
    }
  }

  // Mean token loss on the held-out sequences, each rank its share; none without targets.
  std::optional<double> held_out_loss() {
    const StageExecutor::Evaluation sum = executor_.evaluate(held_out_, &sync_);
    Tensor packed = Tensor::empty(backend_, {2}, DType::f64, MemoryKind::workspace);
    const double counts = counts_losses(groups_) ? 1 : 0;
    packed.data<double>()[0] = counts * sum.loss_sum;
    packed.data<double>()[1] = counts * static_cast<double>(sum.num_targets);
    world_.all_reduce(packed, comm::Reduce::sum);
    if (packed.data<double>()[1] <= 0) return std::nullopt;
    return packed.data<double>()[0] / packed.data<double>()[1];
  }

  Result<void> save() {
    const double begin = monotonic_s();
    if (leader()) TERA_TRY_VOID(reporter_->sync());
    judge_.save(state_);
    TERA_TRY(const std::filesystem::path path,
             save_state(dir_.vfs(), dir_.checkpoints_dir(), spec_, state_, *parts_));
    if (!leader()) return {};
    const double checkpoint_s = monotonic_s() - begin;
    reporter_->set_checkpoint_s(checkpoint_s);
    spdlog::info("checkpoint of step {} in {}", state_.step, format_seconds(checkpoint_s));
    return reporter_->event("checkpoint", path.filename().string(), state_.step);
  }

  const run::RunDirectory& dir_;
  const spec::RunSpec& spec_;
  comm::Communicator& world_;
  Backend& backend_;
  const TrainOptions& options_;

  comm::MeshGroups groups_;
  nn::ParamStore params_;
  StageExecutor executor_;
  GradSync sync_;
  StepJudge judge_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<TensorParts> parts_;
  std::unique_ptr<data::BatchLoader> loader_;
  std::vector<data::HostBatch> held_out_;
  TrainState state_;
  plan::PipelineSchedule schedule_;

  std::optional<RunReporter> reporter_;  // leader only
  double flops_per_token_ = 0;
  bool stop_agreed_ = false;
};

}  // namespace

Result<TrainEnd> train(const run::RunDirectory& dir,
                       const spec::RunSpec& spec,
                       comm::Communicator& world,
                       Backend& backend,
                       const TrainOptions& options) {
  TERA_TRY(const plan::RankMesh mesh, plan::RankMesh::make(spec.layout));
  return RankTrainer(dir, spec, mesh, world, backend, options).run();
}

}  // namespace tera::train
