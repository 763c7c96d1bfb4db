#include "core/nn/model.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/check.h"
#include "core/nn/elements.h"

namespace tera::nn {

namespace {

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
    : config_(config),
      params_(&params),
      chunk_(config,
             {.link = 0,
              .layers = {.first = 0, .last = config.num_layers},
              .has_embedding = true,
              .has_head = true},
             params) {}

KvCache Model::make_cache(int capacity, const std::vector<int>& begins) const {
  TERA_CHECK(capacity > 0, "key-value cache for {} tokens", capacity);
  std::vector<LayerCache> layers;
  for (const auto& layer : chunk_.layers())
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
  if (options.choices != nullptr) options.choices->assign(chunk_.layers().size(), {});
  ResidualStream stream{chunk_.embedding().forward(pass), {}};
  for (std::size_t layer = 0; layer < chunk_.layers().size(); ++layer) {
    stream = chunk_.layers()[layer]->forward_cached(std::move(stream), pass,
                                                    cache.layer(static_cast<int>(layer), range));
    const Router* router = chunk_.layers()[layer]->router();
    if (options.choices != nullptr && router != nullptr) {
      (*options.choices)[layer] = choices_of(router->indices(pass), router->gates(pass));
    }
    stash.clear();
  }
  cache.advance(range, each);
  const Tensor x = joined(std::move(stream));
  return chunk_.head().logits(options.last_only ? last_of_each(x, range.count) : x);
}

}  // namespace tera::nn
