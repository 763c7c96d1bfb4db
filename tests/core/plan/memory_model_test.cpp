#include "core/plan/memory_model.h"

#include <functional>

#include <gtest/gtest.h>

#include "core/plan/estimate.h"
#include "core/plan/param_table.h"
#include "core/plan/stage_bytes.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

double kind(const StageMemory& stage, const char* label) {
  const Term* term = find_term(stage.memory, label);
  return term == nullptr ? -1 : term->value;
}

std::vector<StageMemory> memory_of(const spec::RunSpec& spec) {
  const auto e = estimate(spec);
  EXPECT_TRUE(e) << e.error().message;
  return e->stages;
}

void expect_engine_bytes(const spec::RunSpec& spec, const std::string& what) {
  const EngineBytes bytes = engine_bytes(spec);
  const StageMemory stage = memory_of(spec).front();
  EXPECT_EQ(kind(stage, "weights"), static_cast<double>(bytes.weights)) << what;
  EXPECT_EQ(kind(stage, "gradients"), static_cast<double>(bytes.gradients)) << what;
  EXPECT_EQ(kind(stage, "master") + kind(stage, "moments"), static_cast<double>(bytes.optimizer))
      << what;
  EXPECT_LE(stage.low_bytes, stage.bytes()) << what;
  EXPECT_EQ(stage.high_bytes, stage.bytes()) << what << ": no allocator, no router between ranks";
  EXPECT_EQ(kind(stage, "activations"), static_cast<double>(bytes.activations)) << what;
}

TEST(MemoryModel, OneRankEqualsTheEngineToTheByte) {
  const std::vector<std::pair<std::string, std::function<void(spec::RunSpec&)>>> variations = {
      {"as it is", [](spec::RunSpec&) {}},
      {"bf16", [](spec::RunSpec& s) { s.training.precision = spec::Precision::bf16; }},
      {"bf16 without masters",
       [](spec::RunSpec& s) { s.training.precision = spec::Precision::bf16_stochastic; }},
      {"fp16 with a mean",
       [](spec::RunSpec& s) {
         s.training.precision = spec::Precision::fp16;
         s.training.ema_decay = 0.99;
       }},
      {"muon", [](spec::RunSpec& s) { s.training.optimizer = spec::OptimizerKind::muon; }},
      {"adafactor",
       [](spec::RunSpec& s) { s.training.optimizer = spec::OptimizerKind::adafactor; }},
      {"bias", [](spec::RunSpec& s) { s.model.expert_bias_update_rate = 0.001; }},
      {"qk norm", [](spec::RunSpec& s) { s.model.qk_norm = spec::QkNormKind::full; }},
      {"sandwich",
       [](spec::RunSpec& s) { s.model.norm_placement = spec::NormPlacement::sandwich; }},
      {"pythia", [](spec::RunSpec& s) { s.model = model_config("pythia-160m"); }},
      {"tied", [](spec::RunSpec& s) { s.model.tie_embeddings = true; }},
      {"shared and dense",
       [](spec::RunSpec& s) {
         s.model.num_shared_experts = 2;
         s.model.num_dense_layers = 1;
         s.model.ffn_hidden_size = 320;
       }},
      {"multi-token prediction",
       [](spec::RunSpec& s) {
         s.model.num_mtp_layers = 2;
         s.model.tie_embeddings = true;
       }},
      {"latent",
       [](spec::RunSpec& s) {
         s.model.attention = spec::AttentionKind::latent;
         s.model.q_lora_rank = 48;
         s.model.kv_lora_rank = 32;
         s.model.qk_nope_head_dim = 24;
         s.model.qk_rope_head_dim = 8;
         s.model.v_head_dim = 20;
       }},
      {"selective", [](spec::RunSpec& s) { s.layout.recompute = spec::RecomputeKind::selective; }},
      {"micro-batches", [](spec::RunSpec& s) { s.layout.micro_batch_size = 2; }},
      {"gpipe",
       [](spec::RunSpec& s) {
         s.layout.micro_batch_size = 2;
         s.layout.schedule = spec::ScheduleKind::gpipe;
       }},
      {"data parallel",
       [](spec::RunSpec& s) {
         s.layout.data_parallel_size = 2;
         s.layout.micro_batch_size = 4;
       }},
      {"gpt2", [](spec::RunSpec& s) { s.model = model_config("gpt2-124m"); }}};
  for (const auto& [what, vary] : variations) {
    spec::RunSpec spec = run_spec("tiny-moe");
    vary(spec);
    expect_engine_bytes(spec, what);
  }
}

