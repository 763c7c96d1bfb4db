#include "core/train/stage_executor.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/nn/tensor_parallel.h"
#include "core/plan/schedule_pairs.h"
#include "core/train/exact_losses.h"
#include "core/train/stage_mail.h"

namespace tera::train {
namespace {

using plan::PipelineAction;
using plan::Work;

Tensor upload_i32(Backend& backend,
                  const std::vector<std::int32_t>& host,
                  std::initializer_list<std::int64_t> shape) {
  Tensor tensor = Tensor::empty(backend, shape, DType::i32, MemoryKind::workspace);
  TERA_CHECK(tensor.num_elements() == static_cast<std::int64_t>(host.size()),
             "batch has {} ids, expected {}", host.size(), tensor.num_elements());
  std::memcpy(tensor.data<std::int32_t>(), host.data(), host.size() * sizeof(std::int32_t));
  return tensor;
}

// The rank's part of the batch.
nn::Batch upload(Backend& backend, const data::HostBatch& host, const nn::ContextShare& share) {
  const std::int64_t tokens = std::int64_t{host.batch_size} * host.seq_length;
  const auto whole = std::make_shared<nn::Batch>(nn::Batch{
      .batch_size = host.batch_size,
      .seq_length = host.seq_length,
      .tokens = upload_i32(backend, host.tokens, {tokens}),
      .targets = upload_i32(backend, host.targets, {tokens}),
      .positions = upload_i32(backend, host.positions, {tokens}),
      .first_key = upload_i32(backend, host.first_key, {host.batch_size, host.seq_length})});
  return nn::part_of(whole, share);
}

std::int64_t num_targets(const nn::Batch& batch) {
  const auto* target = batch.targets.data<const std::int32_t>();
  return std::count_if(target, target + batch.targets.num_elements(),
                       [](std::int32_t t) { return t >= 0; });
}

// Every batch through the chunks of a stage, one batch after the other.
plan::PipelineSchedule forwards_only(plan::PipelineShape shape, std::int64_t num_batches) {
  shape.num_micro_batches = num_batches;
  plan::ActionLoop loop{.body = {}, .repeats = num_batches, .shift = 1};
  for (int chunk = 0; chunk < shape.num_chunks; ++chunk)
    loop.body.push_back({Work::forward, chunk, 0});
  return {.shape = shape,
          .stages = std::vector<plan::StageOrder>(static_cast<std::size_t>(shape.num_stages),
                                                  plan::StageOrder{loop})};
}

}  // namespace

// One run of a schedule's actions.
class StageExecutor::Run {
 public:
  Run(StageExecutor& executor,
      const plan::PipelineSchedule& schedule,
      const std::vector<data::HostBatch>& micro_batches)
      : executor_(executor),
        shape_(schedule.shape),
        stage_(executor.pipeline_->rank()),
        actions_(plan::actions_of(schedule.stages.at(static_cast<std::size_t>(stage_)))),
        micro_batches_(micro_batches),
        mail_(schedule, *executor.pipeline_),
        start_s_(monotonic_s()) {
    plan::PipelineShape expected = executor.shape_;
    expected.num_micro_batches = std::ssize(micro_batches);
    TERA_CHECK(shape_ == expected,
               "schedule of {} stages, {} chunks and {} micro-batches, expected {}, {} and {}",
               shape_.num_stages, shape_.num_chunks, shape_.num_micro_batches, expected.num_stages,
               expected.num_chunks, expected.num_micro_batches);
  }

  // begins_pair: of the actions of this stage.
  StageResult train(const Step& step, const std::vector<bool>& begins_pair) {
    const spec::ModelConfig& config = executor_.config_;
    result_.router.resize(static_cast<std::size_t>(config.num_all_layers()));
    for (int layer = 0; layer < config.num_all_layers(); ++layer) {
      if (config.is_moe_layer(layer))
        result_.router[static_cast<std::size_t>(layer)].expert_tokens.resize(
            static_cast<std::size_t>(config.num_experts));
    }
    for (std::size_t i = 0; i < actions_.size(); ++i) {
      if (begins_pair[i]) {
        run_pair(actions_[i], actions_[i + 1], step);
        ++i;
      } else {
        run_alone(actions_[i], step);
      }
    }
    TERA_CHECK(in_flight_.empty(), "schedule leaves {} micro-batches without backward",
               in_flight_.size());
    return std::move(result_);
  }

