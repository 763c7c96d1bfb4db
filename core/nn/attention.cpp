#include "core/nn/attention.h"

#include <utility>

#include "core/nn/heads.h"
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
      rotary_(store.backend(), config),
      attention_(store, config, prefix_),
      qkv_(store, prefix_ + ".qkv"),
      out_(store, prefix_ + ".out"),
      queries_{.name = ".q",
               .count = own_heads(store, config.num_attention_heads),
               .first = 0,
               .norm = {}},
      keys_{.name = ".k", .count = value_heads_, .first = queries_.count * head_dim_, .norm = {}} {
  if (config.qk_norm == spec::QkNormKind::none) return;
  const bool per_head = config.qk_norm == spec::QkNormKind::per_head;
  for (Heads* heads : {&queries_, &keys_})
    heads->norm.emplace(store, prefix_ + heads->name, per_head, config.norm_eps);
}

Tensor Attention::forward(const Tensor& x, Pass& pass) {
  project(x, pass);
  return out_.forward(flat(attention_.forward(pass)));
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
  attention_.forward_cached(as_batch(q), cache.keys.slice(1, 0, end), cache.values.slice(1, 0, end),
                            pass.batch, as_batch(out));
  return out_.forward(flat(out));
}

Tensor Attention::backward_input(const Tensor& dy, Pass& pass) {
  Stash& stash = pass.stash;
  const Tensor d_out = out_.backward_input(dy);  // [T, A D]
  const Tensor d_qkv =
      stash.put_gradient(prefix_ + ".d_qkv", {dy.dim(0), qkv_.out_features()}, dy.dtype());
  const auto part = [&](std::int64_t first, std::int64_t heads) {
    return as_heads(d_qkv.slice(1, first, first + heads * head_dim_), head_dim_);
  };
  attention_.backward(as_heads(d_out, head_dim_),
                      {.dq = part(0, queries_.count),
                       .dk = part(keys_.first, keys_.count),
                       .dv = part(keys_.first + keys_.count * head_dim_, value_heads_)},
                      pass);
  backward_heads(d_qkv, queries_, pass);
  backward_heads(d_qkv, keys_, pass);
  stash.put_gradient(prefix_ + ".d_y", dy);
  return qkv_.backward_input(d_qkv);
}

void Attention::backward_weight(Pass& pass) {
  Stash& stash = pass.stash;
  out_.backward_weight(stash.take(prefix_ + ".d_y"), flat(stash.get(prefix_ + ".out")));
  for (Heads* heads : {&queries_, &keys_}) {
    if (heads->norm) heads->norm->backward_weight(stash);
  }
  qkv_.backward_weight(stash.take(prefix_ + ".d_qkv"), stash.get(input_));
  attention_.release(stash);
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
  const Tensor made =
      pass.stash.put(prefix_ + heads.name, {qkv.dim(0), heads.count, head_dim_}, qkv.dtype());
  const kernels::View rows =
      as_heads(qkv.slice(1, heads.first, heads.first + heads.count * head_dim_), head_dim_);
  if (heads.norm) {
    heads.norm->forward(rows, rotary_, pass.batch.positions, made, pass.stash);
  } else {
    rotary_.forward(rows, pass.batch.positions, made);
  }
}

// Turns the gradient at the attended queries (keys) inside d_qkv into that at the qkv product.
void Attention::backward_heads(const Tensor& d_qkv, const Heads& heads, Pass& pass) const {
  const kernels::View rows =
      as_heads(d_qkv.slice(1, heads.first, heads.first + heads.count * head_dim_), head_dim_);
  if (heads.norm) {
    heads.norm->backward_input(rows, rotary_, pass.batch.positions, rows, pass.stash);
  } else {
    rotary_.backward(rows, pass.batch.positions, rows);
  }
}

}  // namespace tera::nn
