// What trains a run, what its states are kept in and where: which project has a word for which
// field, both ways, and what is said about settings that contradict each other.
#include <array>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/spec/interchange/interchange.h"
#include "core/spec/yaml.h"

namespace tera::spec {
namespace {

using testing::HasSubstr;

constexpr const char* kMegatron =
    "--num-layers 4 --hidden-size 256 --num-attention-heads 8 --seq-length 128 "
    "--max-position-embeddings 128 --vocab-size 1024 --micro-batch-size 1 --lr 1e-3 "
    "--train-iters 100 --nproc-per-node 4 --swiglu --disable-bias-linear "
    "--attention-dropout 0 --hidden-dropout 0 --global-batch-size 16 ";
constexpr const char* kExperts =
    "--num-experts 8 --moe-ffn-hidden-size 128 --moe-token-dispatcher-type alltoall "
    "--expert-model-parallel-size 2 ";
constexpr const char* kSharded = "--bf16 --use-distributed-optimizer ";
constexpr const char* kNeox =
    "num_layers: 4\nhidden_size: 256\nnum_attention_heads: 8\nseq_length: 128\n"
    "max_position_embeddings: 128\npadded_vocab_size: 1024\ntrain_iters: 100\n"
    "train_batch_size: 8\ntrain_micro_batch_size_per_gpu: 1\ngradient_accumulation_steps: 2\n"
    "optimizer: {type: Adam, params: {lr: 0.001}}\n";
constexpr const char* kTitan =
    "[model]\nname = \"llama3\"\nflavor = \"8B\"\n[parallelism]\n"
    "data_parallel_shard_degree = 8\n";
constexpr const char* kBatch =
    R"("train_batch_size": 8, "train_micro_batch_size_per_gpu": 1,
       "gradient_accumulation_steps": 2, "bf16": {"enabled": true})";

ImportedConfig read(ConfigFormat format, const std::string& text) {
  ImportOptions options;
  options.onto.model.ffn_hidden_size = 1024;
  return import_config(format, {{"file", text}}, options);
}

// Of one severity, "field: message (hint)".
std::string found(const ImportedConfig& imported, Severity severity = Severity::error) {
  std::string text;
  for (const ImportFinding& finding : imported.findings) {
    const Diagnostic& d = finding.diagnostic;
    if (d.severity == severity)
      text +=
          fmt::format("{}: {}{}\n", d.field, d.message, d.hint.empty() ? "" : " (" + d.hint + ")");
  }
  return text;
}

ImportedConfig megatron(const std::string& more) {
  return read(ConfigFormat::megatron, std::string(kMegatron) + more);
}
ImportedConfig deepspeed(const std::string& more) {
  return read(ConfigFormat::deepspeed, fmt::format("{{{}{}}}", kBatch, more));
}
ImportedConfig neox(const std::string& more) {
  return read(ConfigFormat::gpt_neox, kNeox + more);
}
ImportedConfig titan(const std::string& more) {
  return read(ConfigFormat::torchtitan, kTitan + more);
}

std::vector<std::string> left_out(const ImportedConfig& imported) {
  std::vector<std::string> names;
  for (const LeftOut& one : imported.left_out)
    names.push_back(one.name);
  return names;
}

// Runs in the words of each project of which nothing is lost, except a model that it does not name.
RunSpec start_of(ConfigFormat format) {
  switch (format) {
    case ConfigFormat::megatron:
      return megatron(std::string(kExperts) + kSharded).spec;
    case ConfigFormat::deepspeed:
      return deepspeed(R"(, "zero_optimization": {"stage": 3})").spec;
    case ConfigFormat::gpt_neox:
      return neox("precision: bfloat16\nzero_optimization: {stage: 3}\n").spec;
    default:
      return titan("[compile]\nenable = false\n").spec;
  }
}

// The fields that are lost when `settings`, "path=value path=value", are written and read.
std::vector<std::string> lost(ConfigFormat format, const std::string& settings) {
  RunSpec spec = start_of(format);
  std::istringstream items(settings);
  for (std::string item; items >> item;) {
    const auto equals = item.find('=');
    EXPECT_TRUE(set_field(spec, item.substr(0, equals), item.substr(equals + 1))) << item;
  }
  const Result<ExportedConfig> written = export_config(spec, format);
  EXPECT_TRUE(written) << settings << ": " << written.error().message;
  std::vector<std::string> names;
  if (!written) return names;
  for (const LeftOut& one : written->left_out)
    if (one.name != "model") names.push_back(one.name);
  return names;
}

struct Word {
  const char* settings;
  std::array<bool, 4> has;  // Megatron-LM, DeepSpeed, GPT-NeoX, TorchTitan
};

constexpr Word kWords[] = {
    {"software.fused_attention=false", {true, false, true, false}},
    {"software.fused_attention=true", {true, true, true, true}},
    {"software.fused_cross_entropy=false", {true, false, true, true}},
    {"software.fused_cross_entropy=true", {true, true, false, true}},
    {"software.dropout=true", {true, false, true, false}},
    {"software.compiled=true", {true, true, false, true}},
    {"software.compiled=false", {true, false, true, true}},
    {"software.compiled=false software.fused_attention=false", {true, false, true, false}},
    {"software.cuda_graphs=routing", {true, false, false, false}},
    {"software.cuda_graphs=layers", {true, false, false, false}},
    {"software.cuda_graphs=full", {true, false, false, false}},
    {"software.tensor_overlap=true software.compiled=true", {true, false, false, true}},
    {"software.gradient_overlap=true", {true, true, true, true}},
    {"software.gradient_overlap=false", {true, true, true, false}},
    {"software.token_deduplication=true", {true, false, false, false}},
    {"software.expert_overlap=true", {true, false, false, false}},
    {"software.fused_experts=true", {true, false, false, false}},
    {"software.attention_share=0.6", {false, false, false, false}},
    {"training.precision=fp8_tensor", {true, false, false, true}},
    {"training.precision=fp8_block", {true, false, false, false}},
    {"training.precision=mxfp8", {true, false, false, true}},
    {"training.precision=nvfp4", {true, false, false, false}},
    {"training.precision=bf16_stochastic", {false, false, false, false}},
    {"training.gradient_precision=bf16", {true, true, true, false}},
    {"training.gradient_precision=fp32", {true, true, true, true}},
    {"training.precision=fp16 training.gradient_precision=bf16", {true, true, true, false}},
    {"training.precision=fp16 training.gradient_precision=fp32", {true, true, true, false}},
    {"training.moment_precision=bf16", {true, false, false, false}},
    {"training.moment_precision=int8", {false, false, false, false}},
    {"layout.offload.optimizer=host", {true, false, false, false}},
    {"layout.offload.optimizer=host layout.offload.gradients=host", {false, true, true, false}},
    {"layout.offload.optimizer=nvme layout.offload.gradients=nvme", {false, true, true, false}},
    {"layout.offload.weights=host", {false, true, true, false}},
    {"layout.offload.weights=nvme", {false, true, true, false}},
    {"layout.offload.optimizer=host layout.offload.gradients=host layout.offload.weights=host",
     {false, true, true, true}},
    {"layout.offload.activations=host", {true, true, true, false}},
    {"layout.offload.activations=nvme", {false, false, false, false}},
    {"layout.rank_order=tp-cp-ep-pp-dp", {true, false, false, false}},
    {"layout.expert_dispatcher=all-gather", {true, false, false, false}},
    {"layout.zero_replicas=2", {true, true, true, true}},
    {"layout.zero_replicas=2 layout.zero_stage=1", {true, false, false, false}},
    {"layout.recompute=selective", {true, false, false, true}},
    {"layout.recompute=full", {true, false, true, true}},
};

TEST(InterchangeSoftware, EachProjectHasTheseWordsAndTheRestIsListed) {
  constexpr ConfigFormat kFormats[] = {ConfigFormat::megatron, ConfigFormat::deepspeed,
                                       ConfigFormat::gpt_neox, ConfigFormat::torchtitan};
  for (std::size_t i = 0; i < std::size(kFormats); ++i) {
    EXPECT_THAT(lost(kFormats[i], ""), testing::IsEmpty()) << enum_name(kFormats[i]);
    for (const Word& word : kWords) {
      const std::vector<std::string> names = lost(kFormats[i], word.settings);
      EXPECT_EQ(names.empty(), word.has[i])
          << enum_name(kFormats[i]) << " " << word.settings << " loses "
          << fmt::format("{}", fmt::join(names, ", "));
    }
  }
}

TEST(InterchangeSoftware, WhatIsWrittenIsPlannedWhereItRuns) {
  RunSpec spec = start_of(ConfigFormat::torchtitan);
  EXPECT_EQ(spec.software.framework, Framework::torchtitan);
  EXPECT_EQ(start_of(ConfigFormat::megatron).software.framework, Framework::megatron_lm);
  EXPECT_EQ(start_of(ConfigFormat::deepspeed).software.framework, Framework::deepspeed);
  EXPECT_EQ(start_of(ConfigFormat::gpt_neox).software.framework, Framework::deepspeed);
  spec.software = {};
  const Result<ExportedConfig> written = export_config(spec, ConfigFormat::torchtitan);
  ASSERT_TRUE(written) << written.error().message;
  ASSERT_EQ(written->left_out.size(), 1U);
  EXPECT_EQ(written->left_out[0].name, "software.framework");
  EXPECT_EQ(written->left_out[0].why,
            "TorchTitan runs it: plan it with software.framework=torchtitan");
}

TEST(InterchangeSoftware, MegatronsWordsAreRead) {
  const RunSpec spec =
      megatron(std::string(kExperts) + kSharded +
               "--fp8-format e4m3 --fp8-recipe blockwise --fp8-param-gather "
               "--use-precision-aware-optimizer --exp-avg-dtype bf16 --exp-avg-sq-dtype bf16 "
               "--overlap-grad-reduce --overlap-param-gather --recompute-granularity selective "
               "--recompute-modules moe_act layernorm --cuda-graph-impl transformer_engine "
               "--cuda-graph-modules moe_router moe_preprocess")
          .spec;
  EXPECT_EQ(spec.training.precision, Precision::fp8_block);
  EXPECT_EQ(spec.training.moment_precision, MomentPrecision::bf16);
  EXPECT_EQ(spec.software.cuda_graphs, GraphScope::routing);
  EXPECT_EQ(spec.layout.recompute, RecomputeKind::selective);
  const auto dispatcher = [](const char* more) {
    return megatron(std::string("--num-experts 8 --moe-ffn-hidden-size 128 "
                                "--expert-model-parallel-size 2 ") +
                    more)
        .spec.layout.expert_dispatcher;
  };
  EXPECT_EQ(dispatcher(""), ExpertDispatcher::all_gather) << "unless told";
  EXPECT_EQ(dispatcher("--moe-token-dispatcher-type allgather"), ExpertDispatcher::all_gather);
  EXPECT_EQ(dispatcher("--moe-token-dispatcher-type alltoall"), ExpertDispatcher::all_to_all);
  const auto graphs = [](const char* more) {
    return megatron(std::string(kSharded) + more).spec.software.cuda_graphs;
  };
  EXPECT_EQ(graphs("--enable-cuda-graph"), GraphScope::layers);
  EXPECT_EQ(graphs("--cuda-graph-impl local --cuda-graph-scope full_iteration"), GraphScope::full);
  EXPECT_EQ(graphs("--cuda-graph-impl full_iteration"), GraphScope::full);
  EXPECT_EQ(read(ConfigFormat::megatron, "--num-layers 4").spec.software.dropout, true)
      << "a tenth unless told";
}

TEST(InterchangeSoftware, WhatIsPlannedOtherwiseIsListed) {
  using testing::ElementsAre;
  EXPECT_THAT(left_out(megatron("--recompute-granularity selective")),
              ElementsAre("--recompute-modules"))
      << "nothing is stored that core_attn could drop";
  EXPECT_THAT(left_out(megatron(std::string(kSharded) + "--fp8-format hybrid")),
              ElementsAre("--fp8-param-gather"));
  EXPECT_THAT(left_out(megatron(std::string(kSharded) +
                                "--use-precision-aware-optimizer --exp-avg-dtype fp8")),
              ElementsAre("--exp-avg-dtype"));
  EXPECT_THAT(left_out(megatron(std::string(kSharded) +
                                "--use-precision-aware-optimizer --optimizer-cpu-offload "
                                "--optimizer-offload-fraction 0.5")),
              ElementsAre("--optimizer-offload-fraction"));
  EXPECT_THAT(left_out(megatron("--account-for-loss-in-pipeline-split")),
              ElementsAre("--account-for-loss-in-pipeline-split"));
  EXPECT_THAT(left_out(deepspeed(R"(, "zero_optimization": {"stage": 3,
                                  "offload_optimizer": {"device": "cpu", "ratio": 0.3}})")),
              ElementsAre("zero_optimization.offload_optimizer.ratio"));
  EXPECT_THAT(left_out(neox("attention_config: [[[\"flash\", \"global\"], 2]]\n")),
              ElementsAre("attention_config"));
  EXPECT_THAT(left_out(titan("[model2]\n[float8]\nrecipe_name = \"rowwise\"\n")),
              ElementsAre("activation_checkpoint.selective_ac_option"));
}

TEST(InterchangeSoftware, MegatronsContradictionsAreSaid) {
  const auto errors = [](const std::string& more) { return found(megatron(more)); };
  const std::string sharded = kSharded;
  EXPECT_EQ(errors(sharded + "--fp8-format hybrid --fp4-format e2m1"),
            "--fp4-format: contradicts --fp8-format: only one of them can hold (remove one of "
            "them)\n");
  EXPECT_EQ(errors("--fp8-format hybrid"),
            "--fp8-format: needs --bf16 for what is not a product, got fp32 (add --bf16)\n");
  EXPECT_THAT(errors(sharded + "--fp8-format hybrid --fp8-recipe rowwise"),
              HasSubstr("got 'rowwise', expected tensorwise, delayed, blockwise or mxfp8"));
  EXPECT_EQ(errors(sharded + "--exp-avg-dtype bf16"),
            "--exp-avg-dtype: bf16 needs --use-precision-aware-optimizer (add "
            "--use-precision-aware-optimizer)\n");
  EXPECT_EQ(errors("--bf16 --use-precision-aware-optimizer"),
            "--use-precision-aware-optimizer: needs --use-distributed-optimizer (add "
            "--use-distributed-optimizer)\n");
  EXPECT_EQ(errors(sharded + "--optimizer-cpu-offload"),
            "--optimizer-cpu-offload: needs --use-precision-aware-optimizer (add "
            "--use-precision-aware-optimizer)\n");
  EXPECT_THAT(errors(sharded + "--cpu-offloading-num-layers 3 --pipeline-model-parallel-size 2"),
              HasSubstr("is for one stage, but --pipeline-model-parallel-size is 2"));
  EXPECT_THAT(errors("--cpu-offloading-num-layers 4"), HasSubstr("less than --num-layers 4"));
  EXPECT_THAT(errors("--cpu-offloading-num-layers 3 --recompute-activations"),
              HasSubstr("--cpu-offloading-num-layers: contradicts recomputation"));
  EXPECT_THAT(errors("--overlap-param-gather"), HasSubstr("needs --use-distributed-optimizer"));
  EXPECT_THAT(errors(sharded + "--overlap-param-gather"), HasSubstr("needs --overlap-grad-reduce"));
  EXPECT_THAT(errors("--use-flash-attn --attention-backend unfused"),
              HasSubstr("--attention-backend: contradicts --use-flash-attn"));
  std::string dropout = kMegatron;
  dropout.replace(dropout.find("dropout 0"), 9, "dropout 1");
  EXPECT_THAT(found(read(ConfigFormat::megatron, dropout)),
              HasSubstr("--attention-dropout: got 1, expected 0 to less than 1"));
  EXPECT_THAT(errors("--enable-cuda-graph --cuda-graph-impl local"),
              HasSubstr("--enable-cuda-graph: contradicts --cuda-graph-impl"));
  EXPECT_EQ(errors("--num-experts 8 --moe-ffn-hidden-size 128 --moe-enable-deepep"),
            "--moe-enable-deepep: needs --moe-token-dispatcher-type flex, got allgather (add "
            "--moe-token-dispatcher-type flex)\n");
  EXPECT_THAT(errors("--recompute-granularity selective --recompute-method uniform"),
              HasSubstr("--recompute-method: is for full recomputation"));
  EXPECT_THAT(errors(sharded + "--use-precision-aware-optimizer --main-grads-dtype bf16 "
                               "--accumulate-allreduce-grads-in-fp32"),
              HasSubstr("--main-grads-dtype: contradicts --accumulate-allreduce-grads-in-fp32"));
  const auto warnings = [](const std::string& more) {
    return found(megatron(more), Severity::warning);
  };
  EXPECT_THAT(warnings("--fp8-recipe mxfp8"), HasSubstr("has no effect without --fp8-format"));
  EXPECT_THAT(warnings("--cuda-graph-scope attn"),
              HasSubstr("has no effect without --cuda-graph-impl"));
  EXPECT_THAT(warnings("--optimizer-offload-fraction 0.5"),
              HasSubstr("has no effect without --optimizer-cpu-offload"));
}

TEST(InterchangeSoftware, ContradictionsOfTheOthersAreSaid) {
  const auto zero = [](const std::string& text) {
    return found(deepspeed(R"(, "zero_optimization": {)" + text + "}"));
  };
  EXPECT_EQ(zero(R"("stage": 2, "offload_param": {"device": "cpu"})"),
            "zero_optimization.offload_param.device: cpu needs zero_optimization.stage 3, got 2 "
            "(set zero_optimization.stage to 3, or offload to none)\n");
  EXPECT_EQ(zero(R"("stage": 1, "offload_optimizer": {"device": "nvme"})"),
            "zero_optimization.offload_optimizer.device: nvme needs zero_optimization.stage 3, got "
            "1 (set zero_optimization.stage to 3, or offload to cpu)\n");
  EXPECT_THAT(zero(R"("stage": 0, "cpu_offload": true)"),
              HasSubstr("zero_optimization.cpu_offload: cpu needs zero_optimization.stage 1, 2 or "
                        "3, got 0"));
  EXPECT_THAT(zero(R"("stage": 3, "cpu_offload": true, "offload_optimizer": {"device": "nvme"})"),
              HasSubstr("contradicts zero_optimization.offload_optimizer.device, which is nvme"));
  EXPECT_THAT(zero(R"("stage": 2, "offload_optimizer": {"device": "disk"})"),
              HasSubstr("got 'disk', expected none, cpu or nvme"));
  EXPECT_THAT(found(deepspeed(R"(, "data_types": {"grad_accum_dtype": "fp8"})")),
              HasSubstr("got 'fp8', expected fp32, bf16 or fp16"));
  EXPECT_THAT(found(neox("hidden_dropout: -1\n")), HasSubstr("got -1, expected 0 to less than 1"));
  EXPECT_THAT(found(titan("enable_async_tensor_parallel = true\n")),
              HasSubstr("parallelism.enable_async_tensor_parallel: needs a compiled model"));
  EXPECT_THAT(found(titan("[compile]\nenable = false\n[training]\ncompile = true\n")),
              HasSubstr("training.compile: contradicts compile.enable"));
  const std::string model = "[model]\nname = \"llama3\"\nflavor = \"8B\"\nconverters = ";
  const std::string shards = "\n[parallelism]\ndata_parallel_shard_degree = 8\n";
  const auto converted = [&](const std::string& names, const std::string& more) {
    return found(read(ConfigFormat::torchtitan, model + names + shards + more));
  };
  EXPECT_THAT(converted(R"(["float8", "mx"])", ""), HasSubstr("float8 contradicts mx"));
  EXPECT_THAT(converted(R"(["float8"])", "[training]\nmixed_precision_param = \"float32\"\n"),
              HasSubstr("need training.mixed_precision_param bfloat16, got fp32"));
  EXPECT_THAT(converted(R"(["mx"])", "[mx]\nrecipe_name = \"mxfp4\"\n"),
              HasSubstr("mx.recipe_name: got 'mxfp4', expected mxfp8"));
  EXPECT_THAT(found(read(ConfigFormat::torchtitan,
                         "[model]\nname = \"llama3\"\nflavor = \"8B\"\n[parallelism]\n"
                         "data_parallel_shard_degree = 1\n[training]\nenable_cpu_offload = true\n"),
                    Severity::warning),
              HasSubstr("training.enable_cpu_offload: has no effect"));
}

}  // namespace
}  // namespace tera::spec
