#include "core/nn/model.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/nn/elements.h"
#include "core/nn/embedding.h"
#include "core/nn/loss.h"
#include "core/nn/multi_token_prediction.h"
#include "core/nn/transformer_layer.h"

namespace tera::nn {

struct Model::Parts {
  Parts(ParamStore& params, const spec::ModelConfig& config)
      : embedding(params, config), head(params, config, {.read_on = config.num_mtp_layers > 0}) {
    for (int layer = 0; layer < config.num_layers; ++layer)
      layers.push_back(std::make_unique<TransformerLayer>(params, config, layer));
    std::string hidden = "head.norm_out";
    for (int places = 1; places <= config.num_mtp_layers; ++places) {
      predictions.push_back(
          std::make_unique<PredictionLayer>(params, config, places, hidden, embedding));
      hidden = predictions.back()->output();
    }
  }

  // Of a layer, those of multi-token prediction among them; null: dense.
  Router* router(std::size_t layer) {
    return layer < layers.size() ? layers[layer]->router()
                                 : predictions[layer - layers.size()]->router();
  }

  Embedding embedding;
  std::vector<std::unique_ptr<TransformerLayer>> layers;
  LossHead head;
  std::vector<std::unique_ptr<PredictionLayer>> predictions;
};

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

// One micro-batch that goes on with sequences of a cache, places counted from cache.base(range).
Batch cached_batch(Backend& backend,
                   std::span<const std::int32_t> tokens,
                   const KvCache& cache,
                   KvCache::Range range) {
  const auto count = static_cast<int>(tokens.size());
  const int each = count / range.count;
  const int base = cache.base(range);
  const auto ids = [&](std::initializer_list<std::int64_t> shape) {
    return Tensor::empty(backend, shape, DType::i32, MemoryKind::workspace);
  };
  Batch batch{.batch_size = range.count,
              .seq_length = each,
              .tokens = ids({count}),
              .targets = {},
              .positions = ids({count}),
              .first_key = ids({range.count, each})};
  std::copy(tokens.begin(), tokens.end(), batch.tokens.data<std::int32_t>());
  for (int s = 0; s < range.count; ++s) {
    auto* positions = batch.positions.data<std::int32_t>() + s * each;
    std::iota(positions, positions + each, cache.length(range.first + s));
    std::fill_n(batch.first_key.data<std::int32_t>() + s * each, each,
                cache.begin(range.first + s) - base);
  }
  return batch;
}

// The last row of each of `sequences` equal runs of rows.
Tensor last_of_each(const Tensor& x, int sequences) {
  if (x.dim(0) == sequences) return x;
  const std::int64_t each = x.dim(0) / sequences;
  if (sequences == 1) return x.slice(0, each - 1, each);
  Tensor last = Tensor::empty(x.backend(), {sequences, x.dim(1)}, x.dtype(), MemoryKind::workspace);
  for (int s = 0; s < sequences; ++s) {
    const std::int64_t row = (s + 1) * each - 1;
    x.backend().ops().copy(x.backend().context(), x.slice(0, row, row + 1),
                           last.slice(0, s, s + 1));
  }
  return last;
}

ExpertChoices choices_of(const Tensor& indices, const Tensor& gates) {
  ExpertChoices choices;
  const auto* expert = indices.data<const std::int32_t>();
  choices.experts.assign(expert, expert + indices.num_elements());
  with_elements(gates, [&](const auto* gate) {
    for (std::int64_t i = 0; i < gates.num_elements(); ++i)
      choices.gates.push_back(static_cast<float>(gate[i]));
  });
  return choices;
}

}  // namespace

Model::Model(const spec::ModelConfig& config, ParamStore& params)
    : config_(config), params_(&params) {
  parts_ = std::make_unique<Parts>(params, config);
}

Model::~Model() = default;

