// Configurations of other projects: what is said about wrong ones, and the single settings.
#include "core/spec/interchange/interchange.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/spec/interchange/layer_pattern.h"

namespace tera::spec {
namespace {

using testing::HasSubstr;

constexpr const char* kGpt =
    "--num-layers 4 --hidden-size 256 --num-attention-heads 8 --seq-length 128 "
    "--max-position-embeddings 128 --vocab-size 1024 --micro-batch-size 2 --lr 1e-3 "
    "--train-iters 100 --nproc-per-node 4 ";
constexpr const char* kNeox =
    "num_layers: 4\nhidden_size: 256\nnum_attention_heads: 8\nseq_length: 128\n"
    "max_position_embeddings: 128\npadded_vocab_size: 1024\ntrain_iters: 100\n"
    "optimizer: {type: Adam, params: {lr: 0.001}}\n";
constexpr const char* kTitan =
    "[model]\nname = \"llama3\"\nflavor = \"8B\"\n[parallelism]\n"
    "data_parallel_shard_degree = 8\n";

ImportedConfig read(ConfigFormat format, const std::string& text, std::int64_t num_gpus = 0) {
  ImportOptions options{.onto = {}, .num_gpus = num_gpus};
  options.onto.model.ffn_hidden_size = 1024;
  return import_config(format, {{"file", text}}, options);
}

// All errors, "line: field: message (hint)".
std::string errors(const ImportedConfig& imported) {
  std::string text;
  for (const ImportFinding& found : imported.findings) {
    const Diagnostic& d = found.diagnostic;
    if (d.severity != Severity::error) continue;
    text += std::to_string(d.line) + ": " + d.field + ": " + d.message +
            (d.hint.empty() ? "" : " (" + d.hint + ")") + "\n";
  }
  return text;
}

std::string megatron(const std::string& more) {
  return errors(read(ConfigFormat::megatron, kGpt + more));
}
std::string neox(const std::string& more) {
  return errors(read(ConfigFormat::gpt_neox, kNeox + more));
}
std::string deepspeed(const std::string& text, std::int64_t num_gpus = 0) {
  return errors(read(ConfigFormat::deepspeed, text, num_gpus));
}
std::string titan(const std::string& more, std::int64_t num_gpus = 0) {
  return errors(read(ConfigFormat::torchtitan, kTitan + more, num_gpus));
}

TEST(ImportMegatron, ReadsTheSmallRun) {
  const ImportedConfig imported = read(ConfigFormat::megatron, kGpt);
  EXPECT_EQ(errors(imported), "");
  const RunSpec& spec = imported.spec;
  EXPECT_EQ(spec.model.num_layers, 4);
  EXPECT_EQ(spec.model.head_dim, 32);
  EXPECT_EQ(spec.model.ffn_hidden_size, 1024);
  EXPECT_EQ(spec.model.position, PositionKind::learned);
  EXPECT_EQ(spec.model.norm, NormKind::layer);
  EXPECT_EQ(spec.model.attention_bias, AttentionBias::all);
  EXPECT_TRUE(spec.model.tie_embeddings);
  EXPECT_EQ(spec.layout.data_parallel_size, 4);
  EXPECT_EQ(spec.training.global_batch_size, 8);
  EXPECT_EQ(spec.training.precision, Precision::fp32);
}

TEST(ImportMegatron, ContradictionsAreSaidInItsWords) {
  EXPECT_EQ(megatron("--bf16 --fp16"),
            "1: --fp16: contradicts --bf16: only one of them can hold (remove one of them)\n");
  EXPECT_EQ(megatron("--swiglu --squared-relu"),
            "1: --squared-relu: contradicts --swiglu: only one of them can hold (remove one of "
            "them)\n");
  EXPECT_EQ(megatron("--tensor-model-parallel-size 3"),
            "1: --tensor-model-parallel-size: 4 GPUs are not a multiple of tensor x context x "
            "pipeline = 3 x 1 x 1 = 3 (use 6)\n");
  EXPECT_EQ(megatron("--global-batch-size 12"),
            "1: --global-batch-size: 12 is not a multiple of --micro-batch-size x "
            "data_parallel_size = 2 x 4 = 8 (use 8 or 16)\n");
  EXPECT_EQ(megatron("--num-layers 5"),
            "1: --num-layers: '5' here, but '4' in line 1 (remove one of them)\n");
  EXPECT_EQ(megatron("--num-query-groups 2"),
            "1: --num-query-groups: 2 has no effect without --group-query-attention (add "
            "--group-query-attention, or remove it)\n");
  EXPECT_THAT(megatron("--train-samples 1000"), HasSubstr("contradicts --train-iters"));
  EXPECT_THAT(megatron("--recompute-granularity full"), HasSubstr("needs --recompute-method"));
  EXPECT_THAT(megatron("--moe-router-topk 2"), HasSubstr("--num-experts is missing"));
  EXPECT_THAT(megatron("--padded-vocab-size 100"), HasSubstr("100 is less than --vocab-size 1024"));
  EXPECT_THAT(errors(read(ConfigFormat::megatron, kGpt, 8)),
              HasSubstr("the file runs on 4 GPUs, but --gpus says 8"));
  std::string heads = kGpt;
  heads.replace(heads.find("heads 8"), 7, "heads 7");
  EXPECT_THAT(errors(read(ConfigFormat::megatron, heads)),
              HasSubstr("--hidden-size: 256 is not a multiple of --num-attention-heads 7"));
}

TEST(ImportMegatron, ReadsTheWordsOfEarlierVersions) {
  const auto with = [](const std::string& vocabulary, const std::string& more) {
    std::string text = kGpt;
    text.replace(text.find("--vocab-size 1024"), 17, vocabulary);
    const ImportedConfig imported = read(ConfigFormat::megatron, text + more);
    EXPECT_EQ(errors(imported), "") << vocabulary << more;
    return imported.spec;
  };
  const std::string usual = "--vocab-size 1024";
  EXPECT_EQ(with(usual, "").layout.recompute, RecomputeKind::none);
  for (const char* more : {"--checkpoint-activations", "--activations-checkpoint-method uniform"}) {
    EXPECT_EQ(with(usual, more).layout.recompute, RecomputeKind::full) << more;
    EXPECT_THAT(megatron(std::string(more) + " --recompute-granularity selective"),
                HasSubstr("--recompute-granularity: contradicts --"));
  }
  EXPECT_EQ(with("--pad-vocab-size-to 250880", "").model.vocab_size, 250880);
  EXPECT_EQ(with("--vocab-file gpt2-vocab.json", "").model.vocab_size, 50304);
  EXPECT_THAT(megatron("--vocab-file v.json --tokenizer-type Llama2Tokenizer"), "");
  EXPECT_EQ(with(usual, "--lr-warmup-samples 8_0").training.warmup_steps, 10);  // of 8
}

TEST(ImportMegatron, ALayoutOfChunksIsReadWhereLayersAreSharedOutEvenly) {
  const std::string stages = "--pipeline-model-parallel-size 2 --global-batch-size 16 ";
  const auto read_layout = [&](const std::string& text) {
    return read(ConfigFormat::megatron,
                kGpt + stages + "--pipeline-model-parallel-layout \"" + text + "\"");
  };
  const ImportedConfig even = read_layout("E(t|)*3tL");
  EXPECT_EQ(errors(even), "");
  EXPECT_TRUE(even.left_out.empty());
  EXPECT_EQ(even.spec.layout.virtual_stages, 2);
  EXPECT_EQ(even.spec.layout.schedule, ScheduleKind::interleaved);
  EXPECT_FALSE(even.spec.layout.ends_count_as_layers);
  const ImportedConfig ends = read_layout("E t, t | t t L");
  EXPECT_EQ(errors(ends), "");
  EXPECT_EQ(ends.spec.layout.schedule, ScheduleKind::one_f_one_b);
  const ImportedConfig uneven = read_layout("Ettt|tL");
  EXPECT_EQ(errors(uneven), "");
  ASSERT_EQ(uneven.left_out.size(), 1U);
  EXPECT_THAT(uneven.left_out[0].why, HasSubstr("shared out evenly"));
  EXPECT_THAT(errors(read_layout("Ett|ttt|L")), HasSubstr("has 5 layers (t), expected 4"));
  EXPECT_THAT(errors(read_layout("Et|t|ttL")), HasSubstr("3 chunks are not a multiple of"));
  EXPECT_THAT(errors(read_layout("Et(tt|tL")), HasSubstr("a '(' that nothing closes"));
  EXPECT_THAT(errors(read_layout("Ett)|ttL")), HasSubstr("a ')' that closes nothing"));
  EXPECT_THAT(errors(read_layout("Ett|xttL")), HasSubstr("got 'x', expected E, t"));
  EXPECT_THAT(errors(read_layout("Et*99999999|tL")), HasSubstr("behind '*'"));
  EXPECT_THAT(errors(read_layout("tEt|ttL")), HasSubstr("the embedding is not the first"));
  EXPECT_THAT(megatron(stages + "--pipeline-model-parallel-layout Ett|ttL "
                                "--num-virtual-stages-per-pipeline-rank 1"),
              HasSubstr("contradicts --pipeline-model-parallel-layout"));
}

TEST(ExportConfig, MegatronSharesOutPredictionByALayout) {
  RunSpec spec = read(ConfigFormat::megatron, std::string(kGpt) +
                                                  "--mtp-num-layers 1 --global-batch-size 16 "
                                                  "--pipeline-model-parallel-size 2 "
                                                  "--num-virtual-stages-per-pipeline-rank 2")
                     .spec;
  spec.layout.ends_count_as_layers = true;  // 4 layers, prediction and its head, head: 2 2 2 1
  const Result<ExportedConfig> written = export_config(spec, ConfigFormat::megatron);
  ASSERT_TRUE(written);
  EXPECT_THAT(written->text, HasSubstr("--pipeline-model-parallel-layout \"Ett|tt||mL\""));
  EXPECT_THAT(written->text, testing::Not(HasSubstr("--num-virtual-stages")));
  for (const LeftOut& one : written->left_out)
    EXPECT_FALSE(one.name.starts_with("layout.")) << one.name;
}

TEST(ImportMegatron, SeveralChunksOfAStageAreInterleaved) {
  const std::string stages = "--pipeline-model-parallel-size 2 --global-batch-size 16 ";
  const auto layout = [&](const std::string& more) {
    const ImportedConfig imported = read(ConfigFormat::megatron, kGpt + stages + more);
    EXPECT_EQ(errors(imported), "") << more;
    EXPECT_TRUE(imported.left_out.empty()) << more;
    return imported.spec.layout;
  };
  EXPECT_EQ(layout("").schedule, ScheduleKind::one_f_one_b);
  for (const char* more :
       {"--num-virtual-stages-per-pipeline-rank 2", "--num-layers-per-virtual-pipeline-stage 1"}) {
    EXPECT_EQ(layout(more).schedule, ScheduleKind::interleaved) << more;
    EXPECT_EQ(layout(more).virtual_stages, 2) << more;
  }
  EXPECT_EQ(layout("--num-layers-per-virtual-pipeline-stage 2").schedule,
            ScheduleKind::one_f_one_b);
  EXPECT_EQ(megatron(stages + "--num-layers-per-virtual-pipeline-stage 3"),
            "1: --num-layers-per-virtual-pipeline-stage: 3 x --pipeline-model-parallel-size 2 does "
            "not divide --num-layers 4 (or say how many chunks a rank has with "
            "--num-virtual-stages-per-pipeline-rank)\n");
  EXPECT_THAT(megatron(stages + "--num-layers-per-virtual-pipeline-stage 1 "
                                "--num-virtual-stages-per-pipeline-rank 2"),
              HasSubstr("contradicts --num-virtual-stages-per-pipeline-rank: both say"));
  EXPECT_THAT(megatron("--num-virtual-stages-per-pipeline-rank 2"),
              HasSubstr("2 chunks per rank, but --pipeline-model-parallel-size is 1"));
  EXPECT_THAT(megatron(stages + "--num-virtual-stages-per-pipeline-rank 4"),
              HasSubstr("--num-virtual-stages-per-pipeline-rank: --pipeline-model-parallel-size x "
                        "--num-virtual-stages-per-pipeline-rank = 2 x 4 is more than --num-layers "
                        "= 4"));
}

// arguments.py: "changes the order to tp-cp-ep-pp-dp"; parallel_state.py refuses it where there are
// not as many replicas of experts as of the rest.
TEST(ImportMegatron, StagesMayAlternateWithReplicas) {
  const std::string stages = "--pipeline-model-parallel-size 2 --use-tp-pp-dp-mapping ";
  const ImportedConfig imported = read(ConfigFormat::megatron, kGpt + stages);
  EXPECT_EQ(errors(imported), "");
  EXPECT_EQ(imported.spec.layout.rank_order, RankOrder::tp_cp_ep_pp_dp);
  EXPECT_EQ(read(ConfigFormat::megatron, kGpt).spec.layout.rank_order, RankOrder::tp_cp_ep_dp_pp);
  EXPECT_THAT(export_config(imported.spec, ConfigFormat::megatron)->text,
              HasSubstr("--use-tp-pp-dp-mapping"));
  EXPECT_THAT(megatron(stages + "--context-parallel-size 2"),
              HasSubstr("--use-tp-pp-dp-mapping: tp-cp-ep-pp-dp, but framework megatron_lm wants "
                        "as many replicas of experts as of the rest: each is on 1 and 2 ranks"));
  RunSpec spec = imported.spec;
  spec.software.framework = Framework::teragpt;
  spec.layout.context_parallel_size = 2;
  const Result<ExportedConfig> written = export_config(spec, ConfigFormat::megatron);
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_TRUE(
      std::any_of(written->left_out.begin(), written->left_out.end(), [](const LeftOut& one) {
        return one.name == "layout.rank_order" && one.value == "tp-cp-ep-pp-dp";
      }));
}

TEST(ImportMegatron, ContextRanksPassKeysAroundOrSwapTokensForHeads) {
  const std::string two = "--context-parallel-size 2 ";
  const ImportedConfig ring = read(ConfigFormat::megatron, kGpt + two);
  EXPECT_EQ(errors(ring), "");
  EXPECT_EQ(ring.spec.layout.context_parallel_method, ContextMethod::ring);
  const ImportedConfig swap = read(ConfigFormat::megatron, kGpt + two + "--cp-comm-type a2a");
  EXPECT_EQ(errors(swap), "");
  EXPECT_EQ(swap.spec.layout.context_parallel_method, ContextMethod::ulysses);
  EXPECT_THAT(export_config(swap.spec, ConfigFormat::megatron)->text,
              HasSubstr("--cp-comm-type a2a"));
}

TEST(ImportMegatron, ExpertsMayBeFilledUpToTheirCapacity) {
  const std::string pad =
      "--num-experts 8 --moe-pad-expert-input-to-capacity --disable-bias-linear ";
  const ImportedConfig imported =
      read(ConfigFormat::megatron, kGpt + pad + "--moe-expert-capacity-factor 1.25");
  EXPECT_EQ(errors(imported), "");
  EXPECT_TRUE(imported.spec.model.capacity_pad);
  EXPECT_THAT(export_config(imported.spec, ConfigFormat::megatron)->text,
              HasSubstr("--moe-pad-expert-input-to-capacity"));
  EXPECT_THAT(megatron(pad), HasSubstr("--moe-pad-expert-input-to-capacity"));
}

TEST(ImportMegatron, ContradictionsThatOnlyValidationSeesAreInItsWordsToo) {
  EXPECT_THAT(megatron("--num-experts 6 --expert-model-parallel-size 4 --disable-bias-linear"),
              HasSubstr("--expert-model-parallel-size: 4 does not divide --num-experts = 6"));
  EXPECT_THAT(megatron("--pipeline-model-parallel-size 4 --lr-warmup-iters 100"),
              HasSubstr("--lr-warmup-iters: 100 is not less than --train-iters = 100"));
}

TEST(ImportMegatron, WrongValuesNameWhatIsExpected) {
  EXPECT_THAT(megatron("--lr-decay-style cosin"),
              HasSubstr("got 'cosin', expected linear, cosine, constant, inverse-square-root or "
                        "WSD (did you mean cosine?)"));
  EXPECT_THAT(megatron("--weight-decay much"), HasSubstr("--weight-decay: got 'much'"));
  EXPECT_THAT(megatron("--clip-grad"), HasSubstr("--clip-grad: got nothing, expected a number"));
  EXPECT_THAT(megatron("--weight-decay $DECAY"),
              HasSubstr("--weight-decay: got $DECAY, a variable that the text does not set"));
  EXPECT_THAT(megatron("--moe-layer-freq [2] --num-experts 8"), HasSubstr("expected a number or"));
  EXPECT_THAT(megatron("--save \"here"), HasSubstr("the text ends inside the quotes \""));
  EXPECT_THAT(errors(read(ConfigFormat::megatron, "")), HasSubstr("holds no arguments"));
  EXPECT_THAT(errors(read(ConfigFormat::megatron, "--num-layers 4")),
              HasSubstr("--hidden-size: is missing"));
}

TEST(ImportMegatron, ReadsTheShellOfLaunchScripts) {
  const ImportedConfig imported =
      read(ConfigFormat::megatron,
           "#!/bin/bash\n"
           "export LAYERS=4; HEADS='8'\n"
           "ARGS=(\n  --num-layers $LAYERS # four\n"
           "  --hidden-size=256\n)\n"
           "REST=\"--seq-length 128 \\\n --max-position-embeddings 128 "
           "--lr 1e-3\"\n"
           "torchrun --nproc_per_node 2 pretrain_gpt.py ${ARGS[@]} \\\n"
           "  $REST --num-attention-heads ${HEADS} --vocab-size 1024 \\\n"
           "  --micro-batch-size 1 --train-iters 100 > log.txt\n"
           "echo done\n");
  EXPECT_EQ(errors(imported), "");
  EXPECT_EQ(imported.spec.model.num_layers, 4);
  EXPECT_EQ(imported.spec.model.num_attention_heads, 8);
  EXPECT_EQ(imported.spec.training.seq_length, 128);
  EXPECT_EQ(imported.spec.training.num_steps, 100);
  EXPECT_EQ(imported.spec.layout.data_parallel_size, 2);
}

TEST(ImportMegatron, ListsWhatHasNoPlace) {
  const ImportedConfig imported =
      read(ConfigFormat::megatron, std::string(kGpt) +
                                       "--attention-dropout 0.1 --hidden-dropout 0 --fp8-margin 0 "
                                       "--log-interval 10 --num-layer 4");
  EXPECT_EQ(errors(imported), "");
  std::vector<std::string> names;
  for (const LeftOut& one : imported.left_out)
    names.push_back(one.name + "=" + one.value);
  EXPECT_THAT(names, testing::UnorderedElementsAre("--attention-dropout=0.1", "--fp8-margin=0",
                                                   "--log-interval=10", "--num-layer=4"));
  ASSERT_EQ(imported.findings.size(), 1U);
  EXPECT_EQ(imported.findings[0].diagnostic.hint, "did you mean --num-layers?");
}

TEST(ImportDeepSpeed, BatchSizesMustAgree) {
  EXPECT_EQ(deepspeed(R"({"train_batch_size": 100, "train_micro_batch_size_per_gpu": 4,
                          "gradient_accumulation_steps": 8})"),
            "0: train_batch_size: 100 is not a multiple of train_micro_batch_size_per_gpu 4 x "
            "gradient_accumulation_steps 8 = 32 (use 128)\n");
  EXPECT_EQ(deepspeed(R"({"train_batch_size": 64, "train_micro_batch_size_per_gpu": 4,
                          "gradient_accumulation_steps": 8})",
                      4),
            "0: train_batch_size: 64 is not train_micro_batch_size_per_gpu 4 x "
            "gradient_accumulation_steps 8 x 4 replicas = 128 (use 128)\n");
  EXPECT_THAT(deepspeed("{\"gradient_clipping\": 1}"), HasSubstr("how large a batch is"));
  const ImportedConfig imported = read(
      ConfigFormat::deepspeed, R"({"train_batch_size": 64, "gradient_accumulation_steps": 2})", 8);
  EXPECT_EQ(errors(imported), "");
  EXPECT_EQ(imported.spec.layout.micro_batch_size, 4);
  EXPECT_EQ(imported.spec.layout.data_parallel_size, 8);
}

