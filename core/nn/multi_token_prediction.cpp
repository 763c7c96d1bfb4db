#include "core/nn/multi_token_prediction.h"

#include <utility>

#include <fmt/format.h>

namespace tera::nn {
namespace {

std::string prefix_of(const spec::ModelConfig& config, int places) {
  return fmt::format("layers.{}.mtp", config.num_layers + places - 1);
}

}  // namespace

TokensAhead tokens_ahead(const Batch& batch, int places, const ContextShare& share) {
  const Batch& whole = whole_of(batch);
  Backend& backend = batch.tokens.backend();
  const std::int64_t num_tokens = batch.tokens.num_elements();
  TokensAhead ahead{Tensor::empty(backend, {num_tokens}, DType::i32, MemoryKind::workspace),
                    Tensor::empty(backend, {num_tokens}, DType::i32, MemoryKind::workspace)};
  const auto* first_key = whole.first_key.data<const std::int32_t>();
  const auto* targets = whole.targets.data<const std::int32_t>();
  for (std::int64_t t = 0; t < num_tokens; ++t) {
    const std::int64_t place = share.place(t % batch.seq_length, whole.seq_length);
    const std::int64_t token = t / batch.seq_length * whole.seq_length + place;
    const bool exists =
        place + places < whole.seq_length && first_key[token + places] <= place;  // same document
    ahead.tokens.data<std::int32_t>()[t] =
        whole.tokens.data<const std::int32_t>()[exists ? token + places : token];
    ahead.targets.data<std::int32_t>()[t] = exists ? targets[token + places] : -1;
  }
  return ahead;
}

PredictionLayer::PredictionLayer(ParamStore& store,
                                 const spec::ModelConfig& config,
                                 int places,
                                 std::string hidden,
                                 Embedding& embedding)
    : places_(places),
      share_(ContextGroup(store).share()),
      weight_(config.mtp_loss_coeff / config.num_mtp_layers),
      prefix_(prefix_of(config, places)),
      hidden_(std::move(hidden)),
      output_(prefix_ + ".head.norm_out"),
      embedding_(&embedding),
      embedding_norm_(store,
                      config,
                      prefix_ + ".embedding_norm",
                      prefix_ + ".embedding",
                      ResidualNorm::Output::passed_on),
      hidden_norm_(
          store, config, prefix_ + ".hidden_norm", hidden_, ResidualNorm::Output::passed_on),
      proj_(store, prefix_ + ".proj"),
      layer_(store, config, config.num_layers + places - 1),
      head_(store,
            config,
            {.norm = prefix_ + ".final_norm",
             .entries = prefix_ + ".head",
             .read_on = places < config.num_mtp_layers}) {}

void PredictionLayer::forward(Pass& pass, bool with_backward) {
  Stash& stash = pass.stash;
  const TokensAhead ahead = tokens_ahead(pass.batch, places_, share_);
  const Tensor embedded = embedding_->words(ahead.tokens);
  Backend& backend = embedded.backend();
  const kernels::OpTable& ops = backend.ops();
  const std::int64_t tokens = embedded.dim(0);
  const std::int64_t width = embedded.dim(1);
  stash.keep(prefix_ + ".embedding", embedded);
  const Tensor concat = stash.put(prefix_ + ".concat", {tokens, 2 * width}, embedded.dtype());
  ops.copy(backend.context(), embedding_norm_.forward(embedded, pass), concat.slice(1, 0, width));
  ops.copy(backend.context(), hidden_norm_.forward(stash.get(hidden_), pass),
           concat.slice(1, width, 2 * width));
  const Tensor x = Tensor::empty(backend, {tokens, width}, embedded.dtype(), MemoryKind::workspace);
  proj_.forward(concat, x);
  const Tensor y = joined(layer_.forward({x, {}}, pass));
  const double loss = head_.forward(
      y, {.targets = ahead.targets, .scale = weight_ * pass.loss_scale}, pass, with_backward);
  if (pass.prediction_stats == nullptr) return;
  pass.prediction_stats->loss_sum += loss;
  for (std::int64_t t = 0; t < ahead.targets.num_elements(); ++t)
    pass.prediction_stats->num_targets += ahead.targets.data<const std::int32_t>()[t] >= 0;
}

Tensor PredictionLayer::backward_input(const Tensor& d_output, Pass& pass) {
  Stash& stash = pass.stash;
  const Tensor dx = layer_.backward_input(head_.backward_input(d_output, pass), pass);
  const Tensor d_concat = proj_.backward_input(dx);  // [T, 2 H]
  stash.put_gradient(prefix_ + ".d_proj", dx);
  const auto half = [&](std::int64_t first) {
    Tensor part =
        Tensor::empty(dx.backend(), {dx.dim(0), dx.dim(1)}, dx.dtype(), MemoryKind::workspace);
    dx.backend().ops().copy(dx.backend().context(), d_concat.slice(1, first, first + dx.dim(1)),
                            part);
    return part;
  };
  stash.put_gradient(prefix_ + ".d_embedding", embedding_norm_.backward_input(half(0), pass));
  return hidden_norm_.backward_input(half(dx.dim(1)), pass);
}

void PredictionLayer::backward_weight(Pass& pass) {
  Stash& stash = pass.stash;
  head_.backward_weight(pass);
  layer_.backward_weight(pass);
  proj_.backward_weight(stash.take(prefix_ + ".d_proj"), stash.take(prefix_ + ".concat"));
  hidden_norm_.backward_weight(pass);
  embedding_norm_.backward_weight(pass);
  embedding_->backward_words(stash.take(prefix_ + ".d_embedding"),
                             tokens_ahead(pass.batch, places_, share_).tokens);
  stash.release(prefix_ + ".embedding");
}

}  // namespace tera::nn