double Model::forward(Pass& pass, bool with_backward) {
  check_batch(pass.batch);
  TERA_CHECK(!with_backward || params_->has_gradients(),
             "forward for training on a parameter store without gradients");
  TERA_CHECK(pass.batch.targets.present(), "the batch has no targets: no loss to compute");
  TERA_CHECK(pass.stash.entries().empty(), "forward on a stash that holds {} tensors",
             pass.stash.entries().size());
  Tensor x = parts_->embedding.forward(pass);
  for (const auto& layer : parts_->layers) {
    x = layer->forward(x, pass);
    if (!with_backward) pass.stash.clear();
  }
  const double loss =
      parts_->head.forward(x, {pass.batch.targets, pass.loss_scale}, pass, with_backward);
  if (with_backward || pass.prediction_stats != nullptr) {
    for (const auto& prediction : parts_->predictions)
      prediction->forward(pass, with_backward);
  }
  if (!with_backward) pass.stash.clear();
  return loss;
}

void Model::backward(Pass& pass) {
  Tensor d_hidden;
  for (auto at = parts_->predictions.rbegin(); at != parts_->predictions.rend(); ++at) {
    d_hidden = (*at)->backward_input(d_hidden, pass);
    (*at)->backward_weight(pass);
  }
  Tensor dx = parts_->head.backward_input(d_hidden, pass);
  parts_->head.backward_weight(pass);
  for (auto layer = parts_->layers.rbegin(); layer != parts_->layers.rend(); ++layer) {
    dx = (*layer)->backward_input(dx, pass);
    (*layer)->backward_weight(pass);
  }
  parts_->embedding.backward_weight(dx, pass);
  TERA_CHECK(pass.stash.entries().empty(), "backward leaves '{}' in the stash",
             pass.stash.entries().begin()->first);
}

KvCache Model::make_cache(int capacity, const std::vector<int>& begins) const {
  TERA_CHECK(capacity > 0, "key-value cache for {} tokens", capacity);
  std::vector<LayerCache> layers;
  for (const auto& layer : parts_->layers)
    layers.push_back(layer->make_cache(static_cast<int>(begins.size()), capacity));
  return {std::move(layers), begins, capacity};
}

Tensor Model::decode(std::span<const std::int32_t> tokens,
                     KvCache& cache,
                     const DecodeOptions& options) {
  const KvCache::Range range = options.sequences;
  const auto count = static_cast<int>(tokens.size());
  TERA_CHECK(range.count > 0, "decode for {} sequences", range.count);
  const int each = count / range.count;
  TERA_CHECK(config_.router_choice == spec::RouterChoice::token,
             "decode with experts that choose: they would need the tokens to come");
  TERA_CHECK(count > 0 && each * range.count == count, "decode of {} tokens for {} sequences",
             count, range.count);
  TERA_CHECK(each <= cache.room(range.first), "decode of {} tokens after {} in a cache for {}",
             each, cache.length(range.first), cache.capacity());
  Backend& backend = params_->backend();
  const Batch batch = cached_batch(backend, tokens, cache, range);
  Stash stash(backend);
  Pass pass{.batch = batch, .stash = stash};
  if (options.choices != nullptr) options.choices->assign(parts_->layers.size(), {});
  Tensor x = parts_->embedding.forward(pass);
  for (std::size_t layer = 0; layer < parts_->layers.size(); ++layer) {
    x = parts_->layers[layer]->forward_cached(x, pass, cache.layer(static_cast<int>(layer), range));
    const Router* router = parts_->layers[layer]->router();
    if (options.choices != nullptr && router != nullptr) {
      (*options.choices)[layer] = choices_of(router->indices(pass), router->gates(pass));
    }
    stash.clear();
  }
  cache.advance(range, each);
  return parts_->head.logits(options.last_only ? last_of_each(x, range.count) : x);
}

void Model::update_expert_bias(const std::vector<std::vector<std::int64_t>>& counts) {
  TERA_CHECK(std::ssize(counts) == config_.num_all_layers(),
             "expert counts of {} layers, expected {}", counts.size(), config_.num_all_layers());
  for (std::size_t layer = 0; layer < counts.size(); ++layer) {
    if (Router* router = parts_->router(layer)) router->update_bias(counts[layer]);
  }
}

}  // namespace tera::nn