TEST(MemoryModel, BytesPerParameterOfMixedPrecision) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.training.precision = spec::Precision::bf16;
  const EngineBytes bytes = engine_bytes(spec);
  const std::int64_t n = 124439808;
  EXPECT_EQ(bytes.weights, 2 * n);
  EXPECT_EQ(bytes.gradients, 4 * n);
  EXPECT_EQ(bytes.optimizer, (2 + 8) * n);  // lower halves of the masters, moments
}

TEST(MemoryModel, ZeroShardsWhatItsStageSays) {
  spec::RunSpec spec = run_spec("olmoe-1b-7b");  // 256 replicas of dense parameters, 32 of experts
  spec.layout.micro_batch_size = spec.training.global_batch_size / spec.layout.data_parallel_size;
  spec.layout.zero_stage = 0;
  const StageMemory none = memory_of(spec).front();
  const char* kinds[] = {"moments", "gradients", "weights"};
  for (int stage = 1; stage <= 3; ++stage) {
    spec.layout.zero_stage = stage;
    const StageMemory sharded = memory_of(spec).front();
    for (int i = 0; i < 3; ++i) {
      const double ratio = kind(none, kinds[i]) / kind(sharded, kinds[i]);
      if (i < stage) {
        EXPECT_GE(ratio, 32) << stage << kinds[i];
        EXPECT_LE(ratio, 256) << stage << kinds[i];
      } else {
        EXPECT_EQ(ratio, 1) << stage << kinds[i];
      }
    }
  }
}

TEST(MemoryModel, EachCopyHoldsAllShards) {
  spec::RunSpec spec = run_spec("olmoe-1b-7b");
  spec.layout.zero_stage = 1;
  const double all = kind(memory_of(spec).front(), "moments");
  for (const int copies : {2, 4, 32}) {
    spec.layout.zero_replicas = copies;
    EXPECT_DOUBLE_EQ(kind(memory_of(spec).front(), "moments"), copies * all);
  }
}

// Whole until the last micro-batch. The engine has the shards of the layer that is exchanged beside
// them, and what buckets are padded by. Of one micro-batch each rank keeps its half, and two layers
// whole.
TEST(MemoryModel, GradientsAreWholeOverMicroBatchesUnderEachStageOfZero) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.layout.data_parallel_size = 2;
  for (const int stage : {2, 3}) {
    spec.layout.zero_stage = stage;
    spec.layout.micro_batch_size = spec.training.global_batch_size / 4;
    const StageMemory two = memory_of(spec).front();
    const double whole = kind(two, "gradients");
    EXPECT_EQ(whole, 4 * static_cast<double>(count_params(spec.model).total));
    const auto engine = static_cast<double>(engine_bytes(spec).gradients);
    EXPECT_GE(engine, whole);
    EXPECT_LE(engine, whole + whole / spec.model.num_layers / 2);
    spec.layout.micro_batch_size *= 2;
    const StageMemory one = memory_of(spec).front();
    EXPECT_EQ(kind(one, "gradients"), whole / 2);
  }
}

// From the loss on a shared embedding is whole. Beside it the plan has shards of all parts, the
// engine of those that are done: at most a layer and all shards less.
TEST(MemoryModel, GradientsOfOneMicroBatchAreWholeForPartsThatRun) {
  for (const char* preset : {"gpt2-124m", "tiny-moe"}) {
    spec::RunSpec spec = run_spec(preset);
    spec.layout.data_parallel_size = 8;
    spec.layout.zero_stage = 2;
    spec.training.global_batch_size = 8;
    spec.layout.micro_batch_size = 1;
    const StageMemory memory = memory_of(spec).front();
    const double shards = kind(memory, "gradients");
    const double planned = shards + kind(memory, "gathered layers");
    const auto engine = static_cast<double>(engine_bytes(spec).gradients);
    EXPECT_GE(planned, engine) << preset;
    EXPECT_LE(planned, engine + shards + 8 * shards / spec.model.num_layers) << preset;
  }
}

// Experts that one rank alone holds are not shared out: nothing of them is gathered, or given up.
TEST(MemoryModel, WhatHasOneReplicaIsNotGathered) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.layout.data_parallel_size = spec.layout.expert_parallel_size = 4;
  spec.layout.zero_stage = 3;
  spec.training.global_batch_size = 4;
  spec.layout.micro_batch_size = 1;
  const StageMemory memory = memory_of(spec).front();
  const double planned =
      kind(memory, "weights") + kind(memory, "gradients") + kind(memory, "gathered layers");
  const EngineBytes engine = engine_bytes(spec);
  const auto needed = static_cast<double>(engine.weights + engine.gradients);
  const double experts = kind(memory, "weights") / spec.model.num_layers;  // most of a layer
  EXPECT_GE(planned, needed);
  EXPECT_LT(planned, needed + experts);
}