  Evaluation evaluate(nn::PartWatcher* watcher) {
    Evaluation sum;
    for (const PipelineAction& action : actions_) {
      const nn::Batch batch = upload(*executor_.backend_, host(action), executor_.share_);
      nn::Stash stash(*executor_.backend_);
      nn::Pass pass{.batch = batch, .stash = stash, .watcher = watcher};
      nn::ModelChunk& chunk = this->chunk(action);
      const nn::ModelChunk::Output output = chunk.forward(receive(action), pass, false);
      if (const auto message = plan::given_by(shape_, stage_, action))
        mail_.give(*message, output.hidden);
      if (!chunk.parts().has_head) continue;
      sum.loss_sum += exact_loss(output.loss_sum);
      sum.num_targets += num_targets(batch);
    }
    return sum;
  }

 private:
  struct InFlight {
    nn::Batch batch;
    nn::Stash stash;
    std::int64_t first_sequence = 0;  // in the global batch
  };

  nn::ModelChunk& chunk(const PipelineAction& action) const {
    return *executor_.chunks_[static_cast<std::size_t>(action.chunk)];
  }
  const data::HostBatch& host(const PipelineAction& action) const {
    return micro_batches_.at(static_cast<std::size_t>(action.micro_batch));
  }

  // What the action needs of another link; absent at the ends of the chain.
  Tensor receive(const PipelineAction& action) {
    const auto message = plan::needed_by(shape_, stage_, action);
    if (!message) return {};
    const double begin_s = monotonic_s();
    const data::HostBatch& batch = host(action);
    Tensor tensor =
        mail_.take(*message, *executor_.backend_,
                   {std::int64_t{batch.batch_size} * batch.seq_length / executor_.token_ranks_,
                    executor_.config_.hidden_size},
                   executor_.dtype_);
    result_.wait_s += monotonic_s() - begin_s;
    return tensor;
  }

  void run_alone(const PipelineAction& action, const Step& step) {
    const Tensor input = receive(action);
    const double begin_s = monotonic_s();
    give(action, run(action, input, step, nullptr));
    note(action, begin_s, monotonic_s() - begin_s);
  }

  // Each goes on while rows of the other travel; their times are of both. Others expect the
  // forward's message first.
  void run_pair(const PipelineAction& forward, const PipelineAction& backward, const Step& step) {
    const Tensor x = receive(forward);
    const Tensor dy = receive(backward);
    Tensor y;
    Tensor dx;
    const double begin_s = monotonic_s();
    Turns& turns = executor_.turns_;
    const Turns::Seconds took = turns.run([&] { y = run(forward, x, step, &turns); },
                                          [&] { dx = run(backward, dy, step, &turns); });
    give(forward, y);
    give(backward, dx);
    note(forward, begin_s, took.first);
    note(backward, begin_s, took.second);
  }

  void give(const PipelineAction& action, const Tensor& output) {
    if (const auto message = plan::given_by(shape_, stage_, action)) mail_.give(*message, output);
  }

