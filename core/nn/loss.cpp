#include "core/nn/loss.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/nn/elements.h"
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
      group_(store),
      multiplier_(config.output_multiplier()),
      norm_(store, place_.norm, norm_type(config.norm), config.norm_eps),
      weight_(&store.get(config.tie_embeddings ? "embedding.tokens" : "head.weight")),
      adapters_(store, weight_->spec.name) {}

double LossHead::forward(const Tensor& x, const Loss& loss, Pass& pass, bool with_backward) {
  TERA_CHECK(!with_backward || loss.scale != 0, "the scale of the loss is 0: no gradients");
  const std::int64_t own_tokens = x.dim(0);
  const std::int64_t width = x.dim(1);
  const DType accumulate = kernels::accumulate_dtype(x.dtype());
  Stash& stash = pass.stash;
  const std::string& at = place_.entries;
  stash.keep(at + ".x", x);
  Norm::Statistics statistics;
  statistics.rstd = stash.put(at + ".norm_rstd", {own_tokens}, accumulate);
  if (norm_.has_mean()) statistics.mean = stash.put(at + ".norm_mean", {own_tokens}, accumulate);
  const Tensor dx =
      with_backward ? stash.put(at + ".dx", {own_tokens, width}, x.dtype()) : Tensor{};
  const bool splits = group_.splits_tokens();
  // The norm whole where others read it or have a part of it, else chunk by chunk.
  Tensor norm_out;
  if (place_.read_on || splits) {
    norm_out = place_.read_on ? stash.put(at + ".norm_out", {own_tokens, width}, x.dtype())
                              : Tensor::empty(*backend_, {own_tokens, width}, x.dtype(),
                                              MemoryKind::workspace);
    norm_.forward(x, norm_out, statistics);
    norm_out = group_.gather(norm_out);
  }
  if (!with_backward || !splits) {
    const double sum = run_chunks({x, statistics}, norm_out, loss, dx);
    if (with_backward) group_.sum(dx);
    return sum;
  }
  const Tensor all_dx =
      Tensor::empty(*backend_, {norm_out.dim(0), width}, x.dtype(), MemoryKind::workspace);
  const double sum = run_chunks({x, statistics}, norm_out, loss, all_dx);
  backend_->ops().copy(backend_->context(), group_.sum(all_dx), dx);
  return sum;
}

// The losses of all tokens summed. norm_out [T, H]: of the norm, or absent: it is made of `input`.
// dx [T, H]: for the gradient at the norm's output, or absent.
double LossHead::run_chunks(const NormInput& input,
                            const Tensor& norm_out,
                            const Loss& loss,
                            const Tensor& dx) {
  const Tensor& like = norm_out.present() ? norm_out : input.x;
  const std::int64_t tokens = like.dim(0);
  const std::int64_t chunk_size = std::min(tokens, plan::kLogitsChunkTokens);
  const DType accumulate = kernels::accumulate_dtype(like.dtype());
  const auto workspace = [&](std::int64_t columns, DType dtype) {
    return Tensor::empty(*backend_, {chunk_size, columns}, dtype, MemoryKind::workspace);
  };
  const bool with_backward = dx.present();
  const std::int64_t vocabulary = weight_->value.dim(0);
  const Tensor normalised = norm_out.present() ? Tensor{} : workspace(like.dim(1), like.dtype());
  const Tensor scaled =
      norm_out.present() && multiplier_ != 1 ? workspace(like.dim(1), like.dtype()) : Tensor{};
  const Tensor logits = workspace(vocabulary, accumulate);
  const Tensor gradient =
      with_backward && like.dtype() != accumulate ? workspace(vocabulary, like.dtype()) : logits;
  double sum = 0;
  for (std::int64_t begin = 0; begin < tokens; begin += chunk_size) {
    const std::int64_t end = std::min(tokens, begin + chunk_size);
    const std::int64_t n = end - begin;
    const Tensor out = norm_out.present() ? rows(norm_out, begin, end) : rows(normalised, 0, n);
    if (normalised.present()) {
      norm_.forward(
          rows(input.x, begin, end), out,
          {rows(input.statistics.rstd, begin, end), rows(input.statistics.mean, begin, end)});
    }
    const Chunk chunk{.normalised = out,
                      .scaled = scaled.present() ? rows(scaled, 0, n) : out,
                      .logits = rows(logits, 0, n),
                      .gradient = rows(gradient, 0, n)};
    chunk_logits(chunk);
    const TokenLosses losses(chunk.logits, loss.targets.slice(0, begin, end), group_.ranks());
    sum += losses.sum();
    if (!with_backward) continue;
    losses.backward(loss.scale);
    chunk_backward(chunk, dx.slice(0, begin, end));
  }
  return sum;
}

void LossHead::chunk_logits(const Chunk& chunk) const {
  if (multiplier_ != 1) {
    backend_->ops().scale(backend_->context(), chunk.normalised, multiplier_, chunk.scaled);
  }
  backend_->ops().matmul(backend_->context(), chunk.scaled, weight_->value, chunk.logits,
                         {.transpose_b = true});
  adapters_.forward(chunk.scaled, chunk.logits);
  hide_padding(chunk.logits);
}

// Rows of the matrix behind the last word of all ranks are none.
void LossHead::hide_padding(const Tensor& logits) const {
  const std::int64_t rows = logits.dim(1);
  const std::int64_t words = weight_->spec.shape[0] - group_.rank() * rows;
  if (words >= rows) return;
  TERA_CHECK(words > 0, "{} words for {} tensor-parallel ranks: none for rank {}",
             weight_->spec.shape[0], group_.size(), group_.rank());
  with_elements(logits, [&]<class A>(A* logit) {
    for (std::int64_t t = 0; t < logits.dim(0); ++t)
      std::fill(logit + t * rows + words, logit + (t + 1) * rows,
                -std::numeric_limits<A>::infinity());
  });
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
  norm_.backward_input(dy, x, kept_statistics(pass.stash), {}, dx);
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
  const Norm::Statistics statistics{
      .rstd = workspace({x.dim(0)}, accumulate),
      .mean = norm_.has_mean() ? workspace({x.dim(0)}, accumulate) : Tensor{}};
  const Tensor normalised = workspace({x.dim(0), x.dim(1)}, x.dtype());
  norm_.forward(x, normalised, statistics);
  const Chunk all{.normalised = normalised,
                  .scaled = normalised,
                  .logits = workspace({x.dim(0), weight_->value.dim(0)}, accumulate),
                  .gradient = {}};
  chunk_logits(all);
  return all.logits;
}

Norm::Statistics LossHead::kept_statistics(const Stash& stash) const {
  return {stash.get(place_.entries + ".norm_rstd"),
          norm_.has_mean() ? stash.get(place_.entries + ".norm_mean") : Tensor{}};
}

}  // namespace tera::nn
