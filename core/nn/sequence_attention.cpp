#include "core/nn/sequence_attention.h"

#include <utility>

#include "core/nn/heads.h"
#include "core/nn/ring_attention.h"
#include "core/nn/sliding_window.h"
#include "core/nn/ulysses_attention.h"

namespace tera::nn {

SequenceAttention::SequenceAttention(const ParamStore& store,
                                     const spec::ModelConfig& config,
                                     std::string prefix)
    : prefix_(std::move(prefix)),
      rule_{.options = {.scale = config.score_scale(), .softcap = config.attention_softcap},
            .window = config.sliding_window} {
  const ContextGroup group(store);
  if (group.size() == 1) return;
  if (group.method() == spec::ContextMethod::ring) {
    shared_ = std::make_unique<RingAttention>(group, rule_);
  } else {
    shared_ = std::make_unique<UlyssesAttention>(group, rule_);
  }
}

Tensor SequenceAttention::forward(Pass& pass) const {
  Stash& stash = pass.stash;
  const Batch& batch = pass.batch;
  const Tensor q = stash.get(prefix_ + ".q");
  const Tensor k = stash.get(prefix_ + ".k");
  const Tensor v = stash.get(prefix_ + ".v");
  Tensor out = stash.put(prefix_ + ".out", {q.dim(0), q.dim(1), v.dim(2)}, q.dtype());
  const Tensor lse =
      stash.put(prefix_ + ".lse", {q.dim(0), q.dim(1)}, kernels::accumulate_dtype(q.dtype()));
  if (shared_ != nullptr) {
    shared_->forward({q, k, v}, batch, {out, lse});
    return out;
  }
  Backend& backend = q.backend();
  backend.ops().attention_forward(backend.context(), as_sequences(q, batch), as_sequences(k, batch),
                                  as_sequences(v, batch), first_keys(batch, rule_.window),
                                  rule_.options, as_sequences(out, batch),
                                  lse.reshape({batch.batch_size, batch.seq_length, lse.dim(1)}));
  return out;
}

void SequenceAttention::backward(const kernels::View& d_out,
                                 const ContextAttention::Gradients& gradients,
                                 Pass& pass) const {
  const Stash& stash = pass.stash;
  const Batch& batch = pass.batch;
  const auto kept = [&](const char* name) -> const Tensor& { return stash.get(prefix_ + name); };
  const Tensor& lse = kept(".lse");
  if (shared_ != nullptr) {
    return shared_->backward(d_out, {kept(".q"), kept(".k"), kept(".v")}, {kept(".out"), lse},
                             batch, gradients);
  }
  const auto sequences = [&](const kernels::View& rows) { return as_sequences(rows, batch); };
  Backend& backend = stash.backend();
  backend.ops().attention_backward(
      backend.context(), sequences(d_out), sequences(kept(".q")), sequences(kept(".k")),
      sequences(kept(".v")), first_keys(batch, rule_.window), sequences(kept(".out")),
      lse.reshape({batch.batch_size, batch.seq_length, lse.dim(1)}), rule_.options,
      sequences(gradients.dq), sequences(gradients.dk), sequences(gradients.dv));
}

void SequenceAttention::release(Stash& stash) const {
  for (const char* kept : {".q", ".k", ".v", ".out", ".lse"})
    stash.release(prefix_ + kept);
}

void SequenceAttention::forward_cached(const kernels::View& q,
                                       const Tensor& keys,
                                       const Tensor& values,
                                       const Batch& batch,
                                       const kernels::View& out) const {
  Backend& backend = keys.backend();
  const Tensor lse = Tensor::empty(backend, {batch.batch_size, batch.seq_length, q.shape[2]},
                                   kernels::accumulate_dtype(q.dtype), MemoryKind::workspace);
  kernels::AttentionOptions options = rule_.options;
  options.query_offset = keys.dim(1) - batch.seq_length;
  const auto cached = static_cast<int>(options.query_offset);
  backend.ops().attention_forward(backend.context(), q, keys, values,
                                  first_keys(batch, rule_.window, cached), options, out, lse);
}

}  // namespace tera::nn
