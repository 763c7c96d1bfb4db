#include "core/nn/latent_attention.h"

#include <utility>

#include "core/nn/heads.h"
#include "core/nn/tensor_parallel.h"

namespace tera::nn {
namespace {

// Of the norms of latent vectors, whatever model.norm_eps is. Source: github.com/deepseek-ai/
// DeepSeek-V3, inference/model.py, RMSNorm.
constexpr double kLatentNormEps = 1e-6;

}  // namespace

LatentProjection::LatentProjection(ParamStore& store, const std::string& prefix)
    : name_(prefix + "_latent"),
      norm_(store, prefix + "_down_norm", kernels::NormType::rms, kLatentNormEps),
      up_(store, prefix + "_up") {}

Tensor LatentProjection::put(std::int64_t num_tokens, DType dtype, Pass& pass) const {
  pass.stash.put(name_ + "_rstd", {num_tokens}, kernels::accumulate_dtype(dtype));
  return pass.stash.put(name_, {num_tokens, rank()}, dtype);
}

void LatentProjection::normalise(Pass& pass) const {
  Stash& stash = pass.stash;
  const Tensor z = stash.get(name_);
  const std::string out = name_ + "_norm_out";
  norm_.forward(z,
                pass.keeps_cheap() ? stash.put(out, {z.dim(0), z.dim(1)}, z.dtype())
                                   : stash.put_gradient(out, {z.dim(0), z.dim(1)}, z.dtype()),
                statistics(stash));
}

void LatentProjection::end_forward(Pass& pass) const {
  if (!pass.keeps_cheap()) pass.stash.release(name_ + "_norm_out");
}

void LatentProjection::forward(Pass& pass, const Tensor& y) const {
  up_.forward(pass.stash.get(name_ + "_norm_out"), y);
}

Tensor LatentProjection::backward_input(const Tensor& dy, Pass& pass) const {
  Stash& stash = pass.stash;
  const Tensor& z = stash.get(name_);
  const Tensor d_norm = up_.backward_input(dy);
  Tensor dz = Tensor::empty(dy.backend(), {z.dim(0), z.dim(1)}, z.dtype(), MemoryKind::workspace);
  norm_.backward_input(d_norm, z, statistics(stash), {}, dz);
  stash.put_gradient(name_ + "_d_norm", d_norm);
  stash.put_gradient(name_ + "_d_up", dy);
  return dz;
}

void LatentProjection::backward_weight(Pass& pass) {
  Stash& stash = pass.stash;
  if (!pass.keeps_cheap()) normalise(pass);
  up_.backward_weight(stash.take(name_ + "_d_up"), stash.take(name_ + "_norm_out"));
  norm_.backward_weight(stash.take(name_ + "_d_norm"), stash.get(name_), statistics(stash));
  stash.release(name_);
  stash.release(name_ + "_rstd");
}

Norm::Statistics LatentProjection::statistics(const Stash& stash) const {
  return {stash.get(name_ + "_rstd"), {}};
}

LatentAttention::LatentAttention(ParamStore& store,
                                 const spec::ModelConfig& config,
                                 std::string prefix,
                                 std::string input)
    : prefix_(std::move(prefix)),
      input_(std::move(input)),
      heads_(own_heads(store, config.num_attention_heads)),
      nope_dim_(config.qk_nope_head_dim),
      rope_dim_(config.qk_rope_head_dim),
      value_dim_(config.v_head_dim),
      rotary_(store.backend(), config),
      attention_(store, config, prefix_),
      query_(store, prefix_ + (config.q_lora_rank > 0 ? ".q_down" : ".q")),
      kv_down_(store, prefix_ + ".kv_down"),
      kv_latent_(store, prefix_ + ".kv"),
      out_(store, prefix_ + ".out") {
  if (config.q_lora_rank > 0) query_latent_.emplace(store, prefix_ + ".q");
}

Tensor LatentAttention::forward(const Tensor& x, Pass& pass) {
  project_queries(x, pass);
  const Tensor y = attend(project_latent(x, pass), pass);
  if (query_latent_) query_latent_->end_forward(pass);
  kv_latent_.end_forward(pass);
  return y;
}

LayerCache LatentAttention::make_cache(int sequences, int capacity) const {
  const Tensor latents = Tensor::empty(out_.weight().backend(),
                                       {sequences, capacity, 1, kv_latent_.rank() + rope_dim_},
                                       out_.weight().dtype(), MemoryKind::workspace);
  return {.keys = latents, .values = latents.slice(3, 0, kv_latent_.rank())};
}

Tensor LatentAttention::forward_cached(const Tensor& x, Pass& pass, const LayerCache& cache) {
  project_queries(x, pass);
  const Tensor rope_key = project_latent(x, pass);
  const Tensor latent = pass.stash.get(prefix_ + ".kv_latent_norm_out");
  const Batch& batch = pass.batch;
  const Tensor fresh = cache.keys.slice(1, cache.length, cache.length + batch.seq_length);
  const auto append = [&](const Tensor& from, std::int64_t first, std::int64_t width) {
    x.backend().ops().copy(x.backend().context(),
                           from.reshape({batch.batch_size, batch.seq_length, 1, width}),
                           fresh.slice(3, first, first + width));
  };
  append(latent, 0, kv_latent_.rank());
  append(rope_key, kv_latent_.rank(), rope_dim_);
  // Without tokens before, keys and values of these are cheaper than latents, which are wider.
  return cache.length == 0 ? attend(rope_key, pass) : attend_to_latents(pass, cache);
}

// Puts q [T, A, dn + dr] into the stash, its last part rotated.
void LatentAttention::project_queries(const Tensor& x, Pass& pass) const {
  Stash& stash = pass.stash;
  const Tensor q = stash.put(prefix_ + ".q", {x.dim(0), heads_, nope_dim_ + rope_dim_}, x.dtype());
  if (query_latent_) {
    query_.forward(x, query_latent_->put(x.dim(0), x.dtype(), pass));
    query_latent_->normalise(pass);
    query_latent_->forward(pass, flat(q));
  } else {
    query_.forward(x, flat(q));
  }
  rotary_.forward(rope_part(q), pass.batch.positions, rope_part(q));
}

// Puts the normalised latent vector of keys and values into the stash; returns the rotated key that
// heads share, [T, 1, dr].
Tensor LatentAttention::project_latent(const Tensor& x, Pass& pass) const {
  Backend& backend = x.backend();
  const std::int64_t rank = kv_latent_.rank();
  const Tensor down = kv_down_.forward(x);  // [T, rkv + dr]
  backend.ops().copy(backend.context(), down.slice(1, 0, rank),
                     kv_latent_.put(x.dim(0), x.dtype(), pass));
  kv_latent_.normalise(pass);
  Tensor key = Tensor::empty(backend, {x.dim(0), 1, rope_dim_}, x.dtype(), MemoryKind::workspace);
  rotary_.forward(as_heads(down.slice(1, rank, rank + rope_dim_), rope_dim_), pass.batch.positions,
                  key);
  return key;
}

// Makes keys and values of the latent vector and attends to them.
Tensor LatentAttention::attend(const Tensor& rope_key, Pass& pass) const {
  Backend& backend = rope_key.backend();
  const kernels::OpTable& ops = backend.ops();
  Stash& stash = pass.stash;
  const std::int64_t tokens = rope_key.dim(0);
  const DType dtype = rope_key.dtype();
  const Tensor kv = Tensor::empty(backend, {tokens, heads_, nope_dim_ + value_dim_}, dtype,
                                  MemoryKind::workspace);
  kv_latent_.forward(pass, flat(kv));
  const Tensor k = stash.put(prefix_ + ".k", {tokens, heads_, nope_dim_ + rope_dim_}, dtype);
  const Tensor v = stash.put(prefix_ + ".v", {tokens, heads_, value_dim_}, dtype);
  kernels::View every_head = rope_key.view();  // the same key for each
  every_head.shape[1] = heads_;
  every_head.strides[1] = 0;
  ops.copy(backend.context(), kv.slice(2, 0, nope_dim_), k.slice(2, 0, nope_dim_));
  ops.copy(backend.context(), every_head, rope_part(k));
  ops.copy(backend.context(), kv.slice(2, nope_dim_, nope_dim_ + value_dim_), v);
  return out_.forward(flat(attention_.forward(pass)));
}

// Keys and values of a head are products of its rows of kv_up with the latent vectors, so queries
// and results can go through those rows instead: q . (W_k z) = (W_k^T q) . z, sum p (W_v z) =
// W_v (sum p z). Source: DeepSeek-V2, 2024, section 2.1.2.
Tensor LatentAttention::attend_to_latents(Pass& pass, const LayerCache& cache) const {
  const Tensor& q = pass.stash.get(prefix_ + ".q");
  Backend& backend = q.backend();
  const kernels::OpTable& ops = backend.ops();
  const kernels::Context& context = backend.context();
  const std::int64_t tokens = q.dim(0);
  const std::int64_t rank = kv_latent_.rank();
  const auto workspace = [&](std::int64_t width) {
    return Tensor::empty(backend, {tokens, heads_, width}, q.dtype(), MemoryKind::workspace);
  };
  const auto first_row = [&](std::int64_t head) { return head * (nope_dim_ + value_dim_); };
  const Tensor queries = workspace(rank + rope_dim_);
  for (std::int64_t a = 0; a < heads_; ++a) {
    kv_latent_.up().backward_input_rows(head_rows(q, a, 0, nope_dim_), first_row(a),
                                        head_rows(queries, a, 0, rank));
  }
  ops.copy(context, rope_part(q), queries.slice(2, rank, rank + rope_dim_));
  const Tensor mixed = workspace(rank);
  const Batch& batch = pass.batch;
  const std::int64_t end = cache.length + batch.seq_length;
  attention_.forward_cached(as_sequences(queries, batch), cache.keys.slice(1, 0, end),
                            cache.values.slice(1, 0, end), batch, as_sequences(mixed, batch));
  const Tensor out = workspace(value_dim_);
  for (std::int64_t a = 0; a < heads_; ++a) {
    kv_latent_.up().forward_rows(head_rows(mixed, a, 0, rank), first_row(a) + nope_dim_,
                                 head_rows(out, a, 0, value_dim_));
  }
  return out_.forward(flat(out));
}

Tensor LatentAttention::backward_input(const Tensor& dy, Pass& pass) {
  Backend& backend = dy.backend();
  const kernels::OpTable& ops = backend.ops();
  Stash& stash = pass.stash;
  const std::int64_t tokens = dy.dim(0);
  const auto workspace = [&](std::int64_t width) {
    return Tensor::empty(backend, {tokens, heads_, width}, dy.dtype(), MemoryKind::workspace);
  };
  const Tensor d_out = out_.backward_input(dy);  // [T, A dv]
  const Tensor dq = workspace(nope_dim_ + rope_dim_);
  const Tensor dk = workspace(nope_dim_ + rope_dim_);
  const Tensor d_kv = workspace(nope_dim_ + value_dim_);
  attention_.backward(as_heads(d_out, value_dim_),
                      {.dq = dq, .dk = dk, .dv = d_kv.slice(2, nope_dim_, nope_dim_ + value_dim_)},
                      pass);
  const Tensor dx = backward_keys(dk, d_kv, pass);
  rotary_.backward(rope_part(dq), pass.batch.positions, rope_part(dq));
  const Tensor d_query = query_latent_ ? query_latent_->backward_input(flat(dq), pass) : flat(dq);
  ops.add(backend.context(), dx, query_.backward_input(d_query), dx);
  stash.put_gradient(query_gradient(), d_query);
  stash.put_gradient(prefix_ + ".d_y", dy);
  return dx;
}

// From the gradients at keys and, in d_kv [T, A, dn + dv], at values to that at the input.
Tensor LatentAttention::backward_keys(const Tensor& dk, const Tensor& d_kv, Pass& pass) const {
  Backend& backend = dk.backend();
  const kernels::OpTable& ops = backend.ops();
  const kernels::Context& context = backend.context();
  const std::int64_t rank = kv_latent_.rank();
  const Tensor d_down = pass.stash.put_gradient(prefix_ + ".kv_latent_d_down",
                                                {dk.dim(0), rank + rope_dim_}, dk.dtype());
  const Tensor d_key = d_down.slice(1, rank, rank + rope_dim_);
  ops.sum_heads(context, rope_part(dk), d_key);
  rotary_.backward(as_heads(d_key, rope_dim_), pass.batch.positions, as_heads(d_key, rope_dim_));
  ops.copy(context, dk.slice(2, 0, nope_dim_), d_kv.slice(2, 0, nope_dim_));
  ops.copy(context, kv_latent_.backward_input(flat(d_kv), pass), d_down.slice(1, 0, rank));
  return kv_down_.backward_input(d_down);
}

void LatentAttention::backward_weight(Pass& pass) {
  Stash& stash = pass.stash;
  out_.backward_weight(stash.take(prefix_ + ".d_y"), flat(stash.get(prefix_ + ".out")));
  if (query_latent_) query_latent_->backward_weight(pass);
  kv_latent_.backward_weight(pass);
  query_.backward_weight(stash.take(query_gradient()), stash.get(input_));
  kv_down_.backward_weight(stash.take(prefix_ + ".kv_latent_d_down"), stash.get(input_));
  attention_.release(stash);
}

// The stash entry of the gradient at the output of query_.
std::string LatentAttention::query_gradient() const {
  return prefix_ + (query_latent_ ? ".q_latent_d_down" : ".d_query");
}

// The rotated dims of queries or keys [T, n, dn + dr].
Tensor LatentAttention::rope_part(const Tensor& heads) const {
  return heads.slice(2, nope_dim_, nope_dim_ + rope_dim_);
}

}  // namespace tera::nn
