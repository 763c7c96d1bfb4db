// Who sends which rows to whom when ranks share out experts, from the counts of all of them: every
// rank works out the same, and no message but the counts is needed for it.
//
// The block of ranks that hold one set of experts: `expert_ranks` with E / expert_ranks experts
// each, of `tensor_ranks` that split each expert (those are neighbours). Source s = expert rank x
// tensor_ranks + tensor rank. The rows of an expert are ordered by source, then as the source has
// them, so sums do not depend on who came first.
//
// A rank computes its rows in chunks of at most `buffer_rows`: with an even load one, with the
// heaviest as many more. All ranks run as many chunks as the busiest, so no collective depends on
// the own load alone: imbalance costs time, and the buffers of one more chunk.
#pragma once
#include <cstdint>
#include <vector>

namespace tera::plan {

struct ExpertBlock {
  int expert_ranks = 1;
  int tensor_ranks = 1;
  int expert_rank = 0;  // of this rank
  int tensor_rank = 0;

  int size() const { return expert_ranks * tensor_ranks; }
  int source() const { return expert_rank * tensor_ranks + tensor_rank; }
};

// A run of rows.
struct RowRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// Of the rows of a source, in its order by expert, those for the experts of one rank.
struct SourceRows {
  std::int64_t first = 0;                 // of the source's rows
  std::vector<std::int64_t> places = {};  // of each among all rows of that rank

  // Of a row of the source; -1: of experts of another rank.
  std::int64_t place(std::int64_t row) const {
    const bool here = row >= first && row < first + std::ssize(places);
    return here ? places[static_cast<std::size_t>(row - first)] : -1;
  }
};

struct ExchangeChunk {
  std::vector<RowRange> sent;           // [expert_ranks] of this rank's rows, to each
  std::vector<std::int64_t> received;   // [expert_ranks] rows from each, of this tensor rank
  std::vector<std::int64_t> of_tensor;  // [tensor_ranks] rows that arrive through each
  // Rows arrive by tensor rank, expert rank, expert: where each stands in the order of experts.
  std::vector<std::int32_t> order;
  std::vector<std::int64_t> offsets;  // [E / expert_ranks + 1] of this rank's experts
  std::int64_t buffer_rows = 0;       // as of the plan
  std::int64_t first_row = 0;         // of the rows of this rank's experts

  std::int64_t num_rows() const { return offsets.back(); }
  std::int64_t num_sent() const;
};

class ExchangePlan {
 public:
  // counts [block.size(), E] rows of each source for each expert, in the source's order by expert;
  // expert_ranks divides E, buffer_rows >= 1.
  ExchangePlan(ExpertBlock block,
               std::vector<std::int64_t> counts,
               std::int64_t num_experts,
               std::int64_t buffer_rows);

  int num_chunks() const { return num_chunks_; }
  ExchangeChunk chunk(int index) const;
  SourceRows rows_here(int source) const;  // of this rank's experts

 private:
  // Rows of a source for an expert in a chunk: [begin, end) among the rows of the expert's rank.
  struct Span {
    std::int64_t begin;
    std::int64_t end;
  };
  Span span(int source, std::int64_t expert, int chunk) const;
  std::int64_t before(std::int64_t expert_rank, int chunk) const;

  std::size_t at(int source, std::int64_t expert) const {
    return static_cast<std::size_t>(source * num_experts_ + expert);
  }

  ExpertBlock block_;
  std::vector<std::int64_t> counts_;
  std::vector<std::int64_t> starts_;  // as counts: among the rows of the expert's rank
  std::int64_t num_experts_;
  std::int64_t per_rank_;  // experts
  std::int64_t buffer_rows_;
  int num_chunks_ = 1;
};

}  // namespace tera::plan
