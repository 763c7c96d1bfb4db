#include "core/data/batch_loader.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/data/data_plan.h"
#include "tests/core/data/data_fixture.h"

namespace tera::data {
namespace {

using test::make_dataset;
using test::TempDir;
using testing::HasSubstr;

constexpr int kSeq = 16;

spec::RunSpec make_spec(const TempDir& dir) {
  std::vector<int> lengths;
  for (int i = 0; i < 300; ++i)
    lengths.push_back(1 + i * 37 % 90);
  make_dataset(dir / "a", lengths, 30);
  make_dataset(dir / "b", std::vector<int>(100, 33), 10);
  spec::RunSpec spec;
  spec.seed = 42;
  spec.model.vocab_size = 1000;
  spec.training.seq_length = kSeq;
  spec.training.global_batch_size = 8;
  spec.layout.micro_batch_size = 1;
  spec.data.datasets = {{(dir / "a").string(), "", 3}, {(dir / "b").string(), "", 1}};
  spec.data.blend_stages = {{1000, {1, 1}}};
  return spec;
}

std::unique_ptr<BatchLoader> open(const spec::RunSpec& spec,
                                  int rank = 0,
                                  std::int64_t step = 0,
                                  const std::string& chain = "") {
  Result<std::unique_ptr<BatchLoader>> loader = BatchLoader::open(spec, rank, step, chain);
  EXPECT_TRUE(loader) << loader.error().message;
  return std::move(loader).value();
}

std::string error_of(const spec::RunSpec& spec) {
  const Result<std::unique_ptr<BatchLoader>> loader = BatchLoader::open(spec, 0, 0, "");
  return loader ? "" : loader.error().message;
}

// What ranks see over some steps: the chain of each step and all tokens in the order of g.
struct Seen {
  std::vector<std::string> chains;
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> targets;
};

Seen run(spec::RunSpec spec, int dp, int mbs, int num_steps) {
  spec.layout.data_parallel_size = dp;
  spec.layout.micro_batch_size = mbs;
  std::vector<std::vector<StepBatches>> by_rank(static_cast<std::size_t>(dp));
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < dp; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto loader = open(spec, rank);
      for (int s = 0; s < num_steps; ++s) {
        by_rank[static_cast<std::size_t>(rank)].push_back(loader->next().value());
      }
    });
  }
  for (std::thread& rank : ranks)
    rank.join();
  Seen seen;
  for (std::size_t s = 0; s < static_cast<std::size_t>(num_steps); ++s) {
    std::int64_t targets = 0;
    for (std::size_t m = 0; m < by_rank[0][s].micro_batches.size(); ++m) {
      for (const auto& rank : by_rank) {
        EXPECT_EQ(rank[s].chain, by_rank[0][s].chain);
        const HostBatch& batch = rank[s].micro_batches[m];
        seen.tokens.insert(seen.tokens.end(), batch.tokens.begin(), batch.tokens.end());
        targets += batch.num_targets;
      }
    }
    EXPECT_EQ(targets, by_rank[0][s].global_targets);
    seen.chains.push_back(by_rank[0][s].chain);
    seen.targets.push_back(targets);
  }
  return seen;
}

TEST(BatchLoader, StepsDoNotDependOnTheNumberOfRanks) {
  const TempDir dir;
  const spec::RunSpec spec = make_spec(dir);
  constexpr int kSteps = 500;
  const Seen one = run(spec, 1, 1, kSteps);
  ASSERT_EQ(one.chains.size(), 500U);
  for (const auto& [dp, mbs] : {std::pair(2, 1), {4, 1}, {4, 2}, {1, 4}, {8, 1}}) {
    const Seen other = run(spec, dp, mbs, kSteps);
    EXPECT_EQ(other.chains, one.chains) << dp << " x " << mbs;
    EXPECT_EQ(other.tokens, one.tokens) << dp << " x " << mbs;
    EXPECT_EQ(other.targets, one.targets) << dp << " x " << mbs;
  }
}

TEST(BatchLoader, ResumesAtAnyStep) {
  const TempDir dir;
  const spec::RunSpec spec = make_spec(dir);
  const auto whole = open(spec);
  std::vector<StepBatches> steps;
  for (int s = 0; s < 200; ++s)
    steps.push_back(whole->next().value());
  for (const int at : {1, 2, 17, 124, 125, 126, 199}) {
    const auto i = static_cast<std::size_t>(at);
    const auto resumed = open(spec, 0, at, steps[i - 1].chain);
    const StepBatches step = resumed->next().value();
    EXPECT_EQ(step.chain, steps[i].chain) << at;
    EXPECT_EQ(step.micro_batches[7].tokens, steps[i].micro_batches[7].tokens) << at;
  }
}

