#include "core/nn/ring_attention.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/nn/heads.h"

namespace tera::nn {
namespace {

// Tokens [begin, end) of each sequence of [B, S, heads, D] or [B, S, A].
kernels::View some_tokens(kernels::View view, std::int64_t begin, std::int64_t end) {
  view.data = view.as<std::byte>() + begin * view.strides[1] * dtype_bytes(view.dtype);
  view.shape[1] = end - begin;
  return view;
}

kernels::View lse_of(const Tensor& lse, const Batch& batch) {  // [T, A] -> [B, S, A]
  return lse.reshape({batch.batch_size, batch.seq_length, lse.dim(1)});
}

// What a rank passes to the next one while the previous passes it the same of its own.
class Passed {
 public:
  Passed(comm::Communicator& ranks, int next, int previous)
      : ranks_(ranks), next_(next), previous_(previous) {}

  // Sends these; what comes of the same shapes is there after wait().
  void start(const std::vector<Tensor>& tensors) {
    send(tensors);
    receive(tensors);
  }
  void send(const std::vector<Tensor>& tensors) {
    for (const Tensor& tensor : tensors)
      ranks_.send(tensor, next_);
  }
  void receive(const std::vector<Tensor>& like) {
    for (const Tensor& tensor : like) {
      coming_.push_back(Tensor::empty(tensor.backend(),
                                      {tensor.dim(0), tensor.dim(1), tensor.dim(2)}, tensor.dtype(),
                                      MemoryKind::workspace));
      works_.push_back(ranks_.start(comm::Operation::recv(coming_.back(), previous_)));
    }
  }
  std::vector<Tensor> wait() {
    while (!works_.empty()) {
      comm::Work work = std::move(works_.back());
      works_.pop_back();
      work.wait();
    }
    return std::exchange(coming_, {});
  }
  // After a failure: what comes is written, and freed, before this thread goes on.
  ~Passed() {
    while (!works_.empty()) {
      try {
        wait();
      } catch (const std::exception&) {  // another failure is on its way already
      }
    }
  }
  Passed(const Passed&) = delete;
  Passed& operator=(const Passed&) = delete;

