#include "core/spec/validate.h"

#include <functional>
#include <string_view>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/spec/presets.h"
#include "tests/core/spec/spec_text.h"

namespace tera::spec {
namespace {

using testing::HasSubstr;

struct Case {
  const char* field;    // of the finding
  const char* message;  // part of it
  const char* hint;     // part of it
  std::function<void(RunSpec&)> spoil;
};

const Diagnostic* find(const std::vector<Diagnostic>& found,
                       const std::string& field,
                       const std::string& message) {
  for (const Diagnostic& d : found) {
    if (d.field == field && d.message.find(message) != std::string::npos) return &d;
  }
  return nullptr;
}

void expect_cases(const RunSpec& good, const std::vector<Case>& cases, Severity severity) {
  ASSERT_FALSE(has_errors(validate(good))) << findings_text(validate(good));
  for (const Case& c : cases) {
    RunSpec spec = good;
    c.spoil(spec);
    const std::vector<Diagnostic> found = validate(spec);
    const Diagnostic* d = find(found, c.field, c.message);
    ASSERT_NE(d, nullptr) << c.field << ": " << c.message << "\n" << findings_text(found);
    EXPECT_EQ(d->severity, severity) << c.field;
    EXPECT_THAT(d->hint, HasSubstr(c.hint)) << c.field;
  }
}

TEST(Validate, ModelRules) {
  expect_cases(
      tiny_spec(),
      {{"name", "letters", "use a-b", [](RunSpec& s) { s.name = "a/b"; }},
       {"name", "got ''", "use run", [](RunSpec& s) { s.name = ""; }},
       {"model.num_key_value_heads", "3 does not divide", "use 2 or 4",
        [](RunSpec& s) { s.model.num_key_value_heads = 3; }},
       {"model.head_dim", "odd", "use 64", [](RunSpec& s) { s.model.head_dim = 63; }},
       {"model.router_top_k", "9 is more than model.num_experts = 8", "at most 8",
        [](RunSpec& s) { s.model.router_top_k = 9; }},
       {"model.router_top_k", "0, but", "use 2", [](RunSpec& s) { s.model.router_top_k = 0; }},
       {"model.moe_ffn_hidden_size", "0, but", "use about 256",
        [](RunSpec& s) { s.model.moe_ffn_hidden_size = 0; }},
       {"model.ffn_hidden_size", "1 leading layers are dense", "use about",
        [](RunSpec& s) { s.model.num_dense_layers = 1; }},
       {"model.num_dense_layers", "none of the 4", "at most 3",
        [](RunSpec& s) {
          s.model.num_dense_layers = 4;
          s.model.ffn_hidden_size = 512;
        }},
       {"model.kv_lora_rank", "latent attention needs it", "512",
        [](RunSpec& s) { s.model.attention = AttentionKind::latent; }},
       {"model.attention_bias", "latent attention has no biases", "use none",
        [](RunSpec& s) {
          s.model.attention = AttentionKind::latent;
          s.model.attention_bias = AttentionBias::qkv;
        }},
       {"model.num_mtp_layers", "have no token so far ahead", "at most 3",
        [](RunSpec& s) {
          s.model.num_mtp_layers = 4;
          s.training.seq_length = 4;
        }},
       {"model.mtp_loss_coeff", "num_mtp_layers = 2 would learn nothing", "use 0.3",
        [](RunSpec& s) {
          s.model.num_mtp_layers = 2;
          s.model.mtp_loss_coeff = 0;
        }},
       {"model.rotary_fraction", "0.3 of model.head_dim = 64 is 19.2 dims",
        "use 0.3125, which is 20", [](RunSpec& s) { s.model.rotary_fraction = 0.3; }},
       {"model.rotary_fraction", "is 0 dims", "which is 2 dims",
        [](RunSpec& s) { s.model.rotary_fraction = 0; }},
       {"model.rotary_fraction", "latent attention rotates", "use 1",
        [](RunSpec& s) {
          s.model.attention = AttentionKind::latent;
          s.model.rotary_fraction = 0.5;
        }},
       {"model.rope_scaling", "model.position is learned", "use none",
        [](RunSpec& s) {
          s.model.position = PositionKind::learned;
          s.model.rope_scaling = RopeScaling::linear;
        }},
       {"model.rope_original_max_position", "rope_scaling llama3 needs it", "use 256",
        [](RunSpec& s) {
          s.model.rope_scaling = RopeScaling::llama3;
          s.model.rope_factor = 4;
        }},
       {"model.rope_low_freq_factor", "4 is not below model.rope_high_freq_factor = 4", "1 and 4",
        [](RunSpec& s) {
          s.model.rope_scaling = RopeScaling::llama3;
          s.model.rope_original_max_position = 256;
          s.model.rope_low_freq_factor = 4;
        }},
       {"model.rope_beta_slow", "32 is not below model.rope_beta_fast = 32", "1 and 32",
        [](RunSpec& s) {
          s.model.rope_scaling = RopeScaling::yarn;
          s.model.rope_original_max_position = 256;
          s.model.rope_beta_slow = 32;
        }},
       {"model.rope_theta", "yarn needs more than 1", "10000",
        [](RunSpec& s) {
          s.model.rope_scaling = RopeScaling::yarn;
          s.model.rope_original_max_position = 256;
          s.model.rope_theta = 1;
        }},
       {"model.num_layers", "got 0", "at least 1", [](RunSpec& s) { s.model.num_layers = 0; }},
       {"model.norm_eps", "nan", "", [](RunSpec& s) { s.model.norm_eps = std::nan(""); }},
       {"model", "parameters, expected at most", "check hidden_size",
        [](RunSpec& s) {
          s.model.hidden_size = 1 << 20;
          s.model.moe_ffn_hidden_size = 1 << 20;
          s.model.num_experts = 65536;
        }}},
      Severity::error);
}

TEST(Validate, RouterRules) {
  expect_cases(
      tiny_spec(),  // 4 layers, 8 experts, top 2
      {{"model.moe_layer_interval", "5 leaves none of the 4 layers", "at most 4",
        [](RunSpec& s) {
          s.model.moe_layer_interval = 5;
          s.model.ffn_hidden_size = 512;
        }},
       {"model.ffn_hidden_size", "2 of 4 layers are dense", "use about",
        [](RunSpec& s) { s.model.moe_layer_interval = 2; }},
       {"model.shared_expert_gate", "num_shared_experts is 0", "num_shared_experts 1",
        [](RunSpec& s) { s.model.shared_expert_gate = true; }},
       {"model.router_num_groups", "3 does not divide model.num_experts = 8", "use 2 or 4",
        [](RunSpec& s) { s.model.router_num_groups = 3; }},
       {"model.router_top_groups", "5 is more than model.router_num_groups = 4", "at most 4",
        [](RunSpec& s) {
          s.model.router_num_groups = 4;
          s.model.router_top_groups = 5;
        }},
       {"model.router_top_groups", "1 of 8 groups have 1 experts", "at least 2",
        [](RunSpec& s) { s.model.router_num_groups = 8; }},
       {"model.capacity_pad", "no capacity to fill up to", "expert_capacity_factor 1.25",
        [](RunSpec& s) { s.model.capacity_pad = true; }},
       {"model.router_jitter", "got 1", "at most 0.99",
        [](RunSpec& s) { s.model.router_jitter = 1; }}},
      Severity::error);
  RunSpec choosing = tiny_spec();
  choosing.model.router_choice = RouterChoice::expert;
  choosing.model.router_renormalize = false;
  choosing.model.aux_loss_coeff = 0;
  expect_cases(choosing,
               {{"model.router_renormalize", "router_choice is expert", "false",
                 [](RunSpec& s) { s.model.router_renormalize = true; }},
                {"model.router_num_groups", "router_choice is expert", "use 1",
                 [](RunSpec& s) { s.model.router_num_groups = 2; }},
                {"model.aux_loss_coeff", "every load is equal", "use 0",
                 [](RunSpec& s) { s.model.aux_loss_coeff = 0.01; }},
                {"model.expert_bias_update_rate", "every load is equal", "use 0",
                 [](RunSpec& s) { s.model.expert_bias_update_rate = 0.01; }},
                {"model.capacity_policy", "router_choice is expert", "probability",
                 [](RunSpec& s) { s.model.capacity_policy = CapacityPolicy::position; }},
                {"model.capacity_pad", "every expert is full", "use false",
                 [](RunSpec& s) { s.model.capacity_pad = true; }}},
               Severity::error);
  expect_cases(choosing, {{"model.router_choice", "later ones too", "token", [](RunSpec&) {}}},
               Severity::note);
  expect_cases(tiny_spec(),
               {{"model.expert_capacity_factor", "0.75 drops at least 25 %", "1.25",
                 [](RunSpec& s) { s.model.expert_capacity_factor = 0.75; }}},
               Severity::warning);
}

TEST(Validate, TrainingAndDataRules) {
  expect_cases(
      tiny_spec(),
      {{"training.warmup_steps", "not less than", "at most 20",
        [](RunSpec& s) { s.training.warmup_steps = 200; }},
       {"training.decay_steps", "warmup 20 + decay 190", "at most 180",
        [](RunSpec& s) {
          s.training.lr_schedule = LrScheduleKind::wsd;
          s.training.decay_steps = 190;
        }},
       {"training.min_learning_rate", "more than training.learning_rate", "use 0.0001",
        [](RunSpec& s) { s.training.min_learning_rate = 1; }},
       {"training.global_batch_size",
        "16 is not a multiple of micro_batch_size x data_parallel_size = 3 x 1 = 3", "use 15 or 18",
        [](RunSpec& s) { s.layout.micro_batch_size = 3; }},
       {"training.global_batch_size", "= 32 x 1", "use 32",
        [](RunSpec& s) { s.layout.micro_batch_size = 32; }},
       {"training.seq_length", "model.max_position_embeddings = 1024", "at most 1024",
        [](RunSpec& s) {
          s.model.position = PositionKind::learned;
          s.training.seq_length = 2048;
        }},
       {"training.adam_beta2", "never forgets", "0.95",
        [](RunSpec& s) { s.training.adam_beta2 = 1; }},
       {"training.ema_decay", "never forgets", "0.999",
        [](RunSpec& s) { s.training.ema_decay = 1; }},
       {"training.rampup_tokens", "rampup_batch_size is 0", "set rampup_batch_size",
        [](RunSpec& s) { s.training.rampup_tokens = 100; }},
       {"training.rampup_batch_size", "16 is not less than", "or 0 for no ramp",
        [](RunSpec& s) { s.training.rampup_batch_size = 16; }},
       {"training.rampup_increment", "5 does not divide", "use 4 or 6",
        [](RunSpec& s) {
          s.training.rampup_batch_size = 4;
          s.training.rampup_increment = 5;
        }},
       {"training.rampup_batch_size", "multiple of micro_batch_size x data_parallel_size = 2 x 1",
        "multiple of 2",
        [](RunSpec& s) {
          s.layout.micro_batch_size = 2;
          s.training.rampup_batch_size = 3;
          s.training.rampup_increment = 13;
        }},
       {"layout.schedule_file", "the batch grows", "rampup_batch_size 0",
        [](RunSpec& s) {
          s.training.rampup_batch_size = 4;
          s.training.rampup_increment = 4;
          s.layout.schedule_file = "mine.txt";
        }},
       {"training.rampup_increment", "2 is not a multiple of micro_batch_size", "multiple of 4",
        [](RunSpec& s) {
          s.training.rampup_batch_size = 4;
          s.training.rampup_increment = 2;
          s.layout.pipeline_parallel_size = 4;
          s.layout.virtual_stages = 2;
          s.layout.schedule = ScheduleKind::interleaved;
        }},
       {"training.rampup_batch_size", "4 are 4 micro-batches, dualpipe-v needs", "use 8",
        [](RunSpec& s) {
          s.training.rampup_batch_size = 4;
          s.training.rampup_increment = 4;
          s.layout.pipeline_parallel_size = 4;
          s.layout.virtual_stages = 2;
          s.layout.schedule = ScheduleKind::dualpipe_v;
        }},
       {"training.rampup_tokens", "no length", "a tenth",
        [](RunSpec& s) {
          s.training.rampup_batch_size = 4;
          s.training.rampup_increment = 4;
        }},
       {"model.mup_base_hidden_size", "training.optimizer is muon", "use adamw",
        [](RunSpec& s) {
          s.model.mup_base_hidden_size = 64;
          s.training.optimizer = OptimizerKind::muon;
        }},
       {"model.init_method", "both scale by the width", "normal or scaled_normal",
        [](RunSpec& s) {
          s.model.mup_base_hidden_size = 64;
          s.model.init_method = InitMethod::small_init;
        }},
       {"training.muon_momentum", "never forgets", "0.95",
        [](RunSpec& s) { s.training.muon_momentum = 1; }},
       {"training.sgd_nesterov", "sgd_momentum is 0", "0.9",
        [](RunSpec& s) {
          s.training.sgd_momentum = 0;
          s.training.sgd_nesterov = true;
        }},
       {"training.adafactor_beta2_decay", "got 0.8", "at most 0",
        [](RunSpec& s) { s.training.adafactor_beta2_decay = 0.8; }},
       {"training.param_groups.router.lr_multiplier", "got -1", "at least 0",
        [](RunSpec& s) { s.training.param_groups.router.lr_multiplier = -1; }},
       {"data.datasets", "add up to 0", "weight of 1",
        [](RunSpec& s) {
          s.data.datasets = {{"a", "", 0}};
        }},
       {"data.datasets[0].path", "empty", "data/train",
        [](RunSpec& s) {
          s.data.datasets = {{"", "", 1}};
        }},
       {"data.blend_stages[0].weights", "got 1 weights for 0 datasets", "one weight per dataset",
        [](RunSpec& s) {
          s.data.blend_stages = {{5, {1}}};
        }},
       {"data.blend_stages[1].from_sample", "5 does not come after 5", "order",
        [](RunSpec& s) {
          s.data.datasets = {{"a", "", 1}};
          s.data.blend_stages = {{5, {1}}, {5, {1}}};
        }}},
      Severity::error);
}

TEST(Validate, LayoutRules) {
  RunSpec good = run_preset("moe-1t")->spec;
  expect_cases(
      good,
      {{"layout.tensor_parallel_size", "3 does not divide model.num_attention_heads = 64",
        "use 2 or 4", [](RunSpec& s) { s.layout.tensor_parallel_size = 3; }},
       {"layout.expert_parallel_size", "6 does not divide model.num_experts = 256", "use 4 or 8",
        [](RunSpec& s) { s.layout.expert_parallel_size = 6; }},
       {"layout.expert_parallel_size", "does not divide the 2 ranks", "use 2",
        [](RunSpec& s) {
          s.layout.data_parallel_size = 1;
          s.layout.context_parallel_size = 1;
        }},
       {"layout.expert_tensor_parallel_size", "7 does not divide model.moe_ffn_hidden_size",
        "use 4 or 8", [](RunSpec& s) { s.layout.expert_tensor_parallel_size = 7; }},
       {"layout.pipeline_parallel_size", "64 is more than model.num_layers = 63", "at most 63",
        [](RunSpec& s) { s.layout.pipeline_parallel_size = 64; }},
       {"layout.virtual_stages", "2, but the schedule 1f1b has one model chunk", "use 1, or the",
        [](RunSpec& s) { s.layout.virtual_stages = 2; }},
       {"layout.virtual_stages", "1, but the schedule interleaved needs several", "use 2, or the",
        [](RunSpec& s) { s.layout.schedule = ScheduleKind::interleaved; }},
       {"layout.virtual_stages", "1, but the schedule zb-v has two model chunks", "use 2",
        [](RunSpec& s) { s.layout.schedule = ScheduleKind::zb_v; }},
       {"layout.sequence_parallel", "each see every token 2 times", "use true",
        [](RunSpec& s) { s.layout.sequence_parallel = false; }},
       {"layout.data_parallel_size", "= 32,768 ranks, but the cluster has 16,384 devices",
        "4096 nodes", [](RunSpec& s) { s.layout.data_parallel_size *= 2; }},
       {"training.seq_length", "not a multiple of 2 x context_parallel_size = 4",
        "use 4096 or 4100", [](RunSpec& s) { s.training.seq_length = 4098; }},
       {"training.seq_length", "4098 is not a multiple of context_parallel_size = 4",
        "use 4096 or 4100",
        [](RunSpec& s) {
          s.training.seq_length = 4098;
          s.layout.context_parallel_size = 4;
          s.layout.context_parallel_method = ContextMethod::ulysses;
        }},
       {"layout.context_parallel_size",
        "64 with context_parallel_method ulysses does not divide model.num_attention_heads / "
        "tensor_parallel_size = 64 / 2 = 32",
        "use 32, or ring",
        [](RunSpec& s) {
          s.layout.context_parallel_size = 64;
          s.layout.context_parallel_method = ContextMethod::ulysses;
        }},
       {"layout", "ranks, expected at most", "lower",
        [](RunSpec& s) {
          s.layout.tensor_parallel_size = s.layout.context_parallel_size =
              s.layout.data_parallel_size = 1 << 20;
        }},
       {"cluster.inter_node.bytes_per_s", "got 0, expected at least 1: planning divides", "50e9",
        [](RunSpec& s) { s.cluster.inter_node.bytes_per_s = 0; }},
       {"cluster.device.memory_bytes", "got 0, expected at least 1", "80e9",
        [](RunSpec& s) { s.cluster.device.memory_bytes = 0; }},
       {"cluster.device.peak_flops_per_s_bf16", "got 0, expected at least 1", "989e12",
        [](RunSpec& s) { s.cluster.device.peak_flops_per_s_bf16 = 0; }},
       // So slow that the seconds of a step are no number any more.
       {"cluster.device.memory_bytes_per_s", "got 1.0e-300, expected at least 1", "3.35e12",
        [](RunSpec& s) { s.cluster.device.memory_bytes_per_s = 1e-300; }},
       {"cluster.device.price_usd_per_h", "got 1.0e+300, expected at most 1000000000", "at most",
        [](RunSpec& s) { s.cluster.device.price_usd_per_h = 1e300; }},
       {"cluster.device.idle_power_w", "more than peak_power_w", "at most 700",
        [](RunSpec& s) { s.cluster.device.idle_power_w = 900; }}},
      Severity::error);
}

// moe-1t: a replica of its experts is on 8 ranks of a stage, of the rest on tensor 2 x context 2.
TEST(Validate, FrameworksPutRanksInTheirOrder) {
  RunSpec spec = run_preset("moe-1t")->spec;
  spec.layout.rank_order = RankOrder::tp_cp_ep_pp_dp;
  EXPECT_EQ(findings_text(validate(spec)).find("rank_order"), std::string::npos);
  expect_cases(spec,
               {{"layout.rank_order", "framework deepspeed always", "use tp-cp-ep-dp-pp",
                 [](RunSpec& s) { s.software.framework = Framework::deepspeed; }},
                {"layout.rank_order", "framework torchtitan always", "use tp-cp-ep-dp-pp",
                 [](RunSpec& s) { s.software.framework = Framework::torchtitan; }},
                {"layout.rank_order", "on 8 and 4 ranks of a stage", "use tp-cp-ep-dp-pp",
                 [](RunSpec& s) { s.software.framework = Framework::megatron_lm; }}},
               Severity::error);
  spec.software.framework = Framework::megatron_lm;
  spec.layout.expert_parallel_size = 4;
  expect_cases(spec,
               {{"layout.rank_order", "no effect with pipeline_parallel_size 1", "",
                 [](RunSpec& s) { s.layout.pipeline_parallel_size = 1; }},
                {"layout.rank_order", "no effect with data_parallel_size 1", "",
                 [](RunSpec& s) { s.layout.data_parallel_size = 1; }}},
               Severity::note);
}

TEST(Validate, OffloadNeedsAHostThatIsKnown) {
  RunSpec good = run_preset("moe-1t")->spec;
  good.layout.offload = {.weights = OffloadTier::nvme, .optimizer = OffloadTier::host};
  expect_cases(good,
               {{"cluster.host.memory_bytes", "layout.offload.weights needs it", "2e12",
                 [](RunSpec& s) { s.cluster.host.memory_bytes = 0; }},
                {"cluster.host.to_device_bytes_per_s", "not known", "63e9",
                 [](RunSpec& s) { s.cluster.host.to_device_bytes_per_s = 0; }},
                {"cluster.host.from_device_bytes_per_s", "not known", "63e9",
                 [](RunSpec& s) { s.cluster.host.from_device_bytes_per_s = 0; }},
                {"cluster.host.memory_bytes_per_s", "layout.offload.optimizer", "600e9",
                 [](RunSpec& s) { s.cluster.host.memory_bytes_per_s = 0; }},
                {"cluster.host.nvme_bytes", "layout.offload.weights", "30e12",
                 [](RunSpec& s) { s.cluster.host.nvme_bytes = 0; }},
                {"cluster.host.nvme_read_bytes_per_s", "not known", "54e9",
                 [](RunSpec& s) { s.cluster.host.nvme_read_bytes_per_s = 0; }},
                {"cluster.host.nvme_write_bytes_per_s", "not known", "32e9",
                 [](RunSpec& s) { s.cluster.host.nvme_write_bytes_per_s = 0; }},
                {"layout.offload.weights", "host's processor", "use none",
                 [](RunSpec& s) { s.cluster.device.is_cpu = true; }}},
               Severity::error);
  RunSpec host_only = good;
  host_only.layout.offload.weights = OffloadTier::host;
  host_only.cluster.host.nvme_bytes = 0;
  EXPECT_FALSE(has_errors(validate(host_only))) << findings_text(validate(host_only));
}

TEST(Validate, SchedulesAskForChunksAndMicroBatches) {
  RunSpec good = run_preset("moe-1t")->spec;  // 32 stages, 128 micro-batches
  good.model.num_layers = 64;
  const auto use = [](RunSpec& s, ScheduleKind kind, int chunks) {
    s.layout.schedule = kind;
    s.layout.virtual_stages = chunks;
  };
  for (const ScheduleKind kind :
       {ScheduleKind::interleaved, ScheduleKind::zb_v, ScheduleKind::dualpipe_v}) {
    RunSpec spec = good;
    use(spec, kind, 2);
    EXPECT_FALSE(has_errors(validate(spec))) << enum_name(kind);
  }
  expect_cases(
      good,
      {{"layout.virtual_stages", "32 x 4 is more than model.num_layers = 64", "at most 2",
        [&](RunSpec& s) { use(s, ScheduleKind::interleaved, 4); }},
       {"layout.schedule", "interleaved with 127 micro-batches, which is not a multiple of",
        "use training.global_batch_size 16384",
        [&](RunSpec& s) {
          use(s, ScheduleKind::interleaved, 2);
          s.training.global_batch_size = 127 * 128;
        }},
       {"layout.schedule", "dualpipe-v with 63 micro-batches, fewer than 2 x", "size 8192",
        [&](RunSpec& s) {
          use(s, ScheduleKind::dualpipe_v, 2);
          s.training.global_batch_size = 63 * 128;
        }},
       {"layout.virtual_stages", "3, but the schedule dualpipe-v has two", "use 2",
        [&](RunSpec& s) { use(s, ScheduleKind::dualpipe_v, 3); }},
       {"layout.schedule", "zb-h1 with pipeline_parallel_size 1", "use 1f1b",
        [&](RunSpec& s) {
          use(s, ScheduleKind::zb_h1, 1);
          s.layout.pipeline_parallel_size = 1;
        }}},
      Severity::error);
}

TEST(Validate, NarrowProductsNeedADeviceThatHasThem) {
  RunSpec spec = tiny_spec();
  spec.training.precision = Precision::fp8_block;
  spec.cluster = cluster_preset("a100-ib")->cluster;
  EXPECT_NE(find(validate(spec), "cluster.device.peak_flops_per_s_fp8", "no such products"),
            nullptr);
  spec.cluster = cluster_preset("h100-ib")->cluster;
  EXPECT_FALSE(has_errors(validate(spec)));
  spec.training.precision = Precision::nvfp4;
  EXPECT_NE(find(validate(spec), "cluster.device.peak_flops_per_s_fp4", "nvfp4"), nullptr);
}

TEST(Validate, TheEnginesOwnKernelsAreFixed) {
  for (const char* path :
       {"software.fused_attention", "software.fused_cross_entropy", "software.dropout"}) {
    RunSpec spec = tiny_spec();
    ASSERT_TRUE(
        set_field(spec, path, std::string_view(path) == "software.dropout" ? "true" : "false"));
    EXPECT_NE(find(validate(spec), path, "framework teragpt"), nullptr) << path;
    spec.software.framework = Framework::megatron_lm;
    EXPECT_FALSE(has_errors(validate(spec))) << path;
  }
}

TEST(Validate, WarnsWhereItCostsSpeed) {
  expect_cases(run_preset("moe-1t")->spec,
               {{"model.head_dim", "not a multiple of 32", "64, 96 or 128",
                 [](RunSpec& s) { s.model.head_dim = 80; }},
                {"model.rope_factor", "model.rope_scaling is none", "linear, llama3 or yarn",
                 [](RunSpec& s) { s.model.rope_factor = 2; }},
                {"training.global_batch_size", "16 micro-batches for 32 pipeline stages",
                 "use at least 16384", [](RunSpec& s) { s.training.global_batch_size = 2048; }},
                {"layout.zero_stage", "for every micro-batch", "use 1",
                 [](RunSpec& s) { s.layout.zero_stage = 3; }},
                {"layout.data_parallel_size", "8,192 stay idle", "data_parallel_size 128",
                 [](RunSpec& s) { s.layout.data_parallel_size = 64; }},
                {"model.aux_loss_coeff", "nothing balances", "0.01",
                 [](RunSpec& s) { s.model.aux_loss_coeff = 0; }},
                {"model.vocab_size", "rows are padded", "use 131074",
                 [](RunSpec& s) { s.model.vocab_size = 131073; }}},
               Severity::warning);
}

TEST(Validate, AllGatherIsAWayToExpertsThatRanksShareOut) {
  RunSpec good = run_preset("moe-1t")->spec;
  good.layout.expert_dispatcher = ExpertDispatcher::all_gather;
  EXPECT_EQ(findings_text(validate(good)).find("expert_dispatcher"), std::string::npos);
  EXPECT_EQ(findings_text(validate_for_engine(good)).find("expert_dispatcher"), std::string::npos);
  expect_cases(good,
               {{"layout.expert_dispatcher", "all-gather, but software.token_deduplication",
                 "use all-to-all",
                 [](RunSpec& s) {
                   s.software.framework = Framework::megatron_lm;
                   s.software.token_deduplication = true;
                 }}},
               Severity::error);
  expect_cases(good,
               {{"layout.expert_dispatcher", "no effect with expert_parallel_size 1", "",
                 [](RunSpec& s) { s.layout.expert_parallel_size = 1; }}},
               Severity::note);
  RunSpec dense = run_preset("gpt2-124m")->spec;
  expect_cases(dense,
               {{"layout.expert_dispatcher", "no effect without experts", "",
                 [](RunSpec& s) { s.layout.expert_dispatcher = ExpertDispatcher::all_gather; }}},
               Severity::note);
}

TEST(Validate, CopiesOfWhatZeroShardsDivideReplicas) {
  RunSpec good = run_preset("moe-1t")->spec;  // tensor 2 x context 2 x data 128, expert 8
  good.layout.zero_replicas = 32;
  expect_cases(good,
               {{"layout.zero_replicas",
                 "3 does not divide context_parallel_size x data_parallel_size = 256", "use 2 or 4",
                 [](RunSpec& s) { s.layout.zero_replicas = 3; }},
                {"layout.zero_replicas", "128 does not divide replicas of experts = 64", "use 64",
                 [](RunSpec& s) { s.layout.zero_replicas = 128; }}},
               Severity::error);
  RunSpec dense = run_preset("gpt2-124m")->spec;
  dense.layout.data_parallel_size = 4;
  dense.layout.zero_stage = 1;
  expect_cases(dense,
               {{"layout.zero_replicas", "no effect with zero_stage 0", "",
                 [](RunSpec& s) { s.layout.zero_replicas = 2, s.layout.zero_stage = 0; }},
                {"layout.zero_replicas", "4 copies are a rank each", "zero_stage 0, or less than 4",
                 [](RunSpec& s) { s.layout.zero_replicas = 4; }}},
               Severity::note);
  dense.layout.zero_replicas = 2;
  EXPECT_EQ(findings_text(validate(dense)).find("zero_replicas"), std::string::npos);
}

TEST(Validate, TellsWhenZeroSharesGradientsOut) {
  RunSpec spec = tiny_spec();
  spec.layout.zero_stage = 2;
  ASSERT_GT(spec.num_micro_batches(), 1);
  const auto told = [&spec] {
    const std::vector<Diagnostic> found = validate(spec);
    const Diagnostic* const note = find(found, "layout.zero_stage", "keeps them whole until then");
    return note != nullptr && note->severity == Severity::note;
  };
  EXPECT_TRUE(told());
  spec.training.global_batch_size /= static_cast<int>(spec.num_micro_batches());
  EXPECT_FALSE(told()) << "one micro-batch";
}

TEST(Validate, TellsWhenNothingRunsBesideTheExchange) {
  RunSpec good = tiny_spec();
  good.software.expert_overlap = true;
  good.layout.data_parallel_size = good.layout.expert_parallel_size = 2;
  ASSERT_TRUE(good.overlaps_experts());
  EXPECT_EQ(find(validate(good), "software.expert_overlap", ""), nullptr);
  const auto told = [&good](const char* what, void (*change)(RunSpec&)) {
    RunSpec spec = good;
    change(spec);
    EXPECT_FALSE(spec.overlaps_experts()) << what;
    return find(validate(spec), "software.expert_overlap", what) != nullptr;
  };
  EXPECT_TRUE(told("no rows travel", [](RunSpec& s) { s.layout.expert_parallel_size = 1; }));
  EXPECT_TRUE(told("gpipe", [](RunSpec& s) { s.layout.schedule = ScheduleKind::gpipe; }));
  EXPECT_TRUE(told("zb-h1", [](RunSpec& s) { s.layout.schedule = ScheduleKind::zb_h1; }));
  EXPECT_TRUE(told("one micro-batch", [](RunSpec& s) {
    s.training.global_batch_size = s.layout.micro_batch_size * s.layout.data_parallel_size;
  }));
  good.training.global_batch_size += 1;  // does not divide
  EXPECT_EQ(find(validate(good), "software.expert_overlap", ""), nullptr);
}

TEST(Validate, ReportsEveryProblemAtOnce) {
  RunSpec spec = tiny_spec();
  spec.name = "a b";
  spec.model.router_top_k = 9;
  spec.training.warmup_steps = 1000;
  spec.layout.micro_batch_size = 3;
  int errors = 0;
  for (const Diagnostic& d : validate(spec))
    errors += d.severity == Severity::error ? 1 : 0;
  EXPECT_EQ(errors, 4) << findings_text(validate(spec));
}

TEST(Validate, SeveralRanksMayShareAProcessor) {
  RunSpec spec = tiny_spec();
  spec.layout.data_parallel_size = 4;
  EXPECT_FALSE(has_errors(validate(spec))) << findings_text(validate(spec));
}

TEST(Validate, AnUndescribedClusterIsAWarning) {
  RunSpec spec = tiny_spec();
  spec.cluster = {};
  spec.layout.data_parallel_size = 2;
  ASSERT_FALSE(has_errors(validate(spec)));
  EXPECT_NE(find(validate(spec), "cluster", "not described"), nullptr);
}

TEST(ValidateForEngine, SaysWhatThisBuildDoesNotTrain) {
  RunSpec spec = run_preset("tiny-moe")->spec;
  EXPECT_TRUE(validate_for_engine(spec).empty());
  spec.layout.data_parallel_size = 2;
  spec.layout.schedule = ScheduleKind::gpipe;
  spec.training.precision = Precision::bf16;
  spec.model.qk_norm = QkNormKind::full;
  spec.model.attention_softcap = 30;
  EXPECT_TRUE(validate_for_engine(spec).empty());
  RunSpec latent = spec;
  latent.model = model_preset("deepseek-v3")->model;
  EXPECT_TRUE(validate_for_engine(latent).empty());
  RunSpec stages = spec;
  stages.layout.pipeline_parallel_size = 2;
  EXPECT_TRUE(validate_for_engine(stages).empty());
  RunSpec context = spec;
  context.layout.context_parallel_size = 2;
  EXPECT_TRUE(validate_for_engine(context).empty());
  context.layout.context_parallel_method = ContextMethod::ulysses;
  EXPECT_TRUE(validate_for_engine(context).empty());
  const auto expect_refused = [](RunSpec other, const char* path, const char* why) {
    ASSERT_TRUE(set_field(other, path, "2"));
    ASSERT_EQ(validate_for_engine(other).size(), 1U) << path;
    EXPECT_EQ(validate_for_engine(other)[0].field, path);
    EXPECT_THAT(validate_for_engine(other)[0].message, HasSubstr(why));
  };
  for (const char* path : {"layout.tensor_parallel_size", "layout.expert_parallel_size",
                           "layout.expert_tensor_parallel_size"}) {
    RunSpec other = spec;
    ASSERT_TRUE(set_field(other, path, "2"));
    EXPECT_TRUE(validate_for_engine(other).empty()) << path;
    RunSpec adapted = spec;
    adapted.lora.rank = 4;
    adapted.lora.target_modules = {"all-linear"};
    expect_refused(adapted, path, "adapters");
  }
  RunSpec whole = spec;
  whole.training.optimizer = OptimizerKind::muon;
  expect_refused(whole, "layout.tensor_parallel_size", "muon");
  expect_refused(whole, "layout.expert_tensor_parallel_size", "muon");
  for (const auto& [path, value] : {std::pair("training.precision", "fp8_block"),
                                    std::pair("training.gradient_precision", "bf16"),
                                    std::pair("training.moment_precision", "int8"),
                                    std::pair("software.framework", "megatron_lm")}) {
    RunSpec other = spec;
    ASSERT_TRUE(set_field(other, path, value));
    ASSERT_EQ(validate_for_engine(other).size(), 1U) << path;
    EXPECT_EQ(validate_for_engine(other)[0].field, path);
    EXPECT_NE(validate_for_engine(other)[0].message.find(value), std::string::npos);
  }
  spec.layout.recompute = RecomputeKind::full;
  EXPECT_TRUE(validate_for_engine(spec).empty());
  for (const char* kind : {"weights", "gradients", "optimizer", "activations"}) {
    RunSpec other = spec;
    const std::string path = std::string("layout.offload.") + kind;
    ASSERT_TRUE(set_field(other, path, "nvme"));
    ASSERT_EQ(validate_for_engine(other).size(), 1U) << path;
    EXPECT_EQ(validate_for_engine(other)[0].field, path);
    EXPECT_THAT(validate_for_engine(other)[0].message, HasSubstr("keeps all on the device"));
  }
  for (const int stage : {1, 2, 3}) {
    spec.layout.zero_stage = stage;
    EXPECT_TRUE(validate_for_engine(spec).empty());
  }
  RunSpec ordered = spec;  // ZeRO 3
  ordered.layout.schedule_file = "order.txt";
  ASSERT_EQ(validate_for_engine(ordered).size(), 1U);
  EXPECT_THAT(validate_for_engine(ordered)[0].message, HasSubstr("its own order"));
  RunSpec in_turns = spec;
  in_turns.software.expert_overlap = true;
  in_turns.model.num_experts = 4;
  in_turns.layout.schedule = ScheduleKind::one_f_one_b;
  in_turns.layout.data_parallel_size = in_turns.layout.expert_parallel_size = 2;
  in_turns.training.global_batch_size = 8 * in_turns.layout.micro_batch_size;
  ASSERT_TRUE(in_turns.overlaps_experts());
  ASSERT_EQ(validate_for_engine(in_turns).size(), 1U);
  EXPECT_THAT(validate_for_engine(in_turns)[0].message, HasSubstr("weights of one pass at a time"));
  spec.training.optimizer = OptimizerKind::muon;
  ASSERT_EQ(validate_for_engine(spec).size(), 1U);
  EXPECT_THAT(validate_for_engine(spec)[0].message, HasSubstr("muon updates whole matrices"));
  spec.training.optimizer = OptimizerKind::lion;
  spec.layout.zero_stage = 2;
  spec.layout.pipeline_parallel_size = 2;
  ASSERT_EQ(validate_for_engine(spec).size(), 1U);
  EXPECT_EQ(validate_for_engine(spec)[0].field, "layout.zero_stage");
  spec.layout.pipeline_parallel_size = 1;
  spec.data.datasets.clear();
  EXPECT_EQ(validate_for_engine(spec).size(), 1U);
}

TEST(ValidateForEngine, ReproducibleSumsKnowTheMicroBatchOfAGradient) {
  RunSpec good = run_preset("tiny-moe")->spec;
  good.training.reproducible_sums = true;
  good.layout.pipeline_parallel_size = 2;
  EXPECT_EQ(findings_text(validate_for_engine(good)), "");
  const auto expect_refused = [](const RunSpec& spec, const std::string& message,
                                 const char* hint) {
    const std::vector<Diagnostic> found = validate_for_engine(spec);
    ASSERT_EQ(found.size(), 1U) << findings_text(found);
    EXPECT_EQ(found[0].field, "training.reproducible_sums");
    EXPECT_THAT(found[0].message, HasSubstr(message));
    EXPECT_THAT(found[0].hint, HasSubstr(hint));
  };
  RunSpec shared = good;
  shared.model.tie_embeddings = true;
  expect_refused(shared, "embedding matrix that 2 stages share", "pipeline_parallel_size 1");
  shared.layout.pipeline_parallel_size = 1;
  EXPECT_EQ(findings_text(validate_for_engine(shared)), "");
  shared.layout.schedule_file = "order.txt";
  expect_refused(shared, "a layout.schedule_file", "no schedule_file");
  for (const ScheduleKind kind : {ScheduleKind::gpipe, ScheduleKind::zb_h1, ScheduleKind::zb_h2,
                                  ScheduleKind::zb_v, ScheduleKind::dualpipe_v}) {
    RunSpec other = good;
    other.layout.schedule = kind;
    expect_refused(other, "layout.schedule " + std::string(enum_name(kind)), "1f1b or interleaved");
  }
  RunSpec in_turns = good;
  in_turns.layout.data_parallel_size = in_turns.layout.expert_parallel_size = 2;
  in_turns.training.global_batch_size = 8 * in_turns.layout.micro_batch_size;
  EXPECT_EQ(findings_text(validate_for_engine(in_turns)), "");
  in_turns.software.expert_overlap = true;
  ASSERT_TRUE(in_turns.overlaps_experts());
  expect_refused(in_turns, "two micro-batches at a time", "no expert_overlap");
}

TEST(Validate, AdapterRules) {
  RunSpec good = tiny_spec();
  good.training.init_from = "base";
  good.lora.rank = 8;
  good.lora.target_modules = {"attention.q", "experts.in"};
  expect_cases(
      good,
      {{"lora.rank", "0, but lora.target_modules names 2 projections", "use 8",
        [](RunSpec& s) { s.lora.rank = 0; }},
       {"lora.target_modules", "nothing would be trained", "[attention.q, attention.v]",
        [](RunSpec& s) { s.lora.target_modules.clear(); }},
       {"lora.alpha", "0 switches", "twice", [](RunSpec& s) { s.lora.alpha = 0; }},
       {"lora.target_modules[0]", "no projection is called 'attention.qq'",
        "did you mean attention.q?", [](RunSpec& s) { s.lora.target_modules[0] += "q"; }},
       {"lora.target_modules[1]", "attention.q is named twice", "once",
        [](RunSpec& s) { s.lora.target_modules[1] = "attention.q"; }},
       {"lora.target_modules[1]", "the model has no attention.kv_up", "use attention.q",
        [](RunSpec& s) { s.lora.target_modules[1] = "attention.kv_up"; }},
       {"lora.target_modules[1]", "the model has no experts.in: model.num_experts is 0", "ffn.in",
        [](RunSpec& s) {
          s.model.num_experts = s.model.router_top_k = s.model.moe_ffn_hidden_size = 0;
          s.model.ffn_hidden_size = 512;
        }},
       {"lora.target_modules[0]", "every layer of the model has experts", "experts.in",
        [](RunSpec& s) { s.lora.target_modules[0] = "ffn.out"; }},
       {"lora.target_modules[0]", "the model has no head: model.tie_embeddings", "experts.in",
        [](RunSpec& s) {
          s.model.tie_embeddings = true;
          s.lora.target_modules[0] = "head";
        }},
       {"training.init_from", "empty, but adapters", "teragpt convert",
        [](RunSpec& s) { s.training.init_from.clear(); }}},
      Severity::error);
}

}  // namespace
}  // namespace tera::spec
