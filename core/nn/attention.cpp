#include "core/nn/attention.h"

#include <utility>

#include "core/base/check.h"
#include "core/nn/heads.h"
#include "core/nn/sliding_window.h"
#include "core/nn/tensor_parallel.h"

namespace tera::nn {
Attention::Attention(ParamStore& store,
                     const spec::ModelConfig& config,
                     std::string prefix,
                     std::string input)
    : prefix_(std::move(prefix)),
      input_(std::move(input)),
      head_dim_(config.head_dim),
      value_heads_(own_heads(store, config.num_key_value_heads)),
      options_{.scale = config.score_scale(), .softcap = config.attention_softcap},
      window_(config.sliding_window),
      norm_per_head_(config.qk_norm == spec::QkNormKind::per_head),
      qkv_(store, prefix_ + ".qkv"),
      out_(store, prefix_ + ".out"),
      queries_{.name = ".q",
               .count = own_heads(store, config.num_attention_heads),
               .first = 0,
               .norm = {}},
      keys_{.name = ".k", .count = value_heads_, .first = queries_.count * head_dim_, .norm = {}} {
  if (config.position == spec::PositionKind::rotary) rotary_.emplace(store.backend(), config);
  if (config.qk_norm == spec::QkNormKind::none) return;
  TERA_CHECK(norm_per_head_ || TensorGroup(store).size() == 1,
             "a norm over all heads with {} tensor-parallel ranks", TensorGroup(store).size());
  for (Heads* heads : {&queries_, &keys_}) {
    heads->norm.emplace(store, prefix_ + heads->name + "_norm", kernels::NormType::rms,
                        config.norm_eps);
  }
}

Tensor Attention::forward(const Tensor& x, Pass& pass) {
  project(x, pass);
  Stash& stash = pass.stash;
  const Tensor q = stash.get(prefix_ + ".q");  // [T, A, D]
  const Tensor out = stash.put(prefix_ + ".out", {q.dim(0), q.dim(1), q.dim(2)}, q.dtype());
  const Tensor lse =
      stash.put(prefix_ + ".lse", {q.dim(0), q.dim(1)}, kernels::accumulate_dtype(q.dtype()));
  const Batch& batch = pass.batch;
  x.backend().ops().attention_forward(
      x.backend().context(), as_sequences(q, batch), as_sequences(stash.get(prefix_ + ".k"), batch),
      as_sequences(stash.get(prefix_ + ".v"), batch), first_keys(batch, window_), options_,
      as_sequences(out, batch), lse.reshape({batch.batch_size, batch.seq_length, lse.dim(1)}));
  return out_.forward(flat(out));
}

LayerCache Attention::make_cache(int sequences, int capacity) const {
  const auto part = [&] {
    return Tensor::empty(qkv_.weight().backend(), {sequences, capacity, value_heads_, head_dim_},
                         qkv_.weight().dtype(), MemoryKind::workspace);
  };
  return {.keys = part(), .values = part()};
}

Tensor Attention::forward_cached(const Tensor& x, Pass& pass, const LayerCache& cache) {
  project(x, pass);
  Backend& backend = x.backend();
  const Stash& stash = pass.stash;
  const std::int64_t sequences = pass.batch.batch_size;
  const std::int64_t fresh = pass.batch.seq_length;
  const std::int64_t end = cache.length + fresh;
  const auto as_batch = [&](const Tensor& heads) {  // [T, n, D] -> [B, S, n, D]
    return heads.reshape({sequences, fresh, heads.dim(1), heads.dim(2)});
  };
  const auto append = [&](const char* name, const Tensor& to) {
    backend.ops().copy(backend.context(), as_batch(stash.get(prefix_ + name)),
                       to.slice(1, cache.length, end));
  };
  append(".k", cache.keys);
  append(".v", cache.values);
  const Tensor& q = stash.get(prefix_ + ".q");  // [T, A, D]
  const Tensor out =
      Tensor::empty(backend, {q.dim(0), q.dim(1), q.dim(2)}, q.dtype(), MemoryKind::workspace);
  const Tensor lse = Tensor::empty(backend, {sequences, fresh, q.dim(1)},
                                   kernels::accumulate_dtype(q.dtype()), MemoryKind::workspace);
  kernels::AttentionOptions options = options_;
  options.query_offset = cache.length;
  backend.ops().attention_forward(
      backend.context(), as_batch(q), cache.keys.slice(1, 0, end), cache.values.slice(1, 0, end),
      first_keys(pass.batch, window_, cache.length), options, as_batch(out), lse);
  return out_.forward(flat(out));
}

Tensor Attention::backward_input(const Tensor& dy, Pass& pass) {
  Backend& backend = dy.backend();
  Stash& stash = pass.stash;
  const Batch& batch = pass.batch;
  const Tensor d_out = out_.backward_input(dy);  // [T, A D]
  const Tensor d_qkv =
      stash.put_gradient(prefix_ + ".d_qkv", {dy.dim(0), qkv_.out_features()}, dy.dtype());
  const std::int64_t value_first = keys_.first + keys_.count * head_dim_;
  const auto part = [&](std::int64_t first, std::int64_t heads) {
    return as_sequences(as_heads(d_qkv.slice(1, first, first + heads * head_dim_), head_dim_),
                        batch);
  };
  const auto kept = [&](const char* name) {
    return as_sequences(stash.get(prefix_ + name), batch);
  };
  const Tensor& lse = stash.get(prefix_ + ".lse");
  backend.ops().attention_backward(
      backend.context(), as_sequences(as_heads(d_out, head_dim_), batch), kept(".q"), kept(".k"),
      kept(".v"), first_keys(batch, window_), kept(".out"),
      lse.reshape({batch.batch_size, batch.seq_length, lse.dim(1)}), options_,
      part(0, queries_.count), part(keys_.first, keys_.count), part(value_first, value_heads_));
  backward_heads(d_qkv, queries_, pass);
  backward_heads(d_qkv, keys_, pass);
  stash.put_gradient(prefix_ + ".d_y", dy);
  return qkv_.backward_input(d_qkv);
}

void Attention::backward_weight(Pass& pass) {
  Stash& stash = pass.stash;
  out_.backward_weight(stash.take(prefix_ + ".d_y"), flat(stash.get(prefix_ + ".out")));
  for (Heads* heads : {&queries_, &keys_}) {
    if (!heads->norm) continue;
    const std::string name = prefix_ + heads->name;
    heads->norm->backward_weight(stash.take(name + "_d_norm"),
                                 norm_rows(stash.get(name + "_raw"), *heads),
                                 head_statistics(*heads, stash));
  }
  qkv_.backward_weight(stash.take(prefix_ + ".d_qkv"), stash.get(input_));
  for (const char* kept :
       {".q", ".k", ".v", ".out", ".lse", ".q_raw", ".k_raw", ".q_rstd", ".k_rstd"}) {
    stash.release(prefix_ + kept);
  }
}

// Puts q, k, v (normalised and rotated) into the stash, contiguous.
void Attention::project(const Tensor& x, Pass& pass) const {
  const Tensor qkv = qkv_.forward(x);  // [T, W]
  project_heads(qkv, queries_, pass);
  project_heads(qkv, keys_, pass);
  const Tensor v = pass.stash.put(prefix_ + ".v", {x.dim(0), value_heads_, head_dim_}, x.dtype());
  const std::int64_t first = keys_.first + keys_.count * head_dim_;
  x.backend().ops().copy(x.backend().context(), qkv.slice(1, first, qkv.dim(1)), flat(v));
}

void Attention::project_heads(const Tensor& qkv, const Heads& heads, Pass& pass) const {
  Backend& backend = qkv.backend();
  const kernels::OpTable& ops = backend.ops();
  const kernels::Context& context = backend.context();
  const std::string name = prefix_ + heads.name;
  const std::int64_t tokens = qkv.dim(0);
  const Tensor rows = qkv.slice(1, heads.first, heads.first + heads.count * head_dim_);
  const Tensor made = pass.stash.put(name, {tokens, heads.count, head_dim_}, qkv.dtype());
  if (heads.norm) {
    const Tensor raw = pass.stash.put(name + "_raw", {tokens, heads.count, head_dim_}, qkv.dtype());
    const DType accumulate = kernels::accumulate_dtype(qkv.dtype());
    if (norm_per_head_) {
      pass.stash.put(name + "_rstd", {tokens, heads.count}, accumulate);
    } else {
      pass.stash.put(name + "_rstd", {tokens}, accumulate);
    }
    ops.copy(context, rows, flat(raw));
    heads.norm->forward(norm_rows(raw, heads), norm_rows(made, heads),
                        head_statistics(heads, pass.stash));
    if (rotary_) rotary_->forward(made, pass.batch.positions, made);
  } else if (rotary_) {
    rotary_->forward(as_heads(rows, head_dim_), pass.batch.positions, made);
  } else {
    ops.copy(context, rows, flat(made));
  }
}

// Turns the gradient at the attended queries (keys) inside d_qkv into that at the qkv product.
void Attention::backward_heads(const Tensor& d_qkv, const Heads& heads, Pass& pass) const {
  Backend& backend = d_qkv.backend();
  const kernels::OpTable& ops = backend.ops();
  const Tensor rows = d_qkv.slice(1, heads.first, heads.first + heads.count * head_dim_);
  if (rotary_) {
    const kernels::View view = as_heads(rows, head_dim_);
    rotary_->backward(view, pass.batch.positions, view);
  }
  if (!heads.norm) return;
  const std::string name = prefix_ + heads.name;
  const Tensor raw = pass.stash.get(name + "_raw");
  const Tensor d_norm = Tensor::empty(backend, {raw.dim(0), raw.dim(1), raw.dim(2)}, raw.dtype(),
                                      MemoryKind::workspace);
  const Tensor d_raw = Tensor::empty(backend, {raw.dim(0), raw.dim(1), raw.dim(2)}, raw.dtype(),
                                     MemoryKind::workspace);
  ops.copy(backend.context(), rows, flat(d_norm));
  heads.norm->backward_input(norm_rows(d_norm, heads), norm_rows(raw, heads),
                             head_statistics(heads, pass.stash), {}, norm_rows(d_raw, heads));
  ops.copy(backend.context(), flat(d_raw), rows);
  pass.stash.put_gradient(name + "_d_norm", norm_rows(d_norm, heads));
}

Norm::Statistics Attention::head_statistics(const Heads& heads, const Stash& stash) const {
  const Tensor& rstd = stash.get(prefix_ + heads.name + "_rstd");
  return {rstd.reshape({rstd.num_elements()}), {}};
}

// [T, n, D] as the rows that one norm runs over: [T n, D] per head, else [T, n D].
Tensor Attention::norm_rows(const Tensor& x, const Heads& heads) const {
  return norm_per_head_ ? x.reshape({x.dim(0) * heads.count, head_dim_}) : flat(x);
}

}  // namespace tera::nn