TEST(BatchLoader, IsolatesDocuments) {
  const TempDir dir;
  make_dataset(dir / "d", {5, 1, 7, 40},
               0);  // one window of 16 sees documents of 5, 1, 7 and the rest
  spec::RunSpec spec;
  spec.model.vocab_size = 1000;
  spec.training.seq_length = 52;  // tokens 0..51 and the one after: the whole file
  spec.training.global_batch_size = 1;
  spec.data.datasets = {{(dir / "d").string(), "", 1}};
  const StepBatches step = open(spec)->next().value();
  const HostBatch& batch = step.micro_batches[0];
  const std::vector<int> starts = {0, 5, 6, 13};
  std::size_t d = 0;
  for (std::size_t i = 0; i < 52; ++i) {
    while (d + 1 < starts.size() && static_cast<int>(i) >= starts[d + 1])
      ++d;
    EXPECT_EQ(batch.first_key[i], starts[d]) << i;
    EXPECT_EQ(batch.positions[i], static_cast<int>(i) - starts[d]) << i;
    const bool last_of_document = i == 4 || i == 5 || i == 12;
    if (last_of_document) {
      EXPECT_EQ(batch.targets[i], -1) << i;
      EXPECT_EQ(batch.tokens[i], 0) << i;  // the end-of-document token was itself a target
      if (i != 5) {
        EXPECT_EQ(batch.targets[i - 1], 0) << i;
      }
    } else {
      EXPECT_EQ(batch.targets[i], i + 1 < 52 ? batch.tokens[i + 1] : 0) << i;
    }
  }
  EXPECT_EQ(batch.num_targets, 52 - 3);
  EXPECT_EQ(step.global_targets, 52 - 3);
  spec.data.cross_document_attention = true;
  const StepBatches plain = open(spec)->next().value();
  EXPECT_EQ(plain.micro_batches[0].num_targets, 52);
  EXPECT_EQ(plain.micro_batches[0].positions[51], 51);
  EXPECT_EQ(plain.micro_batches[0].first_key[51], 0);
  EXPECT_EQ(plain.chain, step.chain);  // the tokens are the same
}

TEST(BatchLoader, HeldOutTextIsTheSameForAnyNumberOfRanks) {
  const TempDir dir;
  const spec::RunSpec spec = make_spec(dir);
  const auto collect = [&](int dp, int mbs) {
    spec::RunSpec s = spec;
    s.layout.data_parallel_size = dp;
    s.layout.micro_batch_size = mbs;
    std::int64_t targets = 0;
    std::vector<std::int32_t> tokens;
    std::vector<std::vector<HostBatch>> ranks;
    for (int rank = 0; rank < dp; ++rank)
      ranks.push_back(open(s, rank)->held_out(21).value());
    for (std::size_t m = 0; m < ranks[0].size(); ++m) {
      for (const auto& rank : ranks) {
        EXPECT_EQ(rank.size(), ranks[0].size());
        EXPECT_EQ(rank[m].batch_size, mbs);
        targets += rank[m].num_targets;
        tokens.insert(tokens.end(), rank[m].tokens.begin(), rank[m].tokens.end());
      }
    }
    tokens.resize(21 * kSeq);  // what follows only fills the last micro-batch
    return std::pair(targets, tokens);
  };
  const auto one = collect(1, 1);
  EXPECT_EQ(collect(4, 1), one);
  EXPECT_EQ(collect(2, 4), one);
  EXPECT_GT(one.first, 0);
}

TEST(BatchLoader, HeldOutTextIsNeverTrainedOn) {
  const TempDir dir;
  make_dataset(dir / "d", std::vector<int>(20, 30), 5,
               60000);  // ids count up: every window is its own
  spec::RunSpec spec;
  spec.model.vocab_size = 60000;
  spec.training.seq_length = 10;
  spec.training.global_batch_size = 4;
  spec.data.datasets = {{(dir / "d").string(), "", 1}};
  const auto loader = open(spec);
  std::int32_t largest_trained = 0;
  for (int s = 0; s < 50; ++s) {
    const StepBatches step = loader->next().value();
    for (const HostBatch& batch : step.micro_batches) {
      largest_trained =
          std::max(largest_trained, *std::max_element(batch.tokens.begin(), batch.tokens.end()));
    }
  }
  const std::vector<HostBatch> held_out = loader->held_out(100).value();
  for (const HostBatch& batch : held_out) {
    for (const std::int32_t token : batch.tokens)
      EXPECT_TRUE(token == 0 || token > largest_trained);
  }
}

