#include "core/plan/known_runs.h"

#include <string>

#include <fmt/format.h>

#include "core/spec/presets.h"
#include "core/spec/yaml.h"

namespace tera::plan {
namespace {

// FLOPs of one token with whole layers recomputed, attention counted whole, of a model whose
// feed-forward layers are four times as wide. Source: Narayanan et al. 2021, equation 3.
double hardware_flops_per_token(const spec::ModelConfig& model, int seq_length) {
  const double h = model.hidden_size;
  const double layers = model.num_layers;
  // Four passes (forward twice, backward as two) of two FLOPs for each of 12 h^2 weights of a
  // layer.
  return 4 * 2 * 12 * layers * h * h *
         (1 + seq_length / (6 * h) + model.vocab_size / (16 * layers * h));
}

// GPT of 128 layers of 25,600 on nodes of sixteen V100, all states shared out among them: the
// batches of 2021 were eight sequences of 1,024 for each device, whole layers recomputed.
std::vector<std::string> trillion_settings(int num_nodes,
                                           std::string_view weights,
                                           std::string_view states) {
  return {"model.num_layers=128",
          "model.hidden_size=25600",
          "model.num_attention_heads=200",
          "model.num_key_value_heads=200",
          "model.head_dim=128",
          "model.ffn_hidden_size=102400",
          "cluster.preset=v100-dgx2",
          fmt::format("cluster.num_nodes={}", num_nodes),
          fmt::format("layout.data_parallel_size={}", 16 * num_nodes),
          "layout.micro_batch_size=8",
          fmt::format("training.global_batch_size={}", 128 * num_nodes),
          "layout.zero_stage=3",
          "layout.recompute=full",
          fmt::format("layout.offload.weights={}", weights),
          fmt::format("layout.offload.gradients={}", states),
          fmt::format("layout.offload.optimizer={}", states),
          "layout.offload.activations=host",
          "training.precision=fp16",
          "software.framework=deepspeed",
          "software.fused_attention=false",
          "software.fused_cross_entropy=false",
          "software.compiled=false"};
}

}  // namespace

std::span<const KnownRun> known_runs() {
  static const std::vector<KnownRun> runs = {
      {.name = "GPT-NeoX-20B, 96 A100 40 GB",
       .run = "gpt-neox-20b",
       .settings = {},
       .what = Reported::hardware_flops_per_s,
       .published = 117e12,
       .source = "Black et al. 2022, section 2.3"},
      {.name = "GPT-NeoX-20B, whole run",
       .run = "gpt-neox-20b",
       .settings = {},
       .what = Reported::run_hours,
       .published = 1830,
       .source = "Black et al. 2022, appendix on energy"},
      {.name = "BLOOM-176B, 384 A100 80 GB",
       .run = "bloom-176b",
       .settings = {},
       .what = Reported::step_s,
       .published = 104.5,
       .source = "BigScience, tr11-176B-ml chronicles, 28 February 2022"},
      {.name = "Llama 3 405B, 16,384 H100",
       .run = "llama-3-405b",
       .settings = {},
       .what = Reported::utilization,
       .published = 0.41,
       .source = "Llama Team 2024, table 4"},
      {.name = "Llama 3.1 405B, whole run",
       .run = "llama-3-405b",
       .settings = {},
       .what = Reported::device_hours,
       .published = 30.84e6,
       .source = "Llama 3.1 model card"},
      {.name = "DeepSeek-V3, 2,048 H800",
       .run = "deepseek-v3",
       // DualPipe over 16 ranks, each with two stages' weights, cut in half (DeepSeek 2025,
       // DualPipeV): eight ranks with two stages each, and twice the replicas.
       .settings = {"cluster.preset=h800-ib", "cluster.num_nodes=256",
                    "training.precision=fp8_block", "layout.schedule=dualpipe-v",
                    "layout.pipeline_parallel_size=8", "layout.virtual_stages=2",
                    "layout.data_parallel_size=256", "layout.ends_count_as_layers=true",
                    "layout.recompute=selective", "software.framework=megatron_lm",
                    "software.token_deduplication=true", "software.expert_overlap=true",
                    "software.cuda_graphs=full"},
       .what = Reported::device_hours_per_t,
       .published = 180e3,
       .source = "DeepSeek-AI 2024, section 1"},
      {.name = "ZeRO-Infinity 1 T, one DGX-2",
       .run = "gpt2-124m",
       .settings = trillion_settings(1, "nvme", "nvme"),
       .what = Reported::params,
       .published = 1e12,
       .source = "Rajbhandari et al. 2021, abstract"},
      {.name = "ZeRO-3 Offload 1 T, 512 V100",
       .run = "gpt2-124m",
       .settings = trillion_settings(32, "none", "host"),
       .what = Reported::hardware_flops_per_s,
       .published = 49e12,
       .source = "DeepSpeed 2021, ZeRO-3 Offload"},
      {.name = "Switch-C",
       .run = "switch-1.6t",
       .settings = {},
       .what = Reported::params,
       .published = 1.571e12,
       .source = "Fedus et al. 2021, table 9"}};
  return runs;
}

Result<spec::RunSpec> known_spec(const KnownRun& run) {
  TERA_TRY(spec::RunPreset preset, spec::run_preset(run.run));
  for (const std::string& text : run.settings) {
    const std::string_view setting = text;
    const std::size_t equals = setting.find('=');
    TERA_TRY_VOID(
        spec::set_field(preset.spec, setting.substr(0, equals), setting.substr(equals + 1)));
  }
  return std::move(preset.spec);
}

double predicted(const KnownRun& run, const spec::RunSpec& spec, const Estimate& estimate) {
  const RunCost& cost = estimate.cost;
  switch (run.what) {
    case Reported::params:
      return static_cast<double>(estimate.params.total);
    case Reported::step_s:
      return estimate.step_s;
    case Reported::hardware_flops_per_s:
      return estimate.tokens_per_s_per_device *
             hardware_flops_per_token(spec.model, spec.training.seq_length);
    case Reported::utilization:
      return estimate.model_flops_utilization;
    case Reported::run_hours:
      return cost.run_s / 3600;
    case Reported::device_hours:
      return cost.device_hours;
    case Reported::device_hours_per_t:
      return cost.device_hours / cost.tokens * 1e12;
  }
  return 0;
}

Result<KnownNotes> known_notes() {
  KnownNotes notes;
  for (const KnownRun& run : known_runs()) {
    TERA_TRY(spec::RunSpec spec, known_spec(run));
    const bool deepseek = run.run == "deepseek-v3";
    if (deepseek) spec.layout.recompute = spec::RecomputeKind::full;
    TERA_TRY(const Estimate e, estimate(spec));
    if (deepseek) notes.deepseek_recomputed = predicted(run, spec, e) / run.published - 1;
    if (run.run == "gpt-neox-20b" && run.what == Reported::hardware_flops_per_s) {
      const double flops =
          e.cost.tokens * hardware_flops_per_token(spec.model, spec.training.seq_length);
      notes.neox_hours = flops / (run.published * e.cost.devices) / 3600;
    }
    if (run.name.starts_with("ZeRO-Infinity")) {
      const Term& memory = e.stages[static_cast<std::size_t>(e.worst_stage)].memory;
      notes.infinity_bytes = e.worst_bytes;
      notes.infinity_capacity_bytes = e.capacity_bytes;
      notes.infinity_gathered_bytes = find_term(memory, "gathered layers")->value;
    }
  }
  return notes;
}

}  // namespace tera::plan