TEST(ImportDeepSpeed, WrongValuesNameWhatIsExpected) {
  const std::string batch = R"("train_batch_size": 8, "train_micro_batch_size_per_gpu": 8,
                               "gradient_accumulation_steps": 1)";
  EXPECT_THAT(deepspeed("{" + batch + R"(, "zero_optimization": {"stage": 4}})"),
              HasSubstr("zero_optimization.stage: got 4, expected 0, 1, 2 or 3"));
  EXPECT_THAT(deepspeed("{" + batch + R"(, "bf16": {"enabled": true}, "fp16": {"enabled": true}})"),
              HasSubstr("bf16.enabled: contradicts fp16.enabled"));
  EXPECT_THAT(deepspeed("{" + batch + R"(, "gradient_clipping": "1.0"})"),
              HasSubstr("gradient_clipping: got '1.0', expected a number"));
  EXPECT_THAT(deepspeed("{" + batch + R"(, "optimizer": {"params": {"betas": [0.9]}}})"),
              HasSubstr("optimizer.params.betas: got [0.9], expected two numbers"));
  EXPECT_THAT(deepspeed("{" + batch + R"(, "scheduler": {"params": {"warmup_max_lr": 1}},
                        "optimizer": {"params": {"lr": 2}}})"),
              HasSubstr("warmup_max_lr: 1 contradicts optimizer.params.lr 2"));
  EXPECT_THAT(deepspeed("{\"train_batch_size\": 8"), HasSubstr("not JSON"));
  EXPECT_THAT(deepspeed(""), HasSubstr("not JSON: got nothing"));
  EXPECT_THAT(deepspeed("[]"), HasSubstr("holds no settings"));
}

