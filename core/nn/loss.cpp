#include "core/nn/loss.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/plan/memory_model.h"

namespace tera::nn {
namespace {

double sum(const Tensor& values) {
  double total = 0;
  for (std::int64_t i = 0; i < values.num_elements(); ++i) {
    total += values.dtype() == DType::f64 ? values.data<const double>()[i]
                                          : static_cast<double>(values.data<const float>()[i]);
  }
  return total;
}

Tensor rows(const Tensor& x, std::int64_t begin, std::int64_t end) {
  return x.present() ? x.slice(0, begin, end) : Tensor{};
}

}  // namespace

LossHead::LossHead(ParamStore& store, const spec::ModelConfig& config)
    : backend_(&store.backend()),
      multiplier_(config.logit_multiplier),
      norm_(store, "final_norm", norm_type(config.norm), config.norm_eps),
      weight_(&store.get(config.tie_embeddings ? "embedding.tokens" : "head.weight")) {}

double LossHead::forward(const Tensor& x, Pass& pass, bool with_backward) {
  TERA_CHECK(pass.batch.targets.present(), "the batch has no targets: no loss to compute");
  TERA_CHECK(!with_backward || pass.loss_scale != 0, "loss_scale is 0: gradients would vanish");
  const std::int64_t tokens = x.dim(0);
  const std::int64_t chunk_size = std::min(tokens, plan::kLogitsChunkTokens);
  const DType accumulate = kernels::accumulate_dtype(x.dtype());
  const auto workspace = [&](std::initializer_list<std::int64_t> shape, DType dtype) {
    return Tensor::empty(*backend_, shape, dtype, MemoryKind::workspace);
  };
  Stash& stash = pass.stash;
  stash.keep("head.x", x);
  Norm::Statistics statistics;
  statistics.rstd = stash.put("head.norm_rstd", {tokens}, accumulate);
  if (norm_.has_mean()) statistics.mean = stash.put("head.norm_mean", {tokens}, accumulate);
  const Tensor dx = with_backward ? stash.put("head.dx", {tokens, x.dim(1)}, x.dtype()) : Tensor{};

  const std::int64_t vocabulary = weight_->value.dim(0);
  const Tensor normalised = workspace({chunk_size, x.dim(1)}, x.dtype());
  const Tensor logits = workspace({chunk_size, vocabulary}, accumulate);
  const Tensor gradient = with_backward && x.dtype() != accumulate
                              ? workspace({chunk_size, vocabulary}, x.dtype())
                              : logits;
  const Tensor losses = workspace({tokens}, accumulate);
  for (std::int64_t begin = 0; begin < tokens; begin += chunk_size) {
    const std::int64_t end = std::min(tokens, begin + chunk_size);
    const std::int64_t n = end - begin;
    const Chunk chunk{
        .x = rows(x, begin, end),
        .statistics = {rows(statistics.rstd, begin, end), rows(statistics.mean, begin, end)},
        .normalised = rows(normalised, 0, n),
        .logits = rows(logits, 0, n),
        .gradient = rows(gradient, 0, n)};
    chunk_logits(chunk);
    backend_->ops().cross_entropy(
        backend_->context(), chunk.logits, pass.batch.targets.slice(0, begin, end),
        with_backward ? pass.loss_scale : 0.0, losses.slice(0, begin, end));
    if (with_backward) chunk_backward(chunk, dx.slice(0, begin, end));
  }
  return sum(losses);
}

void LossHead::chunk_logits(const Chunk& chunk) const {
  norm_.forward(chunk.x, chunk.normalised, chunk.statistics);
  if (multiplier_ != 1) {
    backend_->ops().scale(backend_->context(), chunk.normalised, multiplier_, chunk.normalised);
  }
  backend_->ops().matmul(backend_->context(), chunk.normalised, weight_->value, chunk.logits,
                         {.transpose_b = true});
}

void LossHead::chunk_backward(const Chunk& chunk, const Tensor& dx) {
  const kernels::OpTable& ops = backend_->ops();
  if (chunk.gradient.dtype() != chunk.logits.dtype()) {
    ops.copy(backend_->context(), chunk.logits, chunk.gradient);  // products in one dtype
  }
  ops.matmul(backend_->context(), chunk.gradient, weight_->value, dx, {});
  if (multiplier_ != 1) ops.scale(backend_->context(), dx, multiplier_, dx);
  ops.matmul(backend_->context(), chunk.gradient, chunk.normalised, weight_->grad,
             {.transpose_a = true, .accumulate = true});
}

Tensor LossHead::backward_input(Pass& pass) {
  const Tensor& x = pass.stash.get("head.x");
  Tensor dx = Tensor::empty(*backend_, {x.dim(0), x.dim(1)}, x.dtype(), MemoryKind::workspace);
  norm_.backward_input(pass.stash.get("head.dx"), x, kept_statistics(pass.stash), dx);
  return dx;
}

void LossHead::backward_weight(Pass& pass) {
  Stash& stash = pass.stash;
  norm_.backward_weight(stash.get("head.dx"), stash.get("head.x"), kept_statistics(stash));
  for (const char* kept : {"head.x", "head.norm_rstd", "head.norm_mean", "head.dx"})
    stash.release(kept);
}

Tensor LossHead::logits(const Tensor& x) const {
  const DType accumulate = kernels::accumulate_dtype(x.dtype());
  const auto workspace = [&](std::initializer_list<std::int64_t> shape, DType dtype) {
    return Tensor::empty(*backend_, shape, dtype, MemoryKind::workspace);
  };
  Chunk all{.x = x,
            .statistics = {.rstd = workspace({x.dim(0)}, accumulate), .mean = {}},
            .normalised = workspace({x.dim(0), x.dim(1)}, x.dtype()),
            .logits = workspace({x.dim(0), weight_->value.dim(0)}, accumulate),
            .gradient = {}};
  if (norm_.has_mean()) all.statistics.mean = workspace({x.dim(0)}, accumulate);
  chunk_logits(all);
  return all.logits;
}

Norm::Statistics LossHead::kept_statistics(const Stash& stash) const {
  return {stash.get("head.norm_rstd"), norm_.has_mean() ? stash.get("head.norm_mean") : Tensor{}};
}

}  // namespace tera::nn
