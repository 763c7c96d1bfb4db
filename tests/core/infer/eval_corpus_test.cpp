#include "core/infer/eval_corpus.h"

#include <cmath>
#include <filesystem>
#include <numbers>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/data/data_plan.h"
#include "tests/core/infer/test_models.h"
#include "tests/support/temp_dir.h"
#include "tests/support/toy_dataset.h"

namespace tera::infer {
namespace {

namespace fs = std::filesystem;
using test::byte_tokenizer;
using test::kNumTokens;
using test::RandomModel;
using testing::HasSubstr;

using Tokens = std::vector<std::int32_t>;

// Loss of the tokens from the second on, one by one from decode.
double loss_by_hand(RandomModel& random, const Tokens& tokens) {
  nn::KvCache cache = random.model->make_cache(static_cast<int>(tokens.size()));
  const Tensor logits = random.model->decode(tokens, cache);
  double loss = 0;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    const float* row = logits.data<float>() + static_cast<std::int64_t>(i) * logits.dim(1);
    double total = 0;
    for (std::int64_t v = 0; v < logits.dim(1); ++v)
      total += std::exp(double{row[v]});
    loss += std::log(total) - double{row[tokens[i + 1]]};
  }
  return loss;
}

// The valid split of a small dataset: two documents of 9 tokens, id 0 at the end of each.
class Corpus : public testing::Test {
 protected:
  void SetUp() override {
    tera::test::write_toy_dataset(
        prefix(), {.vocab_size = 64, .num_documents = 20, .tokens_per_document = 9});
    const data::Manifest manifest =
        data::Manifest::load(data::with_suffix(prefix(), ".tgd.json")).value();
    const data::IndexedDataset files = data::IndexedDataset::open(prefix(), &manifest).value();
    for (std::int64_t d = 18; d < 20; ++d) {
      Tokens& tokens = documents_.emplace_back(9);
      ASSERT_TRUE(files.read_tokens(files.sequence_start(d), tokens).has_value());
    }
  }
  fs::path prefix() const { return root_ / "toy"; }
  CorpusOptions options(int seq_length) const {
    return {.prefix = prefix().string(), .seq_length = seq_length};
  }