TEST(ImportGptNeox, ReadsBothSpellingsAndSeveralFiles) {
  const ImportedConfig imported = import_config(
      ConfigFormat::gpt_neox,
      {{"model.yml", kNeox}, {"local.yml", "\"train-batch-size\": 16\nseq-length: 128\n"}}, {});
  EXPECT_EQ(errors(imported), "");
  EXPECT_EQ(imported.spec.training.global_batch_size, 16);
  EXPECT_EQ(imported.spec.model.activation, ActivationKind::gelu_exact);
  const ImportedConfig twice = import_config(
      ConfigFormat::gpt_neox,
      {{"model.yml", kNeox}, {"local.yml", "train_batch_size: 16\nhidden-size: 512\n"}}, {});
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.findings[0].file, 1U);
  EXPECT_EQ(errors(twice),
            "2: hidden_size: '512' here, but '256' in line 2 of model.yml (remove one of them)\n");
}

TEST(ImportGptNeox, AGatedActivationHasAThirdOfTheWidthForEachMatrix) {
  const auto width = [](const std::string& more) {
    const ImportedConfig imported =
        read(ConfigFormat::gpt_neox, kNeox + std::string("train_batch_size: 8\n") + more, 8);
    EXPECT_EQ(errors(imported), "") << more;
    return imported.spec.model.ffn_hidden_size;
  };
  EXPECT_EQ(width("activation: swiglu\nintermediate_size: 32768\nmlp_multiple_of: 256\n"), 11008);
  EXPECT_EQ(width("activation: swiglu\n"), 341);  // 4 x 256 / 3
  EXPECT_EQ(width("intermediate_size: 700\n"), 700);
}

