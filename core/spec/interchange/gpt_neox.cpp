// GPT-NeoX: what its table of settings does not say, because one setting depends on another.
// Source: megatron/neox_arguments of version 2.0, and megatron/model/transformer.py of 2025
// (ParallelMLP); attention_config, checkpoint_in_cpu and dropout: configs/neox_arguments.md.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/spec/interchange/adam_words.h"
#include "core/spec/interchange/batch_sizes.h"
#include "core/spec/interchange/gpt_neox_table.h"
#include "core/spec/interchange/zero_words.h"

namespace tera::spec {
namespace {

constexpr int kVocabMultiple = 128;  // times the model-parallel size
// Of intermediate_size, a gated activation gets a third for each of its three matrices.
constexpr int kGatedShare = 3;
constexpr const char* kOnHost = "checkpoint_in_cpu";

void read_model(Importer& in) {
  ModelConfig& m = in.spec().model;
  const int heads = std::max(1, m.num_attention_heads);
  if (m.hidden_size % heads != 0) {
    in.error("hidden_size",
             fmt::format("{} is not a multiple of num_attention_heads {}", m.hidden_size, heads));
  }
  m.head_dim = m.hidden_size / heads;
  m.num_key_value_heads = static_cast<int>(
      std::clamp<std::int64_t>(in.integer("num_kv_heads").value_or(heads), 0, 65536));
  const bool fused = in.flag("bias_gelu_fusion");
  if (m.activation == ActivationKind::gelu_exact && fused) m.activation = ActivationKind::gelu;
  const std::int64_t multiple =
      std::max<std::int64_t>(1, in.integer("mlp_multiple_of").value_or(1));
  std::int64_t width = in.integer("intermediate_size").value_or(std::int64_t{4} * m.hidden_size);
  if (m.gated()) width /= kGatedShare;
  width = (width + multiple - 1) / multiple * multiple;
  m.ffn_hidden_size = static_cast<int>(std::clamp<std::int64_t>(width, 0, 1 << 24));
  const bool bias = !in.has("use_bias_in_attn_linear") || in.flag("use_bias_in_attn_linear");
  m.attention_bias = bias ? AttentionBias::all : AttentionBias::none;
  const std::string first = in.text("init_method").value_or("normal");
  const std::string last = in.text("output_layer_init_method").value_or("scaled_normal");
  if (first == "small_init" && last == "wang_init") {
    m.init_method = InitMethod::small_init;
  } else if (first == "normal" && (last == "normal" || last == "scaled_normal")) {
    m.init_method = last == "normal" ? InitMethod::normal : InitMethod::scaled_normal;
  } else {
    in.leave_out("init_method", fmt::format("{} with {}: there is normal with normal or "
                                            "scaled_normal, and small_init with wang_init",
                                            first, last));
  }
  if (in.integer("moe_num_experts").value_or(1) > 1)
    in.error("moe_num_experts", "experts of GPT-NeoX are not read",
             "describe them in model.num_experts of a spec");
}

// The tokenizer says how many rows there are, rounded up so that ranks share them evenly.
void read_vocabulary(Importer& in) {
  const std::int64_t multiple =
      std::max<std::int64_t>(1,
                             in.integer("make_vocab_size_divisible_by").value_or(kVocabMultiple)) *
      std::max(1, in.spec().layout.tensor_parallel_size);
  std::int64_t rows = in.integer("padded_vocab_size").value_or(0);
  const std::string file = in.text("vocab_file").value_or("");
  const bool gpt2 = in.has("tokenizer_type") ? in.text("tokenizer_type") == "GPT2BPETokenizer"
                                             : !file.empty();  // the default
  if (rows == 0 && file.ends_with("20B_tokenizer.json")) rows = 50277;
  if (rows == 0 && gpt2) rows = 50257;
  if (rows < 1) {
    return in.error("padded_vocab_size",
                    "is missing: the size is the tokenizer's, which is not read",
                    "add padded_vocab_size, for example 50432");
  }
  if (!in.has("padded_vocab_size")) rows = (rows + multiple - 1) / multiple * multiple;
  in.spec().model.vocab_size = static_cast<int>(std::min<std::int64_t>(rows, 1 << 24));
}

void read_training(Importer& in) {
  RunSpec& spec = in.spec();
  TrainingConfig& t = spec.training;
  read_adam_betas(in, "optimizer.params.betas");
  spec.layout.pipeline_parallel_size = static_cast<int>(
      std::clamp<std::int64_t>(in.integer("pipe_parallel_size").value_or(1), 1, 1 << 20));
  const bool fp16 = in.flag("fp16.enabled");
  const bool bf16 = in.flag("bf16.enabled") || in.text("fp16.type") == "bfloat16";
  const bool named = in.has("precision");
  if ((named && fp16 && t.precision != Precision::fp16 && !bf16) ||
      (named && bf16 && t.precision != Precision::bf16)) {
    in.error("precision",
             fmt::format("{} contradicts {}", enum_name(t.precision),
                         bf16 ? "bf16.enabled" : "fp16.enabled"),
             "remove one of them");
  }
  if (!named) t.precision = bf16 ? Precision::bf16 : fp16 ? Precision::fp16 : Precision::fp32;
  if (const auto power = in.number("fp16.initial_scale_power"))
    t.initial_loss_scale = std::clamp(std::exp2(*power), 1.0, 1e9);
  const std::int64_t decay = in.integer("lr_decay_iters").value_or(t.num_steps);
  if (decay != t.num_steps) {
    in.leave_out("lr_decay_iters", fmt::format("the learning rate decays to the end of the run "
                                               "here: {} steps",
                                               t.num_steps));
  }
  const double warmup = in.number("warmup").value_or(0.01);
  if (warmup < 0 || warmup > 1)
    in.error("warmup", fmt::format("got {}, expected a share of the run, 0 to 1", warmup));
  t.warmup_steps = std::llround(std::clamp(warmup, 0.0, 1.0) * static_cast<double>(decay));
  const bool full = in.flag("checkpoint_activations");
  spec.layout.recompute = full ? RecomputeKind::full : RecomputeKind::none;
  if (const auto layers = in.integer("checkpoint_num_layers"); full && layers.value_or(1) != 1)
    in.leave_out("checkpoint_num_layers", "every layer is kept by its input here");
}

// Kinds of attention are a list of pairs, [[["flash"], 44]]: kinds in turn, and layers or "all".
void read_software(Importer& in) {
  SoftwareConfig& software = in.spec().software;
  const std::string kinds = in.list("attention_config").value_or("[]");
  const bool flash = kinds.find("\"flash\"") != std::string::npos;
  software.fused_attention = flash;
  const bool others =
      std::count(kinds.begin(), kinds.end(), '"') > 2 && kinds.find("\"all\"") == std::string::npos;
  if (others || (!flash && kinds != "[]" && kinds.find("\"global\"") == std::string::npos)) {
    in.leave_out("attention_config", fmt::format("attention of all layers is planned as {}",
                                                 flash ? "flash" : "global"));
  }
  software.fused_cross_entropy = false;
  software.compiled = false;
  software.dropout = false;
  for (const char* key : {"hidden_dropout", "attention_dropout"}) {
    const double share = in.number(key).value_or(0);
    if (share < 0 || share >= 1)
      in.error(key, fmt::format("got {}, expected 0 to less than 1", share));
    if (share <= 0) continue;
    software.dropout = true;
    in.leave_out(key, "masks of attention and of residuals are planned, of whatever share");
  }
  read_zero(in, kOnHost);
}

void write_software(const RunSpec& spec, SettingList& out) {
  const SoftwareConfig& software = spec.software;
  if (software.fused_attention) {
    Setting kinds =
        text_setting("attention_config", fmt::format("[[[\"flash\"], {}]]", spec.model.num_layers));
    kinds.kind = Setting::Kind::list;
    out.push_back(std::move(kinds));
  }
  constexpr double kShare = 0.1;  // usual: Radford et al. 2019
  for (const char* key : {"hidden_dropout", "attention_dropout"})
    out.push_back(number_setting(key, software.dropout ? kShare : 0));
  write_zero(spec, kOnHost, out);
}

void write_model(const ModelConfig& m, SettingList& out) {
  out.push_back(whole_setting("num_kv_heads", m.num_key_value_heads));
  out.push_back(
      whole_setting("intermediate_size", (m.gated() ? kGatedShare : 1) * m.ffn_hidden_size));
  if (m.activation == ActivationKind::gelu) {
    out.push_back(text_setting("activation", "gelu"));
    out.push_back(boolean_setting("bias_gelu_fusion", true));
  }
  out.push_back(boolean_setting("use_bias_in_attn_linear", m.attention_bias == AttentionBias::all));
  out.push_back(whole_setting("padded_vocab_size", m.vocab_size));
  const bool small = m.init_method == InitMethod::small_init;
  out.push_back(text_setting("init_method", small ? "small_init" : "normal"));
  out.push_back(text_setting("output_layer_init_method", small ? "wang_init"
                                                         : m.init_method == InitMethod::normal
                                                             ? "normal"
                                                             : "scaled_normal"));
}

}  // namespace

void import_gpt_neox(const std::vector<ConfigFile>& files,
                     const ImportOptions& options,
                     ImportedConfig& out) {
  SettingList settings = read_yaml_settings(files, out.findings);
  if (!out.ok()) return;
  Importer in(gpt_neox_mapping(), std::move(settings), out);
  in.spec().model = {};
  in.read_rows();
  read_model(in);
  read_vocabulary(in);
  read_training(in);
  read_software(in);
  read_batch_sizes(in, options.num_gpus);
  if (in.ok()) read_copies(in);
  in.report_unused();
  if (in.ok()) in.validate_result();
}

std::string export_gpt_neox(const RunSpec& spec) {
  SettingList out = written_rows(gpt_neox_mapping(), spec);
  write_model(spec.model, out);
  const TrainingConfig& t = spec.training;
  write_adam_betas(spec, "optimizer.params.betas", out);
  out.push_back(whole_setting("pipe_parallel_size", spec.layout.pipeline_parallel_size));
  out.push_back(whole_setting("lr_decay_iters", t.num_steps));
  out.push_back(number_setting(
      "warmup", static_cast<double>(t.warmup_steps) / static_cast<double>(t.num_steps)));
  if (t.precision == Precision::fp16)
    out.push_back(
        whole_setting("fp16.initial_scale_power", std::lround(std::log2(t.initial_loss_scale))));
  if (t.precision != Precision::fp16 && t.precision != Precision::fp32 &&
      t.precision != Precision::bf16)
    out.push_back(text_setting("precision", "bfloat16"));  // what is nearest to the narrow ones
  out.push_back(
      boolean_setting("checkpoint_activations", spec.layout.recompute == RecomputeKind::full));
  write_batch_sizes(spec, out);
  write_software(spec, out);
  return write_yaml_settings(out);
}

}  // namespace tera::spec
