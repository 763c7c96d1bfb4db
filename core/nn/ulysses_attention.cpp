#include "core/nn/ulysses_attention.h"

#include <algorithm>
#include <array>

#include "core/nn/heads.h"
#include "core/nn/sliding_window.h"

namespace tera::nn {
namespace {

using kernels::View;

// Heads [first, first + count) of [T, heads, dims].
View some_heads(View tokens, std::int64_t first, std::int64_t count) {
  tokens.data = tokens.as<std::byte>() + first * tokens.strides[1] * dtype_bytes(tokens.dtype);
  tokens.shape[1] = count;
  return tokens;
}

// The first of heads [T, heads, dims] as [T, dims].
View one_head(View tokens) {
  tokens.rank = 2;
  tokens.shape = {tokens.shape[0], tokens.shape[2], 1, 1};
  tokens.strides = {tokens.strides[0], 1, 0, 0};
  return tokens;
}

View lse_of(const Tensor& lse, const Batch& whole) {
  return lse.reshape({whole.batch_size, whole.seq_length,
                      lse.num_elements() / (std::int64_t{whole.batch_size} * whole.seq_length)});
}

}  // namespace

void UlyssesAttention::forward(const Inputs& inputs,
                               const Batch& batch,
                               const Outputs& outputs) const {
  Backend& backend = inputs.q.backend();
  const Batch& whole = whole_of(batch);
  const std::array<View, 3> given = {inputs.q, inputs.k, inputs.v};
  const std::vector<Tensor> heads = to_heads(given, batch, backend);
  const std::array<Tensor, 1> out = {
      Tensor::empty(backend, {heads[0].dim(0), heads[0].dim(1), heads[2].dim(2)}, heads[0].dtype(),
                    MemoryKind::workspace)};
  backend.ops().attention_forward(backend.context(), as_sequences(heads[0], whole),
                                  as_sequences(heads[1], whole), as_sequences(heads[2], whole),
                                  first_keys(whole, rule_.window), rule_.options,
                                  as_sequences(out[0], whole), lse_of(outputs.lse, whole));
  to_tokens(out, std::array<View, 1>{outputs.out}, batch);
}

void UlyssesAttention::backward(const View& d_out,
                                const Inputs& inputs,
                                const Outputs& outputs,
                                const Batch& batch,
                                const Gradients& gradients) const {
  Backend& backend = inputs.q.backend();
  const Batch& whole = whole_of(batch);
  std::vector<Tensor> of_heads;  // dq, dk, dv
  {
    const std::array<View, 5> given = {inputs.q, inputs.k, inputs.v, outputs.out, d_out};
    const std::vector<Tensor> heads = to_heads(given, batch, backend);
    for (std::size_t i = 0; i < 3; ++i) {
      of_heads.push_back(Tensor::empty(backend, {heads[i].dim(0), heads[i].dim(1), heads[i].dim(2)},
                                       heads[i].dtype(), MemoryKind::workspace));
    }
    const auto sequences = [&](const Tensor& rows) { return as_sequences(rows, whole); };
    backend.ops().attention_backward(
        backend.context(), sequences(heads[4]), sequences(heads[0]), sequences(heads[1]),
        sequences(heads[2]), first_keys(whole, rule_.window), sequences(heads[3]),
        lse_of(outputs.lse, whole), rule_.options, sequences(of_heads[0]), sequences(of_heads[1]),
        sequences(of_heads[2]));
  }
  to_tokens(of_heads, std::array<View, 3>{gradients.dq, gradients.dk, gradients.dv}, batch);
}

UlyssesAttention::Message UlyssesAttention::message_of(std::span<const View> tokens) const {
  Message message;
  for (const View& each : tokens) {
    const std::int64_t heads = std::max<std::int64_t>(1, each.shape[1] / group_.size());
    message.columns.push_back({.begin = message.width, .heads = heads, .dims = each.shape[2]});
    message.width += heads * each.shape[2];
  }
  return message;
}

View UlyssesAttention::heads_at(const Tensor& rows,
                                std::int64_t first,
                                std::int64_t count,
                                const Columns& columns) {
  const std::int64_t end = columns.begin + columns.heads * columns.dims;
  return as_heads(rows.slice(0, first, first + count).slice(1, columns.begin, end), columns.dims);
}

Tensor UlyssesAttention::swap(const Tensor& rows) const {
  Tensor received = Tensor::empty(rows.backend(), {rows.dim(0), rows.dim(1)}, rows.dtype(),
                                  MemoryKind::workspace);
  const std::vector<std::int64_t> each(static_cast<std::size_t>(group_.size()),
                                       rows.dim(0) / group_.size());
  group_.ranks()->all_to_all(rows, each, received, each);
  return received;
}

std::vector<Tensor> UlyssesAttention::to_heads(std::span<const View> tokens,
                                               const Batch& batch,
                                               Backend& backend) const {
  const std::int64_t ranks = group_.size();
  const std::int64_t own = tokens[0].shape[0];
  const DType dtype = tokens[0].dtype;
  const Message message = message_of(tokens);
  const Tensor sent =
      Tensor::empty(backend, {ranks * own, message.width}, dtype, MemoryKind::workspace);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Columns& columns = message.columns[i];
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      backend.ops().copy(backend.context(),
                         some_heads(tokens[i], rank * tokens[i].shape[1] / ranks, columns.heads),
                         heads_at(sent, rank * own, own, columns));
    }
  }
  const Tensor received = swap(sent);
  std::vector<Tensor> heads;
  for (const Columns& columns : message.columns) {
    heads.push_back(Tensor::empty(backend, {ranks * own, columns.heads, columns.dims}, dtype,
                                  MemoryKind::workspace));
    for_each_run(batch, [&](std::int64_t first, std::int64_t row, std::int64_t count) {
      backend.ops().copy(backend.context(), heads_at(received, row, count, columns),
                         heads.back().slice(0, first, first + count));
    });
  }
  return heads;
}