TEST(ImportGptNeox, TheTokenizerSaysHowManyRowsThereAre) {
  const auto rows = [](const std::string& more) {
    std::string text = kNeox;
    text.erase(text.find("padded_vocab_size: 1024\n"), 24);
    const ImportedConfig imported =
        read(ConfigFormat::gpt_neox, text + "train_batch_size: 8\n" + more, 8);
    return errors(imported).empty() ? imported.spec.model.vocab_size : 0;
  };
  EXPECT_EQ(rows("vocab_file: data/gpt2-vocab.json\n"), 50304);
  EXPECT_EQ(rows("vocab_file: 20B_tokenizer.json\ntokenizer_type: HFTokenizer\n"), 50304);
  EXPECT_EQ(rows("vocab_file: 20B_tokenizer.json\ntokenizer_type: HFTokenizer\n"
                 "make_vocab_size_divisible_by: 1\n"),
            50277);
  EXPECT_EQ(rows("vocab_file: llama.model\ntokenizer_type: SPMTokenizer\n"), 0);
  EXPECT_EQ(rows(""), 0);
}

TEST(ImportGptNeox, WrongValuesNameWhatIsExpected) {
  EXPECT_THAT(neox("train_batch_size: 8\nactivation: gelo\n"),
              HasSubstr("10: activation: got 'gelo', expected gelu, relu, geglu or swiglu (did you "
                        "mean gelu?)"));
  EXPECT_THAT(neox("train_batch_size: 8\nno_weight_tying: 3\n"),
              HasSubstr("no_weight_tying: got '3', expected true or false"));
  EXPECT_THAT(neox("train_batch_size: 8\nprecision: fp32\nfp16: {enabled: true}\n"),
              HasSubstr("precision: fp32 contradicts fp16.enabled"));
  EXPECT_THAT(neox("train_batch_size: 8\nmoe_num_experts: 8\n"), HasSubstr("moe_num_experts"));
  EXPECT_THAT(neox("train_batch_size: 8\nmodel_parallel_size: 3\n"),
              HasSubstr("model_parallel_size: 3 does not divide num_attention_heads = 8"));
  EXPECT_THAT(neox("train_batch_size: [8\n"), HasSubstr("10: "));
  EXPECT_THAT(errors(read(ConfigFormat::gpt_neox, "")), HasSubstr("expected settings"));
}

