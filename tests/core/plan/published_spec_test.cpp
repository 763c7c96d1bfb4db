#include "core/plan/published_spec.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/plan/estimate.h"
#include "core/plan/published_words.h"
#include "tests/core/plan/published_rows.h"

namespace tera::plan {
namespace {

using spec::RecomputeKind;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

PublishedSpecs specs_with(const std::map<std::string, std::string>& changes) {
  return published_specs(row_with(changes), published_presets());
}

TEST(PublishedSpec, ACompleteRowIsOneSpec) {
  const PublishedSpecs specs = specs_with({});
  EXPECT_THAT(specs.guessed, IsEmpty());
  ASSERT_EQ(specs.candidates.size(), 1U);
  const spec::RunSpec& spec = specs.candidates.front();
  EXPECT_EQ(spec.model.num_layers, 4);
  EXPECT_EQ(spec.model.ffn_hidden_size, 4096);
  EXPECT_EQ(spec.model.activation, spec::ActivationKind::gelu);
  EXPECT_TRUE(spec.model.tie_embeddings);
  EXPECT_EQ(spec.layout.tensor_parallel_size, 2);
  EXPECT_EQ(spec.layout.world_size(), 8);
  EXPECT_EQ(spec.layout.recompute, RecomputeKind::full);
  EXPECT_EQ(spec.training.precision, spec::Precision::fp16);
  EXPECT_EQ(spec.num_micro_batches(), 8);
  EXPECT_EQ(spec.cluster.num_nodes, 1);
  EXPECT_TRUE(estimate(spec));
}

TEST(PublishedSpec, UnknownCellsAreTriedOut) {
  const PublishedSpecs recompute = specs_with({{"recompute", ""}});
  EXPECT_THAT(recompute.guessed, ElementsAre("recompute"));
  EXPECT_EQ(recompute.candidates.size(), 3U);
  EXPECT_EQ(specs_with({{"recompute", "selective (AC fraction)"}}).candidates.size(), 2U);

  std::set<int> sizes;
  for (const spec::RunSpec& spec : specs_with({{"micro_batch", ""}}).candidates)
    sizes.insert(spec.layout.micro_batch_size);
  EXPECT_THAT(sizes, ElementsAre(1, 2, 4, 8));
  EXPECT_EQ(specs_with({{"sequence_parallel", ""}, {"zero_distopt", ""}}).candidates.size(), 4U);
  EXPECT_EQ(specs_with({{"sequence_parallel", ""}, {"TP", "1"}, {"DP", "4"}}).candidates.size(),
            1U);
}

TEST(PublishedSpec, WhatIsShardedWithinANodeHasACopyInEach) {
  const PublishedSpecs specs =
      specs_with({{"zero_distopt", "HSDP"}, {"num_gpus", "16"}, {"TP", "1"}, {"DP", "8"}});
  ASSERT_EQ(specs.candidates.size(), 1U);
  EXPECT_EQ(specs.candidates.front().layout.zero_stage, 3);
  EXPECT_EQ(specs.candidates.front().cluster.num_nodes, 2);
  EXPECT_EQ(specs.candidates.front().layout.zero_replicas, 1) << "a stage is a node";
  const PublishedSpecs whole = specs_with(
      {{"zero_distopt", "HSDP"}, {"num_gpus", "16"}, {"TP", "1"}, {"PP", "1"}, {"DP", "16"}});
  ASSERT_EQ(whole.candidates.size(), 1U);
  EXPECT_EQ(whole.candidates.front().layout.zero_replicas, 2);
}

// Not said in a row, but by the program that its group ran.
TEST(PublishedSpec, RecipesOfAGroupFillCells) {
  const PublishedSpecs nano =
      specs_with({{"group", "NANO"}, {"recompute", ""}, {"notes", "TP mode REDUCE_SCATTER"}});
  ASSERT_EQ(nano.candidates.size(), 1U);
  EXPECT_EQ(nano.candidates.front().layout.recompute, RecomputeKind::none);
  EXPECT_TRUE(nano.candidates.front().layout.sequence_parallel);
  EXPECT_THAT(nano.guessed, ElementsAre("recompute"));
  // 16 sequences of a replica: a micro-batch for each of 2 stages; interleaved, of 2 x 2.
  const auto micro_batch = [](const char* schedule) {
    const PublishedSpecs specs = specs_with(
        {{"group", "TITAN"}, {"micro_batch", ""}, {"VPP", ""}, {"pp_schedule", schedule}});
    EXPECT_EQ(specs.candidates.size(), 1U);
    return specs.candidates.front().layout.micro_batch_size;
  };
  EXPECT_EQ(micro_batch("1F1B"), 8);
  EXPECT_EQ(micro_batch("1F1B interleaved"), 4);
}

TEST(PublishedSpec, AProductOfTensorAndPipelineIsSplit) {
  const PublishedSpecs specs = specs_with({{"TP", ""}, {"PP", ""}});
  std::set<std::pair<int, int>> sizes;
  for (const spec::RunSpec& spec : specs.candidates)
    sizes.insert({spec.layout.tensor_parallel_size, spec.layout.pipeline_parallel_size});
  EXPECT_THAT(sizes, ElementsAre(std::pair(1, 4), std::pair(2, 2), std::pair(4, 1)));
  EXPECT_THAT(specs.guessed, ElementsAre("TP", "PP"));
}

TEST(PublishedSpec, WhatTheAuthorsConcludedIsAGuess) {
  EXPECT_THAT(specs_with({{"inferred_fields", "recompute;seq_len"}}).guessed,
              UnorderedElementsAre("recompute", "seq_len"));
  EXPECT_THAT(specs_with({{"inferred_fields", "step_time_s"}}).guessed, IsEmpty());
}

TEST(PublishedSpec, WithoutACellThereMayBeNoSpec) {
  EXPECT_THAT(specs_with({{"global_batch", ""}}).undetermined, ElementsAre("global_batch"));
  EXPECT_THAT(specs_with({{"layers", ""}, {"hidden", ""}}).undetermined,
              ElementsAre("layers", "hidden"));
  const PublishedSpecs unknown = specs_with({{"model", "Secret 3T"}});
  EXPECT_THAT(unknown.undetermined, ElementsAre("model"));
  EXPECT_THAT(unknown.candidates, IsEmpty());
}

TEST(PublishedSpec, WhatNoSpecCanSayIsNotReplaced) {
  EXPECT_EQ(specs_with({{"pp_schedule", "v-half"}}).not_modelled, "schedule v-half");
  EXPECT_EQ(specs_with({{"model", "Nemotron_3_Nano"}}).not_modelled, "state-space layers");
  EXPECT_EQ(specs_with({{"notes", "typo in source, do not use"}}).not_modelled,
            "its note says that the source contradicts itself");
}

TEST(PublishedSpec, WordsOfGptArePaddedAsMegatronDoes) {
  const auto words = [](const char* tensor, const char* data) {
    const PublishedSpecs specs = specs_with({{"vocab", ""}, {"TP", tensor}, {"DP", data}});
    EXPECT_THAT(specs.guessed, ElementsAre("vocab"));
    return specs.candidates.front().model.vocab_size;
  };
  EXPECT_EQ(words("1", "4"), 50304);  // 50,257 words, multiples of 128 x TP
  EXPECT_EQ(words("4", "1"), 50688);
}

TEST(PublishedSpec, FamiliesHaveTheirArchitecture) {
  const auto model = [](const char* name) {
    return specs_with({{"model", name}}).candidates.front().model;
  };
  EXPECT_EQ(model("Llama3.1 8B").activation, spec::ActivationKind::swiglu);
  EXPECT_EQ(model("Llama3.1 8B").norm, spec::NormKind::rms);
  EXPECT_EQ(model("Nemotron4 15B").activation, spec::ActivationKind::relu_squared);
  EXPECT_FALSE(model("Nemotron4 15B").tie_embeddings);
  EXPECT_EQ(model("MPT-7b").attention_bias, spec::AttentionBias::none);
  EXPECT_EQ(model("MPT-7b").position, spec::PositionKind::rotary);
  EXPECT_EQ(model("GPT 3B").position, spec::PositionKind::learned);
  EXPECT_FALSE(model("GPT 3B").parallel_residual);
  EXPECT_TRUE(model("GPT 175B (MegaScale)").parallel_residual);
}

TEST(PublishedSpec, ExpertsComeFromTheCells) {
  const PublishedSpecs specs = specs_with({{"model", "Qwen3 30B"},
                                           {"experts", "8"},
                                           {"topk", "2"},
                                           {"moe_ffn_hidden", "512"},
                                           {"shared_experts", "0"},
                                           {"moe_layer_freq", "first 1 dense"},
                                           {"EP", "4"}});
  ASSERT_EQ(specs.candidates.size(), 1U);
  const spec::RunSpec& spec = specs.candidates.front();
  EXPECT_EQ(spec.model.num_experts, 8);
  EXPECT_EQ(spec.model.num_dense_layers, 1);
  EXPECT_EQ(spec.layout.expert_parallel_size, 4);
  EXPECT_TRUE(spec.layout.sequence_parallel);
}

TEST(PublishedSpec, NetworksAreThoseOfTheGroup) {
  const auto network = [](const char* group) {
    return specs_with({{"group", group}}).candidates.front().cluster.inter_node.bytes_per_s;
  };
  EXPECT_EQ(network("VTRAIN"), 12.5e9);  // 800 Gb/s of a node over eight devices
  EXPECT_EQ(network("MPT"), 25e9);
}

TEST(PublishedSpec, OfAMeasuredNetworkAllIsReached) {
  const auto link = [](const char* gpu) {
    return specs_with({{"gpu", gpu}}).candidates.front().cluster.inter_node;
  };
  EXPECT_EQ(link("A100-80GB-SXM (JeanZay, 8/node)").efficiency, 1);
  EXPECT_LT(link("A100-80GB-SXM (400Gb/s)").efficiency, 1);
}

TEST(PublishedSpec, RacksAreCutToWhatDividesTheJob) {
  const spec::Cluster cluster =
      specs_with(
          {{"gpu", "GB200 (NVL72)"}, {"num_gpus", "256"}, {"DP", "64"}, {"global_batch", "256"}})
          .candidates.front()
          .cluster;
  EXPECT_EQ(cluster.devices_per_node, 64);
  EXPECT_EQ(cluster.num_nodes, 4);
}

TEST(PublishedSpec, EveryShippedRowIsUnderstood) {
  const PublishedTable table = read_published_table(published_text());
  int specs_made = 0;
  for (const PublishedRow& row : table.rows) {
    const PublishedSpecs specs = published_specs(row, published_presets());
    const bool explained = !specs.undetermined.empty() || !specs.not_modelled.empty();
    EXPECT_NE(specs.candidates.empty(), !explained) << row.id;
    EXPECT_LE(specs.candidates.size(), 200U) << row.id;
    if (specs.candidates.empty()) continue;
    ++specs_made;
    if (row.num_gpus) {
      EXPECT_EQ(specs.candidates.front().layout.world_size(), *row.num_gpus) << row.id;
    }
  }
  EXPECT_GE(specs_made, 400);
}

}  // namespace
}  // namespace tera::plan
