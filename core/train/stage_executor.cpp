#include "core/train/stage_executor.h"

#include <cstring>

#include "core/base/check.h"
#include "core/base/clock.h"

namespace tera::train {
namespace {

Tensor upload_i32(Backend& backend,
                  const std::vector<std::int32_t>& host,
                  std::initializer_list<std::int64_t> shape) {
  Tensor tensor = Tensor::empty(backend, shape, DType::i32, MemoryKind::workspace);
  TERA_CHECK(tensor.num_elements() == static_cast<std::int64_t>(host.size()),
             "batch has {} ids, expected {}", host.size(), tensor.num_elements());
  std::memcpy(tensor.data<std::int32_t>(), host.data(), host.size() * sizeof(std::int32_t));
  return tensor;
}

}  // namespace

nn::Batch StageExecutor::upload(const data::HostBatch& host) const {
  const std::int64_t tokens = std::int64_t{host.batch_size} * host.seq_length;
  return {.batch_size = host.batch_size,
          .seq_length = host.seq_length,
          .tokens = upload_i32(*backend_, host.tokens, {tokens}),
          .targets = upload_i32(*backend_, host.targets, {tokens}),
          .positions = upload_i32(*backend_, host.positions, {tokens}),
          .first_key = upload_i32(*backend_, host.first_key, {host.batch_size, host.seq_length})};
}

StageResult StageExecutor::run(const std::vector<plan::PipelineAction>& actions,
                               const std::vector<data::HostBatch>& micro_batches,
                               const Step& step) {
  struct InFlight {
    nn::Batch batch;
    std::unique_ptr<nn::Stash> stash;
    std::int64_t first_sequence = 0;
  };
  std::map<std::int64_t, InFlight> in_flight;
  StageResult result;
  result.router.resize(static_cast<std::size_t>(model_->config().num_all_layers()));
  const auto pass_of = [&](InFlight& work) {
    return nn::Pass{
        .batch = work.batch,
        .stash = *work.stash,
        .loss_scale = step.gradient_scale / static_cast<double>(step.global_targets),
        .batch_share = step.gradient_scale / static_cast<double>(step.global_micro_batches),
        .router_stats = &result.router,
        .prediction_stats = &result.prediction,
        .training = nn::TrainingPlace{.seed = step.seed,
                                      .step = step.number,
                                      .first_sequence = work.first_sequence,
                                      .replicas = step.replicas},
        .recompute = step.recompute};
  };
  const int num_replicas = step.replicas != nullptr ? step.replicas->size() : 1;
  const int replica = step.replicas != nullptr ? step.replicas->rank() : 0;
  for (const plan::PipelineAction& action : actions) {
    const double start = monotonic_s();
    if (action.work == plan::Work::forward) {
      const data::HostBatch& host = micro_batches.at(static_cast<std::size_t>(action.micro_batch));
      InFlight& work = in_flight[action.micro_batch];
      const std::int64_t before = action.micro_batch * num_replicas + replica;
      work = {upload(host), std::make_unique<nn::Stash>(*backend_), before * host.batch_size};
      nn::Pass pass = pass_of(work);
      result.loss_sum += model_->forward(pass, true);
      result.num_targets += host.num_targets;
      result.forward_s += monotonic_s() - start;
    } else {
      TERA_CHECK(action.work == plan::Work::backward,
                 "one stage runs whole backwards, got a half of micro-batch {}",
                 action.micro_batch);
      const auto work = in_flight.find(action.micro_batch);
      TERA_CHECK(work != in_flight.end(),
                 "schedule runs backward of micro-batch {} before its forward", action.micro_batch);
      nn::Pass pass = pass_of(work->second);
      model_->backward(pass);
      in_flight.erase(work);
      result.backward_s += monotonic_s() - start;
    }
  }
  for (nn::RouterStats& stats : result.router) {  // sums of losses that have the scale inside
    stats.balance_loss /= step.gradient_scale;
    stats.z_loss /= step.gradient_scale;
  }
  TERA_CHECK(in_flight.empty(), "schedule leaves {} micro-batches without backward",
             in_flight.size());
  return result;
}

double StageExecutor::evaluate(const data::HostBatch& batch) {
  const nn::Batch uploaded = upload(batch);
  nn::Stash stash(*backend_);
  nn::Pass pass{.batch = uploaded, .stash = stash};
  return model_->forward(pass, false);
}

}  // namespace tera::train