TEST(ImportTorchTitan, DegreesAndFlavors) {
  EXPECT_EQ(titan(""), "");
  EXPECT_THAT(titan("tensor_parallel_degree = 3\n"),
              HasSubstr("parallelism.tensor_parallel_degree: 3 does not divide "));
  EXPECT_THAT(titan("data_parallel_replicate_degree = 2\n", 8), HasSubstr("2 copies x 8 shards"));
  EXPECT_THAT(titan("[training]\nglobal_batch_size = 12\n"),
              HasSubstr("training.global_batch_size: 12 is not a multiple of "
                        "training.local_batch_size x replicas = 64"));
  EXPECT_THAT(titan("[optimizer]\nlr = \"fast\"\n"),
              HasSubstr("7: optimizer.lr: got 'fast', expected a number"));
  EXPECT_THAT(titan("[training"), HasSubstr("not TOML"));
  EXPECT_THAT(errors(read(ConfigFormat::torchtitan, "")), HasSubstr("holds no settings"));
  EXPECT_THAT(
      errors(read(ConfigFormat::torchtitan, "[model]\nname = \"llama3\"\nflavor = \"9B\"\n")),
      HasSubstr("model.flavor: got '9B', expected 8B, 70B or 405B"));
  EXPECT_THAT(
      errors(read(ConfigFormat::torchtitan, "[model]\nname = \"llama3\"\nflavor = \"8B\"\n")),
      HasSubstr("how many there are is not in the file (say it with --gpus)"));
}