// The buffers of Newton-Schulz come after the passes: they count where they are the larger part.
TEST(MemoryModel, WorkspaceHoldsTheUpdateOfMuon) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  const double passes = kind(memory_of(spec).front(), "workspace");
  spec.training.optimizer = spec::OptimizerKind::muon;
  EXPECT_EQ(kind(memory_of(spec).front(), "workspace"), passes) << "many tokens";
  spec.training.seq_length = 64;
  spec.layout.micro_batch_size = 1;
  const StageMemory few_tokens = memory_of(spec).front();
  EXPECT_EQ(kind(few_tokens, "workspace/update of the largest tensor"),
            4.0 * (2 * 3072 * 768 + 2 * 768 * 768));
  EXPECT_EQ(kind(few_tokens, "workspace"), 4.0 * (2 * 3072 * 768 + 2 * 768 * 768));
}

// The numbers that a search compares are those of the tree, to the last bit.
TEST(StageBytes, AreTheTermsOfTheTree) {
  for (const char* preset : {"moe-1t", "deepseek-v3", "gpt2-124m"}) {
    for (const int zero_stage : {0, 1, 2, 3}) {
      spec::RunSpec spec = run_spec(preset);
      spec.layout.zero_stage = zero_stage;
      spec.software.framework = static_cast<spec::Framework>(zero_stage);
      const RankMesh mesh = *RankMesh::make(spec.layout);
      const PipelineSchedule schedule = make_schedule(spec);
      const ActivationBytes bytes = activation_bytes(spec);
      const ModelGroups model = model_groups(spec, mesh);
      for (const StageMemory& stage : plan_memory(spec, mesh, schedule)) {
        const StageParts parts = stage_parts(spec, stage.stage);
        const HeldLayers held = held_at_peak(
            spec, bytes, stage.stage, schedule.stages[static_cast<std::size_t>(stage.stage)]);
        const StageBytes sum = stage_bytes(spec, bytes, parts, stage_groups(model, parts), held);
        EXPECT_EQ(sum.total(), stage.bytes()) << preset << " stage " << stage.stage;
        EXPECT_EQ(sum.moments, kind(stage, "moments"));
        EXPECT_EQ(sum.fragmentation, kind(stage, "fragmentation"));
        EXPECT_EQ(sum.activations, kind(stage, "activations"));
        EXPECT_EQ(sum.workspace, kind(stage, "workspace"));
      }
    }
  }
}

TEST(MemoryModel, FallsWithEveryAxisAndWithRecompute) {
  const spec::RunSpec base = run_spec("moe-1t");
  const auto worst = [](const spec::RunSpec& spec) { return estimate(spec)->worst_bytes; };
  const double before = worst(base);
  const std::vector<std::function<void(spec::RunSpec&)>> savings = {
      [](spec::RunSpec& s) { s.layout.expert_parallel_size *= 2; },
      [](spec::RunSpec& s) { s.layout.recompute = spec::RecomputeKind::selective; },
      [](spec::RunSpec& s) { s.layout.recompute = spec::RecomputeKind::full; },
      [](spec::RunSpec& s) {
        s.layout.tensor_parallel_size *= 2;
        s.layout.data_parallel_size /= 2;
      }};
  for (std::size_t i = 0; i < savings.size(); ++i) {
    spec::RunSpec spec = base;
    savings[i](spec);
    EXPECT_LT(worst(spec), before) << i;
  }
}

TEST(MemoryModel, SelectiveRecomputeNeverTakesMoreThanNone) {
  for (const char* preset : {"moe-1t", "deepseek-v3", "mixtral-8x7b", "qwen3-235b-a22b"}) {
    for (const spec::Framework framework :
         {spec::Framework::teragpt, spec::Framework::megatron_lm, spec::Framework::deepspeed,
          spec::Framework::torchtitan}) {
      for (const bool fused : {true, false}) {
        if (framework == spec::Framework::teragpt && !fused) continue;
        spec::RunSpec spec = run_spec(preset);
        spec.software.framework = framework;
        spec.software.fused_attention = fused;
        const auto worst = [&spec](spec::RecomputeKind kind) {
          spec.layout.recompute = kind;
          return estimate(spec)->worst_bytes;
        };
        const double none = worst(spec::RecomputeKind::none);
        const double selective = worst(spec::RecomputeKind::selective);
        EXPECT_LE(selective, none) << preset << " " << enum_name(framework);
        EXPECT_LT(worst(spec::RecomputeKind::full), selective) << preset;
      }
    }
  }
}

