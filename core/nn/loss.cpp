#include "core/nn/loss.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/nn/token_losses.h"
#include "core/plan/working_memory.h"

namespace tera::nn {
namespace {

Tensor rows(const Tensor& x, std::int64_t begin, std::int64_t end) {
  return x.present() ? x.slice(0, begin, end) : Tensor{};
}

}  // namespace

LossHead::LossHead(ParamStore& store, const spec::ModelConfig& config, Place place)
    : place_(std::move(place)),
      backend_(&store.backend()),
      multiplier_(config.output_multiplier()),
      norm_(store, place_.norm, norm_type(config.norm), config.norm_eps),
      weight_(&store.get(config.tie_embeddings ? "embedding.tokens" : "head.weight")),
      adapters_(store, weight_->spec.name) {}

double LossHead::forward(const Tensor& x, const Loss& loss, Pass& pass, bool with_backward) {
  TERA_CHECK(!with_backward || loss.scale != 0, "the scale of the loss is 0: no gradients");
  const std::int64_t tokens = x.dim(0);
  const std::int64_t chunk_size = std::min(tokens, plan::kLogitsChunkTokens);
  const DType accumulate = kernels::accumulate_dtype(x.dtype());
  const auto workspace = [&](std::initializer_list<std::int64_t> shape, DType dtype) {
    return Tensor::empty(*backend_, shape, dtype, MemoryKind::workspace);
  };
  Stash& stash = pass.stash;
  const std::string& at = place_.entries;
  stash.keep(at + ".x", x);
  Norm::Statistics statistics;
  statistics.rstd = stash.put(at + ".norm_rstd", {tokens}, accumulate);
  if (norm_.has_mean()) statistics.mean = stash.put(at + ".norm_mean", {tokens}, accumulate);
  const Tensor dx = with_backward ? stash.put(at + ".dx", {tokens, x.dim(1)}, x.dtype()) : Tensor{};

  const std::int64_t vocabulary = weight_->value.dim(0);
  const auto chunk_rows = [&] { return workspace({chunk_size, x.dim(1)}, x.dtype()); };
  const Tensor norm_out =
      place_.read_on ? stash.put(at + ".norm_out", {tokens, x.dim(1)}, x.dtype()) : Tensor{};
  const Tensor normalised = place_.read_on ? Tensor{} : chunk_rows();
  const Tensor scaled = place_.read_on && multiplier_ != 1 ? chunk_rows() : Tensor{};
  const Tensor logits = workspace({chunk_size, vocabulary}, accumulate);
  const Tensor gradient = with_backward && x.dtype() != accumulate
                              ? workspace({chunk_size, vocabulary}, x.dtype())
                              : logits;
  double sum = 0;
  for (std::int64_t begin = 0; begin < tokens; begin += chunk_size) {
    const std::int64_t end = std::min(tokens, begin + chunk_size);
    const std::int64_t n = end - begin;
    const Tensor out = place_.read_on ? rows(norm_out, begin, end) : rows(normalised, 0, n);
    const Chunk chunk{
        .x = rows(x, begin, end),
        .statistics = {rows(statistics.rstd, begin, end), rows(statistics.mean, begin, end)},
        .normalised = out,
        .scaled = scaled.present() ? rows(scaled, 0, n) : out,
        .logits = rows(logits, 0, n),
        .gradient = rows(gradient, 0, n)};
    chunk_logits(chunk);
    const TokenLosses losses(chunk.logits, loss.targets.slice(0, begin, end));
    sum += losses.sum();
    if (!with_backward) continue;
    losses.backward(loss.scale);
    chunk_backward(chunk, dx.slice(0, begin, end));
  }
  return sum;
}

void LossHead::chunk_logits(const Chunk& chunk) const {
  norm_.forward(chunk.x, chunk.normalised, chunk.statistics);
  if (multiplier_ != 1) {
    backend_->ops().scale(backend_->context(), chunk.normalised, multiplier_, chunk.scaled);
  }
  backend_->ops().matmul(backend_->context(), chunk.scaled, weight_->value, chunk.logits,
                         {.transpose_b = true});
  adapters_.forward(chunk.scaled, chunk.logits);
}

void LossHead::chunk_backward(const Chunk& chunk, const Tensor& dx) {
  const kernels::OpTable& ops = backend_->ops();
  if (chunk.gradient.dtype() != chunk.logits.dtype()) {
    ops.copy(backend_->context(), chunk.logits, chunk.gradient);  // products in one dtype
  }
  ops.matmul(backend_->context(), chunk.gradient, weight_->value, dx, {});
  adapters_.backward_input(chunk.gradient, dx);
  adapters_.backward_weight(chunk.gradient, chunk.scaled);
  if (multiplier_ != 1) ops.scale(backend_->context(), dx, multiplier_, dx);
  if (!weight_->trained) return;
  const Param::Target target = weight_->product_target();
  ops.matmul(backend_->context(), chunk.gradient, chunk.scaled, target.grad,
             {.transpose_a = true, .accumulate = target.accumulate});
}

Tensor LossHead::backward_input(const Tensor& d_norm_out, Pass& pass) {
  const Tensor& x = pass.stash.get(place_.entries + ".x");
  const Tensor& dy = pass.stash.get(place_.entries + ".dx");
  if (d_norm_out.present()) backend_->ops().add(backend_->context(), dy, d_norm_out, dy);
  Tensor dx = Tensor::empty(*backend_, {x.dim(0), x.dim(1)}, x.dtype(), MemoryKind::workspace);
  norm_.backward_input(dy, x, kept_statistics(pass.stash), dx);
  return dx;
}

void LossHead::backward_weight(Pass& pass) {
  Stash& stash = pass.stash;
  const std::string& at = place_.entries;
  norm_.backward_weight(stash.get(at + ".dx"), stash.get(at + ".x"), kept_statistics(stash));
  for (const char* kept : {".x", ".norm_rstd", ".norm_mean", ".norm_out", ".dx"})
    stash.release(at + kept);
}

Tensor LossHead::logits(const Tensor& x) const {
  const DType accumulate = kernels::accumulate_dtype(x.dtype());
  const auto workspace = [&](std::initializer_list<std::int64_t> shape, DType dtype) {
    return Tensor::empty(*backend_, shape, dtype, MemoryKind::workspace);
  };
  Chunk all{.x = x,
            .statistics = {.rstd = workspace({x.dim(0)}, accumulate), .mean = {}},
            .normalised = workspace({x.dim(0), x.dim(1)}, x.dtype()),
            .scaled = {},
            .logits = workspace({x.dim(0), weight_->value.dim(0)}, accumulate),
            .gradient = {}};
  all.scaled = all.normalised;
  if (norm_.has_mean()) all.statistics.mean = workspace({x.dim(0)}, accumulate);
  chunk_logits(all);
  return all.logits;
}

Norm::Statistics LossHead::kept_statistics(const Stash& stash) const {
  return {stash.get(place_.entries + ".norm_rstd"),
          norm_.has_mean() ? stash.get(place_.entries + ".norm_mean") : Tensor{}};
}

}  // namespace tera::nn
