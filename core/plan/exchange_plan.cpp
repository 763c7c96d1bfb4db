#include "core/plan/exchange_plan.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace tera::plan {

std::int64_t ExchangeChunk::num_sent() const {
  std::int64_t rows = 0;
  for (const RowRange& range : sent)
    rows += range.count;
  return rows;
}

ExchangePlan::ExchangePlan(ExpertBlock block,
                           std::vector<std::int64_t> counts,
                           std::int64_t num_experts,
                           std::int64_t buffer_rows)
    : block_(block),
      counts_(std::move(counts)),
      starts_(counts_.size()),
      num_experts_(num_experts),
      per_rank_(num_experts / block.expert_ranks),
      buffer_rows_(buffer_rows) {
  TERA_CHECK(num_experts % block.expert_ranks == 0, "{} experts over {} ranks", num_experts,
             block.expert_ranks);
  TERA_CHECK(std::ssize(counts_) == block.size() * num_experts, "{} counts of {} experts, {} ranks",
             counts_.size(), num_experts, block.size());
  TERA_CHECK(buffer_rows > 0, "buffers of {} rows", buffer_rows);
  std::int64_t busiest = 0;
  for (std::int64_t first = 0; first < num_experts; first += per_rank_) {
    std::int64_t row = 0;
    for (std::int64_t expert = first; expert < first + per_rank_; ++expert) {
      for (int source = 0; source < block.size(); ++source) {
        starts_[at(source, expert)] = row;
        row += counts_[at(source, expert)];
      }
    }
    busiest = std::max(busiest, row);
  }
  num_chunks_ = static_cast<int>(std::max<std::int64_t>(1, (busiest - 1) / buffer_rows + 1));
}

ExchangePlan::Span ExchangePlan::span(int source, std::int64_t expert, int chunk) const {
  const std::int64_t begin = starts_[at(source, expert)];
  const std::int64_t end = begin + counts_[at(source, expert)];
  const std::int64_t first = chunk * buffer_rows_;
  return {std::clamp(begin, first, first + buffer_rows_),
          std::clamp(end, first, first + buffer_rows_)};
}

// This rank's rows in front of those that the chunk sends to an expert rank.
std::int64_t ExchangePlan::before(std::int64_t expert_rank, int chunk) const {
  const int self = block_.source();
  std::int64_t rows = 0;
  for (std::int64_t expert = 0; expert < (expert_rank + 1) * per_rank_; ++expert) {
    const std::int64_t count = counts_[at(self, expert)];
    const bool earlier_rank = expert < expert_rank * per_rank_;
    rows += earlier_rank ? count
                         : std::clamp<std::int64_t>(
                               chunk * buffer_rows_ - starts_[at(self, expert)], 0, count);
  }
  return rows;
}

SourceRows ExchangePlan::rows_here(int source) const {
  const std::int64_t first_expert = block_.expert_rank * per_rank_;
  SourceRows rows;
  for (std::int64_t expert = 0; expert < first_expert; ++expert)
    rows.first += counts_[at(source, expert)];
  for (std::int64_t expert = first_expert; expert < first_expert + per_rank_; ++expert) {
    for (std::int64_t i = 0; i < counts_[at(source, expert)]; ++i)
      rows.places.push_back(starts_[at(source, expert)] + i);
  }
  return rows;
}

ExchangeChunk ExchangePlan::chunk(int index) const {
  ExchangeChunk chunk;
  chunk.buffer_rows = buffer_rows_;
  for (std::int64_t rank = 0; rank < block_.expert_ranks; ++rank) {
    RowRange range{before(rank, index), 0};
    for (std::int64_t expert = rank * per_rank_; expert < (rank + 1) * per_rank_; ++expert) {
      const Span rows = span(block_.source(), expert, index);
      range.count += rows.end - rows.begin;
    }
    chunk.sent.push_back(range);
  }
  const std::int64_t first_expert = block_.expert_rank * per_rank_;
  const std::int64_t first_row = index * buffer_rows_;
  chunk.first_row = first_row;
  for (int tensor = 0; tensor < block_.tensor_ranks; ++tensor) {
    const std::size_t arrived = chunk.order.size();
    for (int rank = 0; rank < block_.expert_ranks; ++rank) {
      const std::size_t begin = chunk.order.size();
      for (std::int64_t expert = first_expert; expert < first_expert + per_rank_; ++expert) {
        const Span rows = span(rank * block_.tensor_ranks + tensor, expert, index);
        for (std::int64_t row = rows.begin; row < rows.end; ++row)
          chunk.order.push_back(static_cast<std::int32_t>(row - first_row));
      }
      if (tensor == block_.tensor_rank)
        chunk.received.push_back(static_cast<std::int64_t>(chunk.order.size() - begin));
    }
    chunk.of_tensor.push_back(static_cast<std::int64_t>(chunk.order.size() - arrived));
  }
  for (std::int64_t expert = first_expert; expert < first_expert + per_rank_; ++expert)
    chunk.offsets.push_back(span(0, expert, index).begin - first_row);
  chunk.offsets.push_back(static_cast<std::int64_t>(chunk.order.size()));
  return chunk;
}

}  // namespace tera::plan
