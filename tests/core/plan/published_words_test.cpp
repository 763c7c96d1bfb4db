#include "core/plan/published_words.h"

#include <set>

#include <gtest/gtest.h>

#include "tests/core/plan/published_rows.h"

namespace tera::plan {
namespace {

// Words nobody uses mean nothing; those that are used without a line are refused by the table.
TEST(PublishedWords, EachOccursInTheShippedTable) {
  const PublishedTable table = read_published_table(published_text());
  const auto expect_used = [&table](const char* column, std::string PublishedRow::*member) {
    std::set<std::string> used;
    for (const PublishedRow& row : table.rows)
      used.insert(row.*member);
    EXPECT_FALSE(published_words(column).empty()) << column;
    for (const std::string_view word : published_words(column))
      EXPECT_EQ(used.count(std::string(word)), 1U) << column << ": " << word;
  };
  expect_used("precision", &PublishedRow::precision);
  expect_used("zero_distopt", &PublishedRow::zero);
  expect_used("recompute", &PublishedRow::recompute);
  expect_used("pp_schedule", &PublishedRow::schedule);
  expect_used("moe_layer_freq", &PublishedRow::moe_layer_freq);
  expect_used("gpu", &PublishedRow::gpu);
  expect_used("sequence_parallel", &PublishedRow::sequence_parallel);
  expect_used("head_dim", &PublishedRow::head_dim);
  EXPECT_TRUE(published_words("notes").empty());
}

TEST(PublishedWords, MeanWhatASpecCanSay) {
  EXPECT_EQ(precision_word("amp_bf16")->precision, spec::Precision::bf16);
  EXPECT_EQ(precision_word("nvfp4")->precision, spec::Precision::nvfp4);
  EXPECT_EQ(precision_word("fp8 blockwise")->precision, spec::Precision::fp8_block);
  EXPECT_FALSE(precision_word("").has_value());
  EXPECT_EQ(sharding_word("FSDP SHARD_GRAD_OP (ZeRO-2)")->zero_stage, 2);
  EXPECT_EQ(sharding_word("DDP + dist-optimizer")->zero_stage, 1);
  EXPECT_EQ(recompute_word("full")->size(), 1U);
  EXPECT_EQ(recompute_word("full, 5 layers")->size(), 2U);
  EXPECT_EQ(schedule_word("1F1B-I"), "interleaved");
  EXPECT_EQ(schedule_word("ZB-2p"), "zb-h2");
  EXPECT_EQ(dense_layers_word("first 3 dense"), 3);
  EXPECT_FALSE(dense_layers_word("often").has_value());
}

TEST(PublishedWords, MachinesAreTheSameButForTheirNetwork) {
  const auto vtrain = device_word("A100-80GB-SXM", "VTRAIN");
  const auto other = device_word("A100-80GB-SXM", "mine");
  ASSERT_TRUE(vtrain && other);
  EXPECT_EQ(vtrain->cluster, other->cluster);
  EXPECT_EQ(vtrain->network_bytes_per_s, 12.5e9);
  EXPECT_EQ(other->network_bytes_per_s, 0);
  const auto jean_zay = device_word("A100-80GB-SXM (JeanZay, 8/node)", "BLOOM");
  EXPECT_EQ(jean_zay->network_bytes_per_s, 135e9 / 8 / 8);
  EXPECT_TRUE(jean_zay->network_measured);
  EXPECT_FALSE(vtrain->network_measured);
  EXPECT_FALSE(device_word("A100-80GB-SXM (RoCE)", "ZB")->network_known);
  EXPECT_FALSE(device_word("abacus", "").has_value());
}

}  // namespace
}  // namespace tera::plan
