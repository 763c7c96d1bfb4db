#include "core/nn/expert_exchange.h"

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

#include "core/comm/mesh_groups.h"

namespace tera::nn {
namespace {

Tensor workspace(const Tensor& like, std::int64_t rows) {
  return Tensor::empty(like.backend(), {rows, like.dim(1)}, like.dtype(), MemoryKind::workspace);
}

void copy(const Tensor& from, const Tensor& to) {
  if (from.num_elements() > 0) from.backend().ops().copy(from.backend().context(), from, to);
}

// [n, 1] i32
Tensor row_numbers(Backend& backend, const std::vector<std::int32_t>& rows) {
  const Tensor numbers =
      Tensor::empty(backend, {std::ssize(rows), 1}, DType::i32, MemoryKind::workspace);
  std::copy(rows.begin(), rows.end(), numbers.data<std::int32_t>());
  return numbers;
}

// Visits the rows that go to each expert rank: theirs, and where they stand packed.
template <class Visit>
void for_each_sent(const plan::ExchangeChunk& chunk, const Visit& visit) {
  std::int64_t first = 0;
  for (const plan::RowRange& range : chunk.sent) {
    visit(range, first);
    first += range.count;
  }
}

// Of the rows that arrive those that come through each tensor rank.
std::vector<Tensor> through(const plan::ExchangeChunk& chunk, const Tensor& arrived) {
  std::vector<Tensor> parts;
  std::int64_t first = 0;
  for (const std::int64_t count : chunk.of_tensor) {
    parts.push_back(arrived.slice(0, first, first + count));
    first += count;
  }
  return parts;
}

std::vector<std::int64_t> send_counts(const plan::ExchangeChunk& chunk) {
  std::vector<std::int64_t> counts;
  for (const plan::RowRange& range : chunk.sent)
    counts.push_back(range.count);
  return counts;
}

}  // namespace

ExpertExchange::Sending::Sending(Tensor sent, Tensor arrived, comm::Work work)
    : sent_(std::move(sent)),
      arrived_(std::move(arrived)),
      work_(std::make_unique<comm::Work>(std::move(work))) {}

ExpertExchange::Sending::~Sending() {
  if (work_ == nullptr) return;
  try {
    work_->wait();
  } catch (const std::exception&) {  // another failure is on its way to who asked for this
  }
}

Tensor ExpertExchange::Sending::wait() {
  std::exchange(work_, nullptr)->wait();
  return arrived_;
}

ExpertExchange::ExpertExchange(const ParamStore& store) {
  comm::MeshGroups* groups = store.parallel().groups;
  if (groups == nullptr) return;
  experts_ = &(*groups)[plan::Axis::expert];
  tensor_ = &(*groups)[plan::Axis::expert_tensor];
  block_ = {.expert_ranks = experts_->size(),
            .tensor_ranks = tensor_->size(),
            .expert_rank = experts_->rank(),
            .tensor_rank = tensor_->rank()};
}

Tensor ExpertExchange::gather_counts(const Tensor& offsets) const {
  Backend& backend = offsets.backend();
  const std::int64_t experts = offsets.num_elements() - 1;
  const auto* offset = offsets.data<const std::int64_t>();
  const Tensor own = Tensor::empty(backend, {1, experts}, DType::i64, MemoryKind::workspace);
  for (std::int64_t e = 0; e < experts; ++e)
    own.data<std::int64_t>()[e] = offset[e + 1] - offset[e];
  Tensor of_tensor = workspace(own, tensor_->size());
  tensor_->all_gather(own, of_tensor);
  Tensor all = workspace(own, block_.size());
  experts_->all_gather(of_tensor, all);
  return all;
}

ExpertExchange::Sending ExpertExchange::start(const Tensor& rows,
                                              const plan::ExchangeChunk& chunk) const {
  const Tensor arrived = workspace(rows, chunk.num_rows());
  const Tensor own = through(chunk, arrived)[static_cast<std::size_t>(tensor_->rank())];
  const Tensor sent = packed(rows, chunk);
  return {
      sent, arrived,
      experts_->start(comm::Operation::all_to_all(sent, send_counts(chunk), own, chunk.received))};
}

void ExpertExchange::finish(Sending sending,
                            const plan::ExchangeChunk& chunk,
                            const Tensor& to) const {
  const Tensor arrived = sending.wait();
  std::vector<Tensor> parts = through(chunk, arrived);
  for (int rank = 0; rank < tensor_->size(); ++rank) {
    Tensor& part = parts[static_cast<std::size_t>(rank)];
    if (tensor_->size() > 1 && part.dim(0) > 0) tensor_->broadcast(part, rank);
  }
  if (chunk.num_rows() == 0) return;
  Backend& backend = to.backend();
  backend.ops().moe_permute(backend.context(), arrived, row_numbers(backend, chunk.order), to);
}

ExpertExchange::Sending ExpertExchange::start_back(const Tensor& y,
                                                   const plan::ExchangeChunk& chunk,
                                                   const Tensor& rows) const {
  Backend& backend = y.backend();
  const Tensor parts = workspace(y, chunk.num_rows());
  if (chunk.num_rows() > 0) {
    backend.ops().moe_unpermute(backend.context(), y, row_numbers(backend, chunk.order), parts,
                                false);
  }
  const Tensor results = sum_parts(parts, chunk);
  const Tensor back = chunk.num_sent() == rows.dim(0) ? rows : workspace(y, chunk.num_sent());
  return {results, back,
          experts_->start(
              comm::Operation::all_to_all(results, chunk.received, back, send_counts(chunk)))};
}

void ExpertExchange::finish_back(Sending sending,
                                 const plan::ExchangeChunk& chunk,
                                 const Tensor& rows) const {
  const Tensor back = sending.wait();
  if (chunk.num_sent() == rows.dim(0)) return;  // in their place
  for_each_sent(chunk, [&](const plan::RowRange& range, std::int64_t first) {
    copy(back.slice(0, first, first + range.count),
         rows.slice(0, range.first, range.first + range.count));
  });
}

ExpertExchange::Sending ExpertExchange::start_gather(const Tensor& x) const {
  const Tensor gathered = workspace(x, x.dim(0) * experts_->size());
  return {x, gathered, experts_->start(comm::Operation::all_gather(x, gathered))};
}

Tensor ExpertExchange::finish_gather(Sending sending) const {
  const Tensor of_experts = sending.wait();
  if (tensor_->size() == 1) return of_experts;
  Tensor gathered = workspace(of_experts, of_experts.dim(0) * tensor_->size());
  tensor_->all_gather(of_experts, gathered);
  return gathered;
}

ExpertExchange::Sending ExpertExchange::start_sum(const Tensor& parts) const {
  Tensor of_experts = parts;
  if (tensor_->size() > 1) {
    of_experts = workspace(parts, parts.dim(0) / tensor_->size());
    tensor_->reduce_scatter(parts, of_experts, comm::Reduce::sum);
  }
  const Tensor sum = workspace(parts, of_experts.dim(0) / experts_->size());
  return {of_experts, sum,
          experts_->start(comm::Operation::reduce_scatter(of_experts, sum, comm::Reduce::sum))};
}

// Rows in the order of expert ranks: all of them as they are, or those of a chunk side by side.
Tensor ExpertExchange::packed(const Tensor& rows, const plan::ExchangeChunk& chunk) const {
  if (chunk.num_sent() == rows.dim(0)) return rows;
  Tensor packed = workspace(rows, chunk.num_sent());
  for_each_sent(chunk, [&](const plan::RowRange& range, std::int64_t first) {
    copy(rows.slice(0, range.first, range.first + range.count),
         packed.slice(0, first, first + range.count));
  });
  return packed;
}

// What arrived through this rank, summed over the ranks that split the experts, each of which has
// rounded its part.
Tensor ExpertExchange::sum_parts(const Tensor& parts, const plan::ExchangeChunk& chunk) const {
  if (tensor_->size() == 1) return parts;
  const std::int64_t count = chunk.of_tensor[static_cast<std::size_t>(tensor_->rank())];
  const std::vector<std::int64_t> each(static_cast<std::size_t>(tensor_->size()), count);
  Tensor of_all = workspace(parts, count * tensor_->size());
  tensor_->all_to_all(parts, chunk.of_tensor, of_all, each);
  Tensor sum = workspace(parts, count);
  if (count == 0) return sum;
  Backend& backend = parts.backend();
  const Tensor numbers =
      Tensor::empty(backend, {count, tensor_->size()}, DType::i32, MemoryKind::workspace);
  auto* number = numbers.data<std::int32_t>();
  for (std::int64_t row = 0; row < count; ++row) {
    for (std::int64_t rank = 0; rank < tensor_->size(); ++rank)
      *number++ = static_cast<std::int32_t>(rank * count + row);
  }
  backend.ops().moe_unpermute(backend.context(), of_all, numbers, sum, false);
  return sum;
}

}  // namespace tera::nn