TEST(ImportTorchTitan, CopiesOfWhatFsdpShards) {
  const ImportedConfig imported = read(
      ConfigFormat::torchtitan, std::string(kTitan) + "data_parallel_replicate_degree = 2\n", 16);
  EXPECT_EQ(errors(imported), "");
  EXPECT_EQ(imported.spec.layout.data_parallel_size, 16);
  EXPECT_EQ(imported.spec.layout.zero_replicas, 2);
  EXPECT_THAT(export_config(imported.spec, ConfigFormat::torchtitan)->text,
              HasSubstr("data_parallel_replicate_degree = 2\ndata_parallel_shard_degree = 8"));
  EXPECT_EQ(read(ConfigFormat::torchtitan, kTitan).spec.layout.zero_replicas, 1);
}

TEST(ImportDeepSpeed, CopiesOfWhatTheThirdStageShards) {
  const auto text = [](int stage, int ranks) {
    return fmt::format(R"({{"train_batch_size": 8, "train_micro_batch_size_per_gpu": 1,
      "gradient_accumulation_steps": 1,
      "zero_optimization": {{"stage": {}, "mics_shard_size": {}}}}})",
                       stage, ranks);
  };
  const ImportedConfig imported = read(ConfigFormat::deepspeed, text(3, 2));
  EXPECT_EQ(errors(imported), "");
  EXPECT_EQ(imported.spec.layout.zero_replicas, 4);
  EXPECT_EQ(read(ConfigFormat::deepspeed, text(3, -1)).spec.layout.zero_replicas, 1);
  EXPECT_THAT(deepspeed(text(3, 3)),
              HasSubstr("zero_optimization.mics_shard_size: 3 ranks of a copy do not divide 8 "
                        "replicas (use 8, or leave it away)"));
  const ImportedConfig second = read(ConfigFormat::deepspeed, text(2, 2));
  EXPECT_EQ(second.spec.layout.zero_replicas, 1);
  EXPECT_TRUE(std::any_of(second.left_out.begin(), second.left_out.end(), [](const LeftOut& one) {
    return one.name == "zero_optimization.mics_shard_size";
  }));
}