 private:
  comm::Communicator& ranks_;
  int next_;
  int previous_;
  std::vector<Tensor> coming_;
  std::vector<comm::Work> works_;
};

}  // namespace

void RingAttention::forward(const Inputs& inputs,
                            const Batch& batch,
                            const Outputs& outputs) const {
  const Tensor& q = inputs.q;
  const Tensor& out = outputs.out;
  Backend& backend = q.backend();
  const DType accumulate = kernels::accumulate_dtype(q.dtype());
  const Tensor sum = q.dtype() == accumulate
                         ? out
                         : Tensor::empty(backend, {out.dim(0), out.dim(1), out.dim(2)}, accumulate,
                                         MemoryKind::workspace);
  Passed passed(*group_.ranks(), next(), previous());
  std::vector<Tensor> here = {inputs.k, inputs.v};
  for (int step = 0; step < group_.size(); ++step) {
    const bool more = step + 1 < group_.size();
    if (more) passed.start(here);
    const Block block = block_of(step, batch);
    if (!block.empty) {
      backend.ops().attention_forward(backend.context(), block.queries(as_sequences(q, batch)),
                                      block.keys(as_sequences(here[0], batch)),
                                      block.keys(as_sequences(here[1], batch)), block.first_key,
                                      block.options, block.queries(as_sequences(sum, batch)),
                                      block.queries(lse_of(outputs.lse, batch)));
    }
    if (more) here = passed.wait();
  }
  if (q.dtype() != accumulate) backend.ops().copy(backend.context(), sum, out);
}

// Step s of a rank adds to the gradients that the previous rank had in its step s - 1; what a rank
// gets after the last step is of its own keys and values.
void RingAttention::backward(const kernels::View& d_out,
                             const Inputs& inputs,
                             const Outputs& outputs,
                             const Batch& batch,
                             const Gradients& gradients) const {
  Backend& backend = inputs.q.backend();
  const DType accumulate = kernels::accumulate_dtype(inputs.q.dtype());
  const auto sums_of = [&](const Tensor& rows) {
    return Tensor::empty(backend, {rows.dim(0), rows.dim(1), rows.dim(2)}, accumulate,
                         MemoryKind::workspace);
  };
  const Tensor dq = sums_of(inputs.q);
  Passed passed(*group_.ranks(), next(), previous());
  Passed passed_sums(*group_.ranks(), next(), previous());
  std::vector<Tensor> here = {inputs.k, inputs.v};
  std::vector<Tensor> sums = {sums_of(inputs.k), sums_of(inputs.v)};
  for (int step = 0; step < group_.size(); ++step) {
    const bool more = step + 1 < group_.size();
    if (more) passed.start(here);
    if (step > 0) sums = passed_sums.wait();
    const Block block = block_of(step, batch);
    if (!block.empty) {
      backend.ops().attention_backward(
          backend.context(), block.queries(as_sequences(d_out, batch)),
          block.queries(as_sequences(inputs.q, batch)), block.keys(as_sequences(here[0], batch)),
          block.keys(as_sequences(here[1], batch)), block.first_key,
          block.queries(as_sequences(outputs.out, batch)),
          block.queries(lse_of(outputs.lse, batch)), block.options,
          block.queries(as_sequences(dq, batch)), block.keys(as_sequences(sums[0], batch)),
          block.keys(as_sequences(sums[1], batch)));
    }
    passed_sums.send(sums);
    if (more) here = passed.wait();
    passed_sums.receive(sums);
  }
  sums = passed_sums.wait();
  backend.ops().copy(backend.context(), dq, gradients.dq);
  backend.ops().copy(backend.context(), sums[0], gradients.dk);
  backend.ops().copy(backend.context(), sums[1], gradients.dv);
}

kernels::View RingAttention::Block::queries(const kernels::View& sequences) const {
  return some_tokens(sequences, query_begin, query_end);
}
kernels::View RingAttention::Block::keys(const kernels::View& sequences) const {
  return some_tokens(sequences, key_begin, key_end);
}

// Of zigzag pieces (r, 2 C - 1 - r) of this rank and (o, 2 C - 1 - o) of the owner: with o before r
// all queries are behind the owner's first piece and before its second; with o behind r the second
// piece's queries are behind both, those of the first before both.
RingAttention::Block RingAttention::block_of(int step, const Batch& batch) const {
  const int owner = (group_.rank() - step + group_.size()) % group_.size();
  const std::int64_t own = batch.seq_length;
  const std::int64_t piece = own / 2;
  const std::int64_t length = own * group_.size();
  const ContextShare queries = group_.share();
  const ContextShare keys = group_.share(owner);
  Block block{.query_begin = owner > group_.rank() ? piece : 0,
              .query_end = own,
              .key_begin = 0,
              .key_end = owner < group_.rank() ? piece : own,
              .options = rule_.options,
              .first_key = {},
              .empty = true};
  block.options.query_offset = owner == group_.rank() ? 0 : own;
  block.options.accumulate = step > 0;
  const std::int64_t count = block.query_end - block.query_begin;
  block.first_key = Tensor::empty(batch.first_key.backend(), {batch.batch_size, count}, DType::i32,
                                  MemoryKind::workspace);
  const auto* document = batch.first_key.data<const std::int32_t>();
  auto* to = block.first_key.data<std::int32_t>();
  for (std::int64_t t = 0; t < batch.batch_size * count; ++t) {
    const std::int64_t i = block.query_begin + t % count;
    std::int64_t first = document[t / count * own + i];
    if (rule_.window > 0) first = std::max(first, queries.place(i, length) - rule_.window + 1);
    to[t] = static_cast<std::int32_t>(keys.count_before(first, length));
    if (to[t] < block.key_end) block.empty = false;
  }
  return block;
}

}  // namespace tera::nn