  // Returns what the next link gets.
  Tensor run(const PipelineAction& action, const Tensor& input, const Step& step, Turns* turns) {
    const std::pair key{action.chunk, action.micro_batch};
    if (action.work == Work::forward) {
      const int num_replicas = step.replicas != nullptr ? step.replicas->size() : 1;
      const int replica = step.replicas != nullptr ? step.replicas->rank() : 0;
      const std::int64_t before = action.micro_batch * num_replicas + replica;
      InFlight work{.batch = upload(*executor_.backend_, host(action), executor_.share_),
                    .stash = nn::Stash(*executor_.backend_),
                    .first_sequence = before * host(action).batch_size};
      nn::Pass pass = pass_of(in_flight_.emplace(key, std::move(work)).first->second, step, turns);
      const LossesBefore before_it(result_);
      nn::ModelChunk::Output output = chunk(action).forward(input, pass, true);
      before_it.add_to(result_, step.gradient_scale);
      result_.loss_sum += exact_loss(output.loss_sum);
      if (chunk(action).parts().has_head) result_.num_targets += num_targets(pass.batch);
      return std::move(output.hidden);
    }
    const auto found = in_flight_.find(key);
    TERA_CHECK(found != in_flight_.end(),
               "schedule runs backward of micro-batch {} in chunk {} before its forward",
               action.micro_batch, action.chunk);
    nn::Pass pass = pass_of(found->second, step, turns);
    if (action.work == Work::backward_input) return chunk(action).backward_input(input, pass);
    Tensor dx;
    if (action.work == Work::backward) dx = chunk(action).backward(input, pass);
    if (action.work == Work::backward_weight) chunk(action).backward_weight(pass);
    in_flight_.erase(found);
    return dx;
  }

  nn::Pass pass_of(InFlight& work, const Step& step, Turns* turns) {
    return {.batch = work.batch,
            .stash = work.stash,
            .loss_scale = step.gradient_scale / static_cast<double>(step.global_targets),
            .batch_share = step.gradient_scale / static_cast<double>(step.global_micro_batches),
            .router_stats = &result_.router,
            .prediction_stats = &result_.prediction,
            .training = nn::TrainingPlace{.seed = step.seed,
                                          .step = step.number,
                                          .first_sequence = work.first_sequence,
                                          .replicas = step.replicas},
            .watcher = step.watcher,
            .recompute = step.recompute,
            .turns = turns};
  }

  void note(const PipelineAction& action, double begin_s, double took_s) {
    result_.actions.push_back({action, begin_s - start_s_, monotonic_s() - start_s_});
    (action.work == Work::forward ? result_.forward_s : result_.backward_s) += took_s;
  }

  StageExecutor& executor_;
  plan::PipelineShape shape_;
  int stage_;
  std::vector<PipelineAction> actions_;
  const std::vector<data::HostBatch>& micro_batches_;
  StageMail mail_;
  double start_s_;
  std::map<std::pair<int, std::int64_t>, InFlight> in_flight_;  // [chunk, micro-batch]
  StageResult result_;
};

namespace {

// Ranks that each have a part of the tokens between layers.
int token_ranks(const nn::ParamStore& params) {
  const nn::TensorGroup group(params);
  return nn::ContextGroup(params).size() * (group.splits_tokens() ? group.size() : 1);
}

}  // namespace

StageExecutor::StageExecutor(const spec::RunSpec& spec,
                             nn::ParamStore& params,
                             comm::Communicator& pipeline)
    : config_(spec.model),
      backend_(&params.backend()),
      dtype_(params.compute_dtype()),
      token_ranks_(token_ranks(params)),
      share_(nn::ContextGroup(params).share()),
      pipeline_(&pipeline),
      shape_(plan::pipeline_shape(spec)) {
  TERA_CHECK(shape_.num_stages == pipeline.size(), "{} stages on {} ranks", shape_.num_stages,
             pipeline.size());
  for (const plan::StageChunk& parts : plan::stage_chunks(spec, pipeline.rank()))
    chunks_.push_back(std::make_unique<nn::ModelChunk>(spec.model, parts, params));
}

StageResult StageExecutor::run(const plan::PipelineSchedule& schedule,
                               const std::vector<data::HostBatch>& micro_batches,
                               const Step& step) {
  const std::vector<std::vector<bool>> pairs = plan::schedule_pairs(schedule);
  return Run(*this, schedule, micro_batches)
      .train(step, pairs.at(static_cast<std::size_t>(pipeline_->rank())));
}

StageExecutor::Evaluation StageExecutor::evaluate(const std::vector<data::HostBatch>& batches,
                                                  nn::PartWatcher* watcher) {
  return Run(*this, forwards_only(shape_, std::ssize(batches)), batches).evaluate(watcher);
}

void StageExecutor::update_expert_bias(const std::vector<std::vector<std::int64_t>>& counts) {
  for (const auto& chunk : chunks_)
    chunk->update_expert_bias(counts);
}

}  // namespace tera::train