TEST(MemoryModel, LaterStagesHoldFewerMicroBatches) {
  const std::vector<StageMemory> stages = memory_of(run_spec("moe-1t"));
  ASSERT_EQ(stages.size(), 32U);
  EXPECT_NEAR(kind(stages[0], "activations") / kind(stages[16], "activations"), 2,
              1e-9);  // 32 : 16
}

TEST(MemoryModel, SchedulesHoldWhatTheyHold) {
  spec::RunSpec spec = run_spec("moe-1t");
  spec.model.num_layers = 64;  // one per chunk
  const auto activations = [&spec](spec::ScheduleKind schedule, int chunks, std::size_t stage) {
    spec.layout.schedule = schedule;
    spec.layout.virtual_stages = chunks;
    return kind(memory_of(spec)[stage], "activations");
  };
  const double one = activations(spec::ScheduleKind::one_f_one_b, 1, 0);
  // Stage 0 of the interleaved schedule: 1 + (p - 1) / (p v) as much (Narayanan et al. 2021).
  EXPECT_NEAR(activations(spec::ScheduleKind::interleaved, 2, 0) / one, 1 + 31.0 / 64, 1e-9);
  // Zero bubble H1: the first stage as 1f1b, the last as many micro-batches, most of them waiting.
  EXPECT_NEAR(activations(spec::ScheduleKind::zb_h1, 1, 0) / one, 1, 0.2);
  EXPECT_GT(activations(spec::ScheduleKind::zb_h1, 1, 31),
            25 * activations(spec::ScheduleKind::one_f_one_b, 1, 31) / 2);
  const StageMemory last = memory_of([&] {
                             spec.layout.schedule = spec::ScheduleKind::zb_h1;
                             spec.layout.virtual_stages = 1;
                             return spec;
                           }())
                               .back();
  EXPECT_GT(find_term(last.memory, "activations/waiting for weight gradients")->value, 0);
}

TEST(MemoryModel, PairsHaveRowsOfTwoMicroBatchesOnTheirWay) {
  spec::RunSpec spec = run_spec("olmoe-1b-7b");
  spec.layout.recompute = spec::RecomputeKind::full;
  ASSERT_GT(spec.num_micro_batches(), 1);
  ASSERT_GT(spec.layout.expert_parallel_size, 1);
  const StageMemory alone = memory_of(spec).front();
  spec.software.expert_overlap = true;
  const StageMemory in_pairs = memory_of(spec).front();
  EXPECT_EQ(kind(in_pairs, "dispatch"), 2 * kind(alone, "dispatch"));
  const auto recomputed = [](const StageMemory& stage) {
    return find_term(stage.memory, "workspace/recomputed layer")->value;
  };
  EXPECT_EQ(recomputed(in_pairs), 2 * recomputed(alone));
}

TEST(MemoryModel, TheRangeHoldsThePlanAndGrowsWithExpertParallelRanks) {
  for (const char* preset : {"moe-1t", "deepseek-v3", "mixtral-8x7b", "gpt2-124m"}) {
    for (const spec::Framework framework :
         {spec::Framework::teragpt, spec::Framework::megatron_lm, spec::Framework::deepspeed,
          spec::Framework::torchtitan}) {
      spec::RunSpec spec = run_spec(preset);
      spec.software.framework = framework;
      for (const StageMemory& stage : memory_of(spec)) {
        EXPECT_LE(stage.low_bytes, stage.bytes()) << preset;
        EXPECT_GE(stage.high_bytes, stage.bytes()) << preset;
      }
    }
  }
  spec::RunSpec spec = run_spec("olmoe-1b-7b");
  spec.layout.expert_load_percentile = 0;
  const double even = kind(memory_of(spec).front(), "dispatch");
  spec.layout.expert_load_percentile = 90;
  EXPECT_GT(kind(memory_of(spec).front(), "dispatch"), even);
}

TEST(MemoryModel, AVKeepsBothEndsOnTheFirstStage) {
  spec::RunSpec spec = run_spec("mixtral-8x7b");  // 4 stages
  spec.layout.schedule = spec::ScheduleKind::zb_v;
  spec.layout.virtual_stages = 2;
  spec.model.tie_embeddings = true;  // one matrix on one stage: no copy
  const std::vector<StageMemory> stages = memory_of(spec);
  EXPECT_NE(find_term(stages[0].memory, "weights/embedding"), nullptr);
  EXPECT_GT(kind(stages[0], "logits"), 0);
  EXPECT_EQ(find_term(stages[3].memory, "weights/embedding"), nullptr);
  EXPECT_EQ(kind(stages[3], "logits"), 0);
}

}  // namespace
}  // namespace tera::plan
