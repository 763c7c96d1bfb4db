// Rows of experts between ranks: every one arrives once, in the order of its expert.
#include "core/plan/exchange_plan.h"

#include <algorithm>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace tera::plan {
namespace {

// A row by where it is from: expert, source, place among the source's rows for that expert.
using Row = std::array<std::int64_t, 3>;

struct Block {
  int expert_ranks;
  int tensor_ranks;
  int num_experts;
  std::int64_t buffer_rows;
  std::vector<std::int64_t> counts;  // [sources, E]

  int size() const { return expert_ranks * tensor_ranks; }
  std::int64_t count(int source, int expert) const {
    return counts[static_cast<std::size_t>(source * num_experts + expert)];
  }
  ExchangePlan plan(int source) const {
    return {{expert_ranks, tensor_ranks, source / tensor_ranks, source % tensor_ranks},
            counts,
            num_experts,
            buffer_rows};
  }
  std::vector<Row> rows_of(int source) const {
    std::vector<Row> rows;
    for (int expert = 0; expert < num_experts; ++expert) {
      for (std::int64_t i = 0; i < count(source, expert); ++i)
        rows.push_back({expert, source, i});
    }
    return rows;
  }
  std::vector<Row> rows_at(int expert_rank) const {
    std::vector<Row> rows;
    const int each = num_experts / expert_ranks;
    for (int expert = expert_rank * each; expert < (expert_rank + 1) * each; ++expert) {
      for (int source = 0; source < size(); ++source) {
        for (std::int64_t i = 0; i < count(source, expert); ++i)
          rows.push_back({expert, source, i});
      }
    }
    return rows;
  }
};

// What a rank computes in a chunk when all send what their plans say.
std::vector<Row> exchanged(const Block& block, int to, int index) {
  const ExchangeChunk here = block.plan(to).chunk(index);
  std::vector<Row> arrived;
  for (int tensor = 0; tensor < block.tensor_ranks; ++tensor) {
    const std::size_t begin = arrived.size();
    for (int rank = 0; rank < block.expert_ranks; ++rank) {
      const int source = rank * block.tensor_ranks + tensor;
      const RowRange sent =
          block.plan(source).chunk(index).sent[static_cast<std::size_t>(to / block.tensor_ranks)];
      const std::vector<Row> rows = block.rows_of(source);
      arrived.insert(arrived.end(), rows.begin() + sent.first,
                     rows.begin() + sent.first + sent.count);
      if (tensor != to % block.tensor_ranks) continue;
      EXPECT_EQ(here.received[static_cast<std::size_t>(rank)], sent.count);
    }
    EXPECT_EQ(here.of_tensor[static_cast<std::size_t>(tensor)],
              static_cast<std::int64_t>(arrived.size() - begin));
  }
  std::vector<Row> ordered(arrived.size());
  EXPECT_EQ(here.order.size(), arrived.size());
  EXPECT_EQ(here.num_rows(), std::ssize(arrived));
  for (std::size_t i = 0; i < arrived.size(); ++i)
    ordered[static_cast<std::size_t>(here.order[i])] = arrived[i];
  return ordered;
}

// Of all rows of all sources those that a rank finds for its own experts, in their order.
std::vector<Row> found(const Block& block, int to) {
  const ExchangePlan plan = block.plan(to);
  std::vector<Row> ordered(block.rows_at(to / block.tensor_ranks).size());
  std::size_t num_found = 0;
  for (int source = 0; source < block.size(); ++source) {
    const SourceRows here = plan.rows_here(source);
    EXPECT_EQ(here.place(-1), -1) << "a choice that is not served";
    const std::vector<Row> rows = block.rows_of(source);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::int64_t place = here.place(static_cast<std::int64_t>(i));
      if (place < 0) continue;
      ordered.at(static_cast<std::size_t>(place)) = rows[i];
      ++num_found;
    }
  }
  EXPECT_EQ(num_found, ordered.size());
  return ordered;
}

void expect_all_arrive(const Block& block) {
  for (int rank = 0; rank < block.size(); ++rank) {
    const ExchangePlan plan = block.plan(rank);
    EXPECT_EQ(plan.num_chunks(), block.plan(0).num_chunks());
    std::vector<Row> all;
    for (int index = 0; index < plan.num_chunks(); ++index) {
      const std::vector<Row> rows = exchanged(block, rank, index);
      EXPECT_LE(std::ssize(rows), block.buffer_rows);
      const ExchangeChunk chunk = plan.chunk(index);
      EXPECT_EQ(chunk.first_row, index * block.buffer_rows);
      const int each = block.num_experts / block.expert_ranks;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto local =
            static_cast<std::size_t>(rows[i][0] - rank / block.tensor_ranks * std::int64_t{each});
        EXPECT_LE(chunk.offsets[local], static_cast<std::int64_t>(i));
        EXPECT_GT(chunk.offsets[local + 1], static_cast<std::int64_t>(i));
      }
      all.insert(all.end(), rows.begin(), rows.end());
    }
    EXPECT_EQ(all, block.rows_at(rank / block.tensor_ranks));
    EXPECT_EQ(all, found(block, rank));
  }
}

TEST(ExchangePlan, EveryRowArrivesOnceInTheOrderOfItsExpert) {
  std::mt19937 random(5);
  for (const auto& [experts, tensor] :
       {std::pair{1, 2}, std::pair{2, 1}, std::pair{2, 2}, std::pair{3, 1}, std::pair{4, 2}}) {
    for (const std::int64_t buffer : {1, 3, 7, 1000}) {
      Block block{experts, tensor, 2 * experts, buffer, {}};
      block.counts.resize(static_cast<std::size_t>(block.size() * block.num_experts));
      for (std::int64_t& count : block.counts)
        count = std::uniform_int_distribution<std::int64_t>(0, 3)(random);
      expect_all_arrive(block);
    }
  }
}

TEST(ExchangePlan, OneExpertMayTakeEverythingAndOthersNothing) {
  const Block block{2, 1, 4, 4, {0, 0, 9, 0, 0, 0, 2, 0}};
  EXPECT_EQ(block.plan(0).num_chunks(), 3);  // 11 rows, 4 at a time
  expect_all_arrive(block);
  expect_all_arrive({2, 1, 2, 4, {0, 0, 0, 0}});
}

TEST(ExchangePlan, AnEvenLoadIsOneChunk) {
  const Block block{2, 1, 2, 6, {3, 3, 3, 3}};
  EXPECT_EQ(block.plan(1).num_chunks(), 1);
  expect_all_arrive(block);
}

TEST(ExchangePlan, RefusesWhatCannotBe) {
  EXPECT_THROW((Block{2, 1, 3, 4, {1, 1, 1, 1, 1, 1}}.plan(0)), ContractError);
  EXPECT_THROW((Block{2, 1, 2, 4, {1, 1}}.plan(0)), ContractError);
  EXPECT_THROW((Block{1, 1, 2, 0, {1, 1}}.plan(0)), ContractError);
}

}  // namespace
}  // namespace tera::plan