  const tera::test::TempDir dir_;
  const fs::path root_ = dir_.path();
  std::vector<Tokens> documents_;  // of the valid split
};

// f32 logits after two layers: 1e-5, 16 of them added.
constexpr double kTolerance = 2e-4;

TEST_F(Corpus, DocumentsArePredictedApart) {
  RandomModel random(false, DType::f32);
  const double both = loss_by_hand(random, documents_[0]) + loss_by_hand(random, documents_[1]);
  const Result<CorpusLoss> one_window = corpus_loss(*random.model, options(17));
  ASSERT_TRUE(one_window.has_value()) << one_window.error().message;
  EXPECT_EQ(one_window->tokens, 16) << "two documents of 9";
  EXPECT_NEAR(one_window->loss, both / 16, kTolerance);
  EXPECT_DOUBLE_EQ(one_window->perplexity, std::exp(one_window->loss));
  EXPECT_FALSE(one_window->bits_per_byte) << "no tokenizer";
  const Result<CorpusLoss> longer = corpus_loss(*random.model, options(60));
  EXPECT_EQ(longer->loss, one_window->loss);
}

// Windows of 4: the tokens of a window see only their own.
TEST_F(Corpus, WindowsCoverTheWholeSplit) {
  RandomModel random(false, DType::f32);
  Tokens all = documents_[0];
  all.insert(all.end(), documents_[1].begin(), documents_[1].end());
  CorpusOptions wide = options(4);
  wide.cross_document_attention = true;
  double expected = 0;
  for (std::size_t first = 0; first + 1 < all.size(); first += 4) {
    const std::size_t end = std::min(all.size(), first + 5);
    expected += loss_by_hand(random, Tokens(all.begin() + static_cast<std::ptrdiff_t>(first),
                                            all.begin() + static_cast<std::ptrdiff_t>(end)));
  }
  const Result<CorpusLoss> loss = corpus_loss(*random.model, wide);
  ASSERT_TRUE(loss.has_value());
  EXPECT_EQ(loss->tokens, 17) << "all but the first";
  EXPECT_NEAR(loss->loss, expected / 17, kTolerance);
  wide.limit = 2;
  EXPECT_EQ(corpus_loss(*random.model, wide)->tokens, 8);
}

TEST_F(Corpus, HasTheSameBitsOnAnyNumberOfThreads) {
  for (const bool moe : {false, true}) {
    RandomModel one(moe, DType::bf16, 1);
    RandomModel two(moe, DType::bf16, 2);
    EXPECT_EQ(corpus_loss(*one.model, options(7))->loss, corpus_loss(*two.model, options(7))->loss);
  }
}

TEST_F(Corpus, ProblemsAreNamed) {
  RandomModel random(false, DType::f32);
  const auto problem = [&](const CorpusOptions& wrong) {
    const Result<CorpusLoss> loss = corpus_loss(*random.model, wrong);
    return loss ? "none" : loss.error().message;
  };
  CorpusOptions wrong = options(4);
  wrong.split = "test";
  EXPECT_THAT(problem(wrong), HasSubstr("its test split has 0 tokens"));
  wrong.split = "nothing";
  EXPECT_THAT(problem(wrong), HasSubstr("no split 'nothing'"));
  wrong = options(81);
  EXPECT_THAT(problem(wrong), HasSubstr("windows of 81 tokens, expected 1 to 80"));
  wrong = options(4);
  const data::Tokenizer tokenizer = byte_tokenizer();
  wrong.tokenizer = &tokenizer;
  EXPECT_THAT(problem(wrong), HasSubstr("was made with another tokenizer"));
  wrong = options(4);
  wrong.prefix = (root_ / "none").string();
  EXPECT_THAT(problem(wrong), HasSubstr("none.tgd.json"));
  wrong = options(4);
  wrong.on_progress = [](auto, auto) { return false; };
  EXPECT_THAT(problem(wrong), HasSubstr("was stopped"));
}

TEST(SequenceLoss, IsThatOfTheIdsAndOfTheirBytes) {
  RandomModel random(false, DType::f32);
  const data::Tokenizer tokenizer = byte_tokenizer();
  const std::vector<Tokens> sequences = {{'a', 'b', 'c', 256}, {'x', 'y'}};
  const double nats = loss_by_hand(random, sequences[0]) + loss_by_hand(random, sequences[1]);
  std::vector<std::int64_t> rows;
  const Result<CorpusLoss> loss = sequence_loss(*random.model, sequences, &tokenizer,
                                                [&](const Tensor& logits) -> Result<void> {
                                                  rows.push_back(logits.dim(0));
                                                  return {};
                                                });
  ASSERT_TRUE(loss.has_value()) << loss.error().message;
  EXPECT_EQ(loss->tokens, 4);
  EXPECT_EQ(loss->bytes, 3) << "the end of a document stands for no text";
  EXPECT_NEAR(loss->loss, nats / 4, kTolerance);
  EXPECT_NEAR(loss->bits_per_byte.value(), nats / 3 / std::numbers::ln2, kTolerance);
  EXPECT_EQ(rows, (std::vector<std::int64_t>{4, 2}));
}

// Such a model sees a whole text at once: it has a loss, but no logits token by token.
TEST(SequenceLoss, ModelsOfExpertChoiceHaveALossAndNoLogits) {
  RandomModel random(true, DType::f32, 1, spec::RouterChoice::expert);
  const std::vector<Tokens> sequences = {{'a', 'b', 'c', 'd', 'e', 'f'}};
  const Result<CorpusLoss> loss = sequence_loss(*random.model, sequences, nullptr, {});
  ASSERT_TRUE(loss.has_value()) << loss.error().message;
  EXPECT_EQ(loss->tokens, 5);
  EXPECT_GT(loss->loss, 0);
  const Result<CorpusLoss> with_logits = sequence_loss(
      *random.model, sequences, nullptr, [](const Tensor&) -> Result<void> { return {}; });
  ASSERT_FALSE(with_logits.has_value());
  EXPECT_THAT(with_logits.error().message, HasSubstr("experts choose their tokens"));
}

TEST(SequenceLoss, WhatTheModelCannotReadIsNamed) {
  RandomModel random(false, DType::f32);
  const auto problem = [&](const std::vector<Tokens>& sequences) {
    const Result<CorpusLoss> loss = sequence_loss(*random.model, sequences, nullptr, {});
    return loss ? "none" : loss.error().message;
  };
  EXPECT_EQ(problem({}), "there are no sequences");
  EXPECT_EQ(problem({{1, 2}, {1}}), "sequence 2 has 1 tokens, expected 2 to 80");
  EXPECT_EQ(problem({Tokens(81, 1)}), "sequence 1 has 81 tokens, expected 2 to 80");
  EXPECT_EQ(problem({{1, 260}}), "sequence 1 holds token 260, expected 0 to 259");
  EXPECT_EQ(problem({{-1, 2}}), "sequence 1 holds token -1, expected 0 to 259");
}

}  // namespace
}  // namespace tera::infer