void UlyssesAttention::to_tokens(std::span<const Tensor> heads,
                                 std::span<const View> tokens,
                                 const Batch& batch) const {
  Backend& backend = heads[0].backend();
  const std::int64_t ranks = group_.size();
  const std::int64_t own = tokens[0].shape[0];
  const Message message = message_of(tokens);
  const Tensor sent =
      Tensor::empty(backend, {ranks * own, message.width}, heads[0].dtype(), MemoryKind::workspace);
  for (std::size_t i = 0; i < heads.size(); ++i) {
    for_each_run(batch, [&](std::int64_t first, std::int64_t row, std::int64_t count) {
      backend.ops().copy(backend.context(), heads[i].slice(0, first, first + count),
                         heads_at(sent, row, count, message.columns[i]));
    });
  }
  const Tensor received = swap(sent);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Columns& columns = message.columns[i];
    const std::int64_t sharing = std::max<std::int64_t>(1, ranks / tokens[i].shape[1]);
    for (std::int64_t rank = 0; rank < ranks; rank += sharing) {
      View arrived = heads_at(received, rank * own, own, columns);
      const View to = some_heads(tokens[i], rank * tokens[i].shape[1] / ranks, columns.heads);
      if (sharing == 1) {
        backend.ops().copy(backend.context(), arrived, to);
        continue;
      }
      arrived.shape[1] = sharing;  // the same head, of each of these ranks
      arrived.strides[1] = own * message.width;
      backend.ops().sum_heads(backend.context(), arrived, one_head(to));
    }
  }
}

void UlyssesAttention::for_each_run(const Batch& batch, const VisitRun& visit) const {
  const std::int64_t own = std::int64_t{batch.batch_size} * batch.seq_length;
  for (int rank = 0; rank < group_.size(); ++rank) {
    group_.share(rank).for_each_run(batch.batch_size,
                                    std::int64_t{batch.seq_length} * group_.size(),
                                    [&](std::int64_t first, std::int64_t row, std::int64_t count) {
                                      visit(first, rank * own + row, count);
                                    });
  }
}

}  // namespace tera::nn