TEST(BatchLoader, MissingTokenFilesSayHowToMakeThem) {
  const TempDir dir;
  spec::RunSpec spec = make_spec(dir);
  spec.data.datasets[1].path = (dir / "none").string();
  const auto loader = BatchLoader::open(spec, 0, 0, "");
  ASSERT_FALSE(loader);
  EXPECT_EQ(loader.error().code, ErrorCode::not_found);
  EXPECT_THAT(loader.error().message, HasSubstr("none.tgd.json does not exist"));
  EXPECT_THAT(loader.error().hint, HasSubstr("teragpt data tokenize"));
}

TEST(BatchLoader, RefusesWhatDoesNotBelongTogether) {
  const TempDir dir;
  const spec::RunSpec good = make_spec(dir);
  EXPECT_EQ(error_of(good), "");
  const auto with = [&](auto change) {
    spec::RunSpec spec = good;
    change(spec);
    return error_of(spec);
  };
  EXPECT_THAT(with([](auto& s) { s.model.vocab_size = 999; }),
              HasSubstr("999 is smaller than the vocabulary"));
  EXPECT_THAT(with([](auto& s) { s.data.datasets[0].manifest = std::string(64, '0'); }),
              HasSubstr("the spec expects 0000"));
  EXPECT_THAT(with([](auto& s) { s.data.datasets[0].path += "x"; }), HasSubstr("ax.tgd.json"));
  EXPECT_THAT(with([](auto& s) { s.data.datasets.clear(); }), HasSubstr("got none"));
  EXPECT_THAT(with([](auto& s) { s.training.seq_length = 1 << 20; }),
              HasSubstr("expected at least 1048577"));
  EXPECT_THAT(
      with([](auto& s) { s.training.global_batch_size = 7, s.layout.micro_batch_size = 2; }),
      HasSubstr("7 is not a multiple"));
  EXPECT_THAT(with([](auto& s) { s.data.blend_stages[0].weights = {1}; }),
              HasSubstr("1 weights for 2"));
  EXPECT_FALSE(BatchLoader::open(good, 0, 0, "xyz"));
  EXPECT_FALSE(BatchLoader::open(good, 1, 0, ""));
}

TEST(BatchLoader, ReportsDamageFoundWhileTraining) {
  const TempDir dir;
  const spec::RunSpec spec = make_spec(dir);
  std::string bytes = test::read_all(dir / "b.bin");
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  test::write_all(dir / "b.bin", bytes);
  const auto loader = open(spec);
  Result<StepBatches> step = loader->next();
  for (int s = 0; s < 100 && step; ++s)
    step = loader->next();
  ASSERT_FALSE(step);
  EXPECT_THAT(step.error().message, HasSubstr("b.bin: block 0"));
  EXPECT_FALSE(loader->next());  // and stays so
}

TEST(BatchLoader, StopsWhileStepsAreWaiting) {
  const TempDir dir;
  const spec::RunSpec spec = make_spec(dir);
  for (int i = 0; i < 20; ++i)
    open(spec);  // destroyed at once, the queue full or not
}

TEST(BatchLoader, PlanHashIsOfEverythingTheOrderDependsOn) {
  const TempDir dir;
  const spec::RunSpec spec = make_spec(dir);
  const std::string hash = open(spec)->plan_hash();
  spec::RunSpec other = spec;
  other.layout.data_parallel_size = 2;
  EXPECT_EQ(open(other)->plan_hash(), hash);
  other.seed = 43;
  EXPECT_NE(open(other)->plan_hash(), hash);
  other = spec;
  other.data.datasets[1].weight = 2;
  EXPECT_NE(open(other)->plan_hash(), hash);
  other = spec;
  other.training.seq_length = 17;
  EXPECT_NE(open(other)->plan_hash(), hash);
}

TEST(HashChain, StartsAtZeroAndDependsOnEveryStep) {
  HashChain chain;
  EXPECT_EQ(chain.hex(), std::string(32, '0'));
  chain.advance("ab");
  const std::string first = chain.hex();
  EXPECT_EQ(HashChain::parse(first).value().hex(), first);
  chain.advance("cd");
  HashChain resumed = HashChain::parse(first).value();
  resumed.advance("cd");
  EXPECT_EQ(resumed.hex(), chain.hex());
  HashChain other;
  other.advance("abcd");
  EXPECT_NE(other.hex(), chain.hex());
  EXPECT_FALSE(HashChain::parse("12"));
}

}  // namespace
}  // namespace tera::data
