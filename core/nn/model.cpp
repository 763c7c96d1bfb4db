#include "core/nn/model.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
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

KvCache Model::make_cache(int capacity) const {
  TERA_CHECK(capacity > 0, "key-value cache for {} tokens", capacity);
  KvCache cache;
  cache.capacity = capacity;
  const bool latent = config_.attention == spec::AttentionKind::latent;
  const auto part = [&](std::int64_t heads, std::int64_t dim) {
    return Tensor::empty(params_->backend(), {1, capacity, heads, dim}, params_->compute_dtype(),
                         MemoryKind::workspace);
  };
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    if (latent) {
      cache.keys.push_back(part(1, config_.kv_lora_rank + config_.qk_rope_head_dim));
      cache.values.push_back(cache.keys.back().slice(3, 0, config_.kv_lora_rank));
    } else {
      cache.keys.push_back(part(config_.num_key_value_heads, config_.head_dim));
      cache.values.push_back(part(config_.num_key_value_heads, config_.head_dim));
    }
  }
  return cache;
}

Tensor Model::decode(std::span<const std::int32_t> tokens, KvCache& cache, bool last_only) {
  const auto count = static_cast<int>(tokens.size());
  TERA_CHECK(config_.router_choice == spec::RouterChoice::token,
             "decode with experts that choose: they would need the tokens to come");
  TERA_CHECK(count > 0 && cache.length + count <= cache.capacity,
             "decode of {} tokens after {} in a cache for {}", count, cache.length, cache.capacity);
  Backend& backend = params_->backend();
  Batch batch{.batch_size = 1,
              .seq_length = count,
              .tokens = Tensor::empty(backend, {count}, DType::i32, MemoryKind::workspace),
              .targets = {},
              .positions = Tensor::empty(backend, {count}, DType::i32, MemoryKind::workspace),
              .first_key = Tensor::zeros(backend, {1, count}, DType::i32, MemoryKind::workspace)};
  std::copy(tokens.begin(), tokens.end(), batch.tokens.data<std::int32_t>());
  std::iota(batch.positions.data<std::int32_t>(), batch.positions.data<std::int32_t>() + count,
            cache.length);
  Stash stash(backend);
  Pass pass{.batch = batch, .stash = stash};
  Tensor x = parts_->embedding.forward(pass);
  for (std::size_t layer = 0; layer < parts_->layers.size(); ++layer) {
    x = parts_->layers[layer]->forward_cached(
        x, pass, {cache.keys[layer], cache.values[layer], cache.length});
    stash.clear();
  }
  cache.length += count;
  return parts_->head.logits(last_only ? x.slice(0, count - 1, count) : x);
}

void Model::update_expert_bias(const std::vector<std::vector<std::int64_t>>& counts) {
  TERA_CHECK(std::ssize(counts) == config_.num_all_layers(),
             "expert counts of {} layers, expected {}", counts.size(), config_.num_all_layers());
  for (std::size_t layer = 0; layer < counts.size(); ++layer) {
    if (Router* router = parts_->router(layer)) router->update_bias(counts[layer]);
  }
}

}  // namespace tera::nn
