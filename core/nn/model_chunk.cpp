#include "core/nn/model_chunk.h"

#include <string>
#include <utility>

#include "core/base/check.h"

namespace tera::nn {
namespace {

void check_batch(const Batch& batch) {
  const std::int64_t tokens = std::int64_t{batch.batch_size} * batch.seq_length;
  TERA_CHECK(tokens > 0, "batch of {} x {} tokens", batch.batch_size, batch.seq_length);
  for (const Tensor* ids : {&batch.tokens, &batch.positions, &batch.first_key}) {
    TERA_CHECK(ids->present() && ids->num_elements() == tokens && ids->dtype() == DType::i32,
               "batch of {} x {} tokens: tokens, positions and first_key must be i32 of as many "
               "elements",
               batch.batch_size, batch.seq_length);
  }
}

void check_empty(const Pass& pass) {
  TERA_CHECK(pass.stash.entries().empty(), "backward leaves '{}' in the stash",
             pass.stash.entries().begin()->first);
}

}  // namespace

ModelChunk::ModelChunk(const spec::ModelConfig& config, plan::StageChunk parts, ParamStore& params)
    : config_(config), parts_(parts), params_(&params) {
  const bool predicts = parts_.has_head && config.num_mtp_layers > 0;
  if (parts_.has_embedding || predicts) embedding_ = std::make_unique<Embedding>(params, config);
  for (int layer = parts_.layers.first; layer < parts_.layers.last; ++layer)
    layers_.push_back(std::make_unique<TransformerLayer>(params, config, layer));
  if (!parts_.has_head) return;
  head_ = std::make_unique<LossHead>(params, config, LossHead::Place{.read_on = predicts});
  std::string hidden = "head.norm_out";
  for (int places = 1; places <= config.num_mtp_layers; ++places) {
    predictions_.push_back(
        std::make_unique<PredictionLayer>(params, config, places, hidden, *embedding_));
    hidden = predictions_.back()->output();
  }
}

ModelChunk::Output ModelChunk::forward(const Tensor& x, Pass& pass, bool with_backward) {
  check_batch(pass.batch);
  TERA_CHECK(x.present() != parts_.has_embedding, "link {} of the pipeline {}", parts_.link,
             x.present() ? "begins with the embedding, got an activation too"
                         : "has no activation to begin with");
  TERA_CHECK(!with_backward || params_->has_gradients(),
             "forward for training on a parameter store without gradients");
  TERA_CHECK(!parts_.has_head || pass.batch.targets.present(),
             "the batch has no targets: no loss to compute");
  TERA_CHECK(pass.stash.entries().empty(), "forward on a stash that holds {} tensors",
             pass.stash.entries().size());
  ResidualStream stream{
      parts_.has_embedding
          ? pass.forward_part(plan::kEmbeddingPart, [&] { return embedding_->forward(pass); })
          : x,
      {}};
  for (int part = parts_.layers.first; part < parts_.layers.last; ++part) {
    stream = pass.forward_part(part, [&] { return layer(part).forward(std::move(stream), pass); });
    if (!with_backward) pass.stash.clear();
  }
  Output output{.hidden = joined(std::move(stream))};
  if (head_ == nullptr) return output;
  output.loss_sum = pass.forward_part(plan::kHeadPart, [&] {
    return head_->forward(output.hidden, {pass.batch.targets, pass.loss_scale}, pass,
                          with_backward);
  });
  output.hidden = {};
  if (with_backward || pass.prediction_stats != nullptr) {
    for (int part = config_.num_layers; part < config_.num_all_layers(); ++part)
      pass.forward_part(part, [&] { prediction(part).forward(pass, with_backward); });
  }
  if (!with_backward) pass.stash.clear();
  return output;
}

Tensor ModelChunk::backward(const Tensor& dy, Pass& pass) {
  Tensor dx = run_backward(dy, pass, Half::both);
  check_empty(pass);
  return dx;
}

Tensor ModelChunk::backward_input(const Tensor& dy, Pass& pass) {
  Tensor dx = run_backward(dy, pass, Half::input);
  pass.stash.hold();
  return dx;
}

Tensor ModelChunk::run_backward(const Tensor& dy, Pass& pass, Half half) {
  TERA_CHECK(dy.present() != parts_.has_head, "link {} of the pipeline {}", parts_.link,
             dy.present() ? "ends with the loss, got a gradient too"
                          : "has no gradient to begin backward with");
  Tensor dx = dy;
  const auto run = [&](int part, auto& module, const Tensor& gradient) {
    if (half == Half::input) return module.backward_input(gradient, pass);
    return pass.backward_part(part, [&] {
      Tensor result = module.backward_input(gradient, pass);
      module.backward_weight(pass);
      return result;
    });
  };
  if (head_ != nullptr) {
    for (int part = config_.num_all_layers() - 1; part >= config_.num_layers; --part)
      dx = run(part, prediction(part), dx);
    dx = run(plan::kHeadPart, *head_, dx);
  }
  for (int part = parts_.layers.last - 1; part >= parts_.layers.first; --part)
    dx = run(part, layer(part), dx);
  if (!parts_.has_embedding) return dx;
  pass.backward_part(plan::kEmbeddingPart, [&] { embedding_->backward_weight(dx, pass); });
  return {};
}

void ModelChunk::backward_weight(Pass& pass) {
  const auto run = [&pass](int part, auto& module) {
    pass.backward_part(part, [&] { module.backward_weight(pass); });
  };
  if (head_ != nullptr) {
    for (int part = config_.num_all_layers() - 1; part >= config_.num_layers; --part)
      run(part, prediction(part));
    run(plan::kHeadPart, *head_);
  }
  for (int part = parts_.layers.last - 1; part >= parts_.layers.first; --part)
    run(part, layer(part));
  check_empty(pass);
}

void ModelChunk::update_expert_bias(const std::vector<std::vector<std::int64_t>>& counts) {
  TERA_CHECK(std::ssize(counts) == config_.num_all_layers(),
             "expert counts of {} layers, expected {}", counts.size(), config_.num_all_layers());
  const auto update = [&](Router* router, std::size_t layer) {
    if (router != nullptr) router->update_bias(counts[layer]);
  };
  for (std::size_t i = 0; i < layers_.size(); ++i)
    update(layers_[i]->router(), static_cast<std::size_t>(parts_.layers.first) + i);
  for (std::size_t i = 0; i < predictions_.size(); ++i)
    update(predictions_[i]->router(), static_cast<std::size_t>(config_.num_layers) + i);
}

}  // namespace tera::nn
