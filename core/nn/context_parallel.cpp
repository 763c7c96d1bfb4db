#include "core/nn/context_parallel.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/comm/mesh_groups.h"

namespace tera::nn {

ContextShare::ContextShare(spec::ContextMethod method, int rank, int num_ranks)
    : num_ranks_(num_ranks) {
  if (num_ranks == 1) return;
  const bool zigzag = method == spec::ContextMethod::ring;
  num_pieces_ = zigzag ? 2 * num_ranks : num_ranks;
  own_pieces_ = {rank};
  if (zigzag) own_pieces_.push_back(num_pieces_ - 1 - rank);
}

std::vector<std::int64_t> ContextShare::pieces(std::int64_t length) const {
  TERA_CHECK(length % num_pieces_ == 0, "a sequence of {} tokens in {} equal pieces", length,
             num_pieces_);
  std::vector<std::int64_t> first;
  for (const int piece : own_pieces_)
    first.push_back(piece * piece_length(length));
  return first;
}

std::int64_t ContextShare::place(std::int64_t i, std::int64_t length) const {
  const std::int64_t of_piece = piece_length(length);
  return own_pieces_[static_cast<std::size_t>(i / of_piece)] * of_piece + i % of_piece;
}

std::int64_t ContextShare::count_before(std::int64_t place, std::int64_t length) const {
  const std::int64_t of_piece = piece_length(length);
  std::int64_t count = 0;
  for (const int piece : own_pieces_)
    count += std::clamp<std::int64_t>(place - piece * of_piece, 0, of_piece);
  return count;
}

Batch part_of(const std::shared_ptr<const Batch>& whole, const ContextShare& share) {
  if (share.num_ranks() == 1) return *whole;
  const std::int64_t length = whole->seq_length;
  const std::int64_t tokens = whole->batch_size * length / share.num_ranks();
  const auto part = [&](const Tensor& ids) {
    if (!ids.present()) return ids;
    Tensor own = Tensor::empty(ids.backend(), {tokens}, DType::i32, MemoryKind::workspace);
    share.for_each_run(
        whole->batch_size, length, [&](std::int64_t from, std::int64_t to, std::int64_t count) {
          std::copy_n(ids.data<const std::int32_t>() + from, count, own.data<std::int32_t>() + to);
        });
    return own;
  };
  const auto own_length = static_cast<int>(length / share.num_ranks());
  return {.batch_size = whole->batch_size,
          .seq_length = own_length,
          .tokens = part(whole->tokens),
          .targets = part(whole->targets),
          .positions = part(whole->positions),
          .first_key = part(whole->first_key).reshape({whole->batch_size, own_length}),
          .whole = whole};
}

const Batch& whole_of(const Batch& batch) {
  return batch.whole != nullptr ? *batch.whole : batch;
}

ContextGroup::ContextGroup(const ParamStore& store) {
  const Parallelism& parallel = store.parallel();
  if (parallel.groups == nullptr) return;
  comm::Communicator& ranks = (*parallel.groups)[plan::Axis::context];
  if (ranks.size() == 1) return;
  ranks_ = &ranks;
  method_ = parallel.context_method;
}

Tensor ContextGroup::gather(const Tensor& x, int num_sequences) const {
  if (ranks_ == nullptr) return x;
  const std::int64_t own_rows = x.dim(0);
  const std::int64_t rows = own_rows * size();
  const std::int64_t row_bytes = x.dim(1) * dtype_bytes(x.dtype());
  Tensor by_rank = Tensor::empty(x.backend(), {rows, x.dim(1)}, x.dtype(), MemoryKind::workspace);
  ranks_->all_gather(x, by_rank);
  Tensor all = Tensor::empty(x.backend(), {rows, x.dim(1)}, x.dtype(), MemoryKind::workspace);
  for (int rank = 0; rank < size(); ++rank) {
    const auto copy = [&](std::int64_t to, std::int64_t from, std::int64_t count) {
      std::memcpy(all.data<std::byte>() + to * row_bytes,
                  by_rank.data<std::byte>() + (rank * own_rows + from) * row_bytes,
                  static_cast<std::size_t>(count * row_bytes));
    };
    share(rank).for_each_run(num_sequences, rows / num_sequences, copy);
  }
  return all;
}

}  // namespace tera::nn