TEST(ImportMegatron, CopiesOfTheDistributedOptimizer) {
  const ImportedConfig imported = read(
      ConfigFormat::megatron,
      std::string(kGpt) + "--use-distributed-optimizer --num-distributed-optimizer-instances 2");
  EXPECT_EQ(errors(imported), "");
  EXPECT_EQ(imported.spec.layout.zero_replicas, 2);
  EXPECT_THAT(export_config(imported.spec, ConfigFormat::megatron)->text,
              HasSubstr("--num-distributed-optimizer-instances 2"));
  EXPECT_THAT(megatron("--use-distributed-optimizer --num-distributed-optimizer-instances 3"),
              HasSubstr("--num-distributed-optimizer-instances: 3 does not divide "));
  // What they say nothing about is one copy, whatever the spec had that they are read onto.
  ImportOptions options{.onto = {}, .num_gpus = 0};
  options.onto.layout.zero_replicas = 4;
  const auto onto =
      import_config(ConfigFormat::megatron,
                    {{"file", std::string(kGpt) + "--use-distributed-optimizer"}}, options);
  EXPECT_EQ(onto.spec.layout.zero_stage, 1);
  EXPECT_EQ(onto.spec.layout.zero_replicas, 1);
}

TEST(ImportTorchTitan, SchedulesOfSeveralChunks) {
  const std::string stages = "pipeline_parallel_degree = 4\npipeline_parallel_schedule = ";
  const auto layout = [&](const std::string& more) {
    const ImportedConfig imported =
        read(ConfigFormat::torchtitan, kTitan + stages + more + "\n[training]\nsteps = 10000\n");
    EXPECT_EQ(errors(imported), "") << more;
    return imported.spec.layout;
  };
  EXPECT_EQ(layout("\"1F1B\"").virtual_stages, 1);
  EXPECT_EQ(layout("\"ZBVZeroBubble\"").schedule, ScheduleKind::zb_v);
  EXPECT_EQ(layout("\"DualPipeV\"").virtual_stages, 2);
  EXPECT_EQ(layout("\"Interleaved1F1B\"").virtual_stages, 2);
  // 32 layers, embedding and head: 12 chunks of three.
  EXPECT_EQ(layout("\"Interleaved1F1B\"\npipeline_parallel_layers_per_stage = 3").virtual_stages,
            3);
  EXPECT_EQ(titan(stages + "\"Interleaved1F1B\"\npipeline_parallel_layers_per_stage = 5\n"),
            "8: parallelism.pipeline_parallel_layers_per_stage: got 5: 7 chunks of 34 layers, "
            "embedding and head counted, are not a multiple of "
            "parallelism.pipeline_parallel_degree 4 (remove it for as many chunks as the schedule "
            "usually has)\n");
  EXPECT_THAT(titan("pipeline_parallel_schedule = \"ZBV\"\n"),
              HasSubstr("expected 1F1B, 1f1b, GPipe, gpipe, Interleaved1F1B, ZBVZeroBubble or "
                        "DualPipeV"));
  EXPECT_EQ(titan("pipeline_parallel_schedule = \"Interleaved1F1B\"\n"), "") << "one stage";
}

TEST(ExportConfig, SchedulesComeBackWhereTheOtherSideHasThem) {
  RunSpec spec = read(ConfigFormat::torchtitan, std::string(kTitan) +
                                                    "pipeline_parallel_degree = 4\n[training]\n"
                                                    "local_batch_size = 8\n")
                     .spec;
  const auto lost = [&spec](ConfigFormat format, ScheduleKind kind, int chunks) {
    spec.layout.schedule = kind;
    spec.layout.virtual_stages = chunks;
    const Result<ExportedConfig> written = export_config(spec, format);
    EXPECT_TRUE(written) << written.error().message;
    std::vector<std::string> names;
    for (const LeftOut& one : written->left_out) {
      if (one.name.starts_with("layout.")) names.push_back(one.name);
    }
    return names;
  };
  using testing::ElementsAre;
  using testing::IsEmpty;
  for (const ConfigFormat format : {ConfigFormat::megatron, ConfigFormat::torchtitan}) {
    for (const int chunks : {2, 3})
      EXPECT_THAT(lost(format, ScheduleKind::interleaved, chunks), IsEmpty()) << chunks;
    EXPECT_THAT(lost(format, ScheduleKind::zb_h1, 1), ElementsAre("layout.schedule"));
  }
  EXPECT_THAT(lost(ConfigFormat::megatron, ScheduleKind::interleaved, 4), IsEmpty());
  EXPECT_THAT(lost(ConfigFormat::torchtitan, ScheduleKind::interleaved, 4),
              ElementsAre("layout.virtual_stages"))
      << "no number of layers makes 16 chunks of 34";
  EXPECT_THAT(lost(ConfigFormat::torchtitan, ScheduleKind::dualpipe_v, 2), IsEmpty());
  EXPECT_THAT(lost(ConfigFormat::megatron, ScheduleKind::zb_v, 2),
              ElementsAre("layout.virtual_stages", "layout.schedule"));
}

TEST(ExportConfig, SaysWhatTheOtherSideCannotHave) {
  RunSpec spec = read(ConfigFormat::megatron, kGpt).spec;
  spec.model.parallel_residual = true;
  spec.layout.schedule = ScheduleKind::gpipe;
  const Result<ExportedConfig> written = export_config(spec, ConfigFormat::megatron);
  ASSERT_TRUE(written) << written.error().message;
  ASSERT_EQ(written->left_out.size(), 2U);
  EXPECT_EQ(written->left_out[0].name, "model.parallel_residual");
  EXPECT_EQ(written->left_out[0].value, "true");
  EXPECT_THAT(written->left_out[1].why, HasSubstr("Megatron-LM has no place for it"));
  spec.model.num_experts = 8;
  spec.model.router_top_k = 2;
  spec.model.moe_ffn_hidden_size = 64;
  const Result<ExportedConfig> refused = export_config(spec, ConfigFormat::gpt_neox);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("model.num_experts = 8 cannot be written"));
}

TEST(ImportConfig, SomeFormatsAreOneFile) {
  const ImportedConfig two =
      import_config(ConfigFormat::torchtitan, {{"a", kTitan}, {"b", kTitan}}, {});
  EXPECT_THAT(errors(two), HasSubstr("got 2 files, expected one of TorchTitan"));
}

TEST(GuessFormat, ByNameThenByText) {
  EXPECT_EQ(guess_format({"a.toml", ""}), ConfigFormat::torchtitan);
  EXPECT_EQ(guess_format({"a.yml", "{"}), ConfigFormat::gpt_neox);
  EXPECT_EQ(guess_format({"a.json", "{}"}), ConfigFormat::deepspeed);
  EXPECT_EQ(guess_format({"config", " {\"model_type\": 1}"}), ConfigFormat::hugging_face);
  EXPECT_EQ(guess_format({"run.sh", "--num-layers 4"}), ConfigFormat::megatron);
}

TEST(LayerPattern, IsAPythonExpressionOfAList) {
  const auto layers = [](const char* text, int count) {
    const Result<std::vector<int>> pattern = parse_layer_pattern(text, count);
    return pattern ? *pattern : std::vector<int>{-1};
  };
  EXPECT_EQ(layers("([0]*2+[1]*1)", 3), (std::vector<int>{0, 0, 1}));
  EXPECT_EQ(layers("2*([0] + [1])", 4), (std::vector<int>{0, 1, 0, 1}));
  EXPECT_EQ(layers("2", 4), (std::vector<int>{1, 0, 1, 0}));
  for (const char* wrong : {"", "[0", "[2]*4", "[1]+1", "0", "[1]*[1]", "([1]*4", "[1]*4)"})
    EXPECT_FALSE(parse_layer_pattern(wrong, 4)) << wrong;
  EXPECT_EQ(parse_layer_pattern("[1]*3", 4).error().message,
            "is a list of 3 layers, but there are 4");
  EXPECT_FALSE(parse_layer_pattern(std::string(100000, '('), 4)) << "no deep recursion";
}

TEST(LayerPattern, ComesBackForEveryShapeOfModel) {
  for (int layers = 1; layers <= 9; ++layers) {
    for (int dense = 0; dense < layers; ++dense) {
      for (int step = 1; step <= layers - dense; ++step) {
        ModelConfig model;
        model.num_layers = layers;
        model.num_experts = 2;
        model.num_dense_layers = dense;
        model.moe_layer_interval = step;
        const std::string text = layer_pattern(model);
        const auto pattern = parse_layer_pattern(text.empty() ? "1" : text, layers);
        ASSERT_TRUE(pattern) << text;
        ModelConfig back = model;
        ASSERT_TRUE(set_moe_layers(*pattern, back)) << text;
        for (int i = 0; i < layers; ++i)
          EXPECT_EQ(back.is_moe_layer(i), model.is_moe_layer(i)) << text << " layer " << i;
      }
    }
  }
}

}  // namespace
}  // namespace tera::spec
