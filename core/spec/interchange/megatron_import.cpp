// Megatron-LM: what its table of arguments does not say, because one argument depends on another.
// Source: megatron/training/arguments.py, megatron/core/transformer/transformer_config.py and
// megatron/core/models/common/embeddings of core_v0.13.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "core/spec/interchange/layer_pattern.h"
#include "core/spec/interchange/megatron_table.h"
#include "core/spec/interchange/pipeline_chunks.h"

namespace tera::spec {
namespace {

// Llama 3.1's stretching is built in, its factor apart. Source: rotary_pos_embedding.py.
constexpr double kLowFrequency = 1;
constexpr double kHighFrequency = 4;
constexpr int kOriginalPositions = 8192;

constexpr Word kSharding[] = {
    {"no_shard", "0"}, {"optim", "1"}, {"optim_grads", "2"}, {"optim_grads_params", "3"}};
constexpr Word kRopeTypes[] = {{"rope", "none"}, {"yarn", "yarn"}};

void read_attention(Importer& in) {
  ModelConfig& m = in.spec().model;
  const int heads = std::max(1, m.num_attention_heads);
  const std::int64_t channels = in.integer("--kv-channels").value_or(m.hidden_size / heads);
  if (m.attention == AttentionKind::grouped_query && !in.has("--kv-channels") &&
      m.hidden_size % heads != 0) {
    in.error("--hidden-size",
             fmt::format("{} is not a multiple of --num-attention-heads {}", m.hidden_size, heads),
             "give the width of a head with --kv-channels");
  }
  m.head_dim = static_cast<int>(std::clamp<std::int64_t>(channels, 0, 1 << 20));
  m.num_key_value_heads = m.num_attention_heads;
  const std::optional<std::int64_t> groups = in.integer("--num-query-groups");
  if (in.flag("--group-query-attention")) {
    m.num_key_value_heads =
        static_cast<int>(std::clamp<std::int64_t>(groups.value_or(1), 0, 65536));
  } else if (groups && *groups != m.num_attention_heads) {
    in.error("--num-query-groups",
             fmt::format("{} has no effect without --group-query-attention", *groups),
             "add --group-query-attention, or remove it");
  }
  const bool qk_norm = in.flag("--qk-layernorm");
  if (m.attention == AttentionKind::latent) {
    m.num_key_value_heads = m.num_attention_heads;
    m.head_dim = std::max(1, m.v_head_dim);
  } else if (qk_norm) {
    m.qk_norm = QkNormKind::per_head;
  }
  const bool plain = in.flag("--disable-bias-linear");
  const bool qkv = in.flag("--add-qkv-bias");
  m.ffn_bias = !plain;
  m.attention_bias = !plain ? AttentionBias::all : qkv ? AttentionBias::qkv : AttentionBias::none;
  if (m.attention == AttentionKind::latent) m.attention_bias = AttentionBias::none;
  if (const auto window = in.text("--window-size")) {
    m.sliding_window =
        std::atoi(window->c_str()[0] == '(' ? window->c_str() + 1 : window->c_str()) + 1;
  }
}

void read_positions(Importer& in) {
  ModelConfig& m = in.spec().model;
  if (in.flag("--use-rotary-position-embeddings")) m.position = PositionKind::rotary;
  const std::string kind = in.text("--position-embedding-type").value_or("");
  if (kind == "alibi" || kind == "none") {
    in.leave_out("--position-embedding-type",
                 "there are no such positions here: rotary ones, which have no weights either, are "
                 "planned");
  }
  if (m.attention == AttentionKind::latent) {
    m.position = PositionKind::rotary;
    const double factor = in.number("--rotary-scaling-factor").value_or(1);
    const std::string type = in.word("--rope-type", kRopeTypes).value_or("yarn");
    const double mscale = in.number("--mscale").value_or(1);
    const double all_dim = in.number("--mscale-all-dim").value_or(0);
    if (type == "yarn" && factor > 1) {
      m.rope_scaling = RopeScaling::yarn;
      m.rope_factor = factor;
      m.rope_original_max_position = kMegatronYarnPositions;
      m.rope_attention_factor = yarn_softening(factor, mscale) / yarn_softening(factor, all_dim);
      const double soft = yarn_softening(factor, all_dim);
      m.attention_scale = soft * soft / std::sqrt(double{1} * std::max(1, m.qk_head_dim()));
    }
  } else if (in.flag("--use-rope-scaling")) {
    m.rope_scaling = RopeScaling::llama3;
    m.rope_factor = in.number("--rope-scaling-factor").value_or(8);
    m.rope_low_freq_factor = kLowFrequency;
    m.rope_high_freq_factor = kHighFrequency;
    m.rope_original_max_position = kOriginalPositions;
  } else if (const auto factor = in.number("--rotary-seq-len-interpolation-factor")) {
    m.rope_scaling = RopeScaling::linear;
    m.rope_factor = *factor;
  }
}

void read_feed_forward(Importer& in) {
  ModelConfig& m = in.spec().model;
  if (m.activation == ActivationKind::gelu && in.flag("--no-bias-gelu-fusion") &&
      !in.flag("--openai-gelu")) {
    m.activation = ActivationKind::gelu_exact;
  }
  static_cast<void>(in.flag("--openai-gelu"));
  const std::int64_t two_thirds = std::int64_t{4} * m.hidden_size * 2 / 3 / 64 * 64;
  const std::int64_t usual = m.gated() ? two_thirds : std::int64_t{4} * m.hidden_size;
  const std::int64_t width = in.integer("--ffn-hidden-size").value_or(usual);
  m.ffn_hidden_size = static_cast<int>(std::clamp<std::int64_t>(width, 0, 1 << 24));
}

void read_experts(Importer& in) {
  ModelConfig& m = in.spec().model;
  ParallelLayout& layout = in.spec().layout;
  if (m.num_experts == 0) {
    for (const char* key : {"--moe-router-topk", "--moe-ffn-hidden-size", "--moe-layer-freq"}) {
      if (in.has(key)) in.error(key, "there are no experts: --num-experts is missing");
    }
    if (in.integer("--expert-model-parallel-size").value_or(1) == 1)
      layout.expert_parallel_size = 1;
    layout.expert_tensor_parallel_size = 1;
    return;
  }
  if (!in.has("--expert-tensor-parallel-size"))
    layout.expert_tensor_parallel_size = layout.tensor_parallel_size;
  const std::int64_t width = in.integer("--moe-ffn-hidden-size").value_or(m.ffn_hidden_size);
  m.moe_ffn_hidden_size = static_cast<int>(std::clamp<std::int64_t>(width, 0, 1 << 24));
  const std::int64_t shared = in.integer("--moe-shared-expert-intermediate-size").value_or(0);
  m.num_shared_experts = static_cast<int>(
      std::clamp<std::int64_t>(shared / std::max(1, m.moe_ffn_hidden_size), 0, 64));
  if (shared != std::int64_t{m.num_shared_experts} * m.moe_ffn_hidden_size) {
    in.error("--moe-shared-expert-intermediate-size",
             fmt::format("{} is not a multiple of the width of an expert, {}", shared,
                         m.moe_ffn_hidden_size),
             "shared experts are counted in routed ones here");
  }
  m.router_renormalize =
      m.router_score == RouterScore::sigmoid || !in.flag("--moe-router-pre-softmax");
  const bool bias = in.flag("--moe-router-enable-expert-bias");
  if (!bias) m.expert_bias_update_rate = 0;
  if (bias && !in.has("--moe-router-bias-update-rate")) m.expert_bias_update_rate = 0.001;
  if (in.text("--moe-router-load-balancing-type") == "none") m.aux_loss_coeff = 0;
  const auto text = in.text("--moe-layer-freq");
  if (text && m.num_layers > 0) {
    const Result<std::vector<int>> pattern = parse_layer_pattern(*text, m.num_layers);
    if (!pattern) {
      in.error("--moe-layer-freq", pattern.error().message);
    } else if (!set_moe_layers(*pattern, m)) {
      in.error("--moe-layer-freq",
               fmt::format("{}: experts stand in every n-th layer behind leading dense ones here",
                           *text),
               "for example ([0]*3+[1]*58), or ([0]*1+[1]*1)*12");
    }
  }
  if (m.num_moe_layers(m.num_layers) == m.num_layers) {  // neither is used
    m.ffn_hidden_size = 0;
    m.ffn_bias = false;
  }
}

// Ranks that hold the embedding have the same number of its rows.
void read_vocabulary(Importer& in) {
  ModelConfig& m = in.spec().model;
  const std::int64_t multiple =
      std::max<std::int64_t>(
          1, in.integer("--make-vocab-size-divisible-by").value_or(kMegatronVocabMultiple)) *
      std::max(1, in.spec().layout.tensor_parallel_size);
  std::int64_t rows = in.integer("--vocab-size").value_or(0);
  // Of pretrain_gpt.py, where nothing else is said (args_defaults).
  const bool gpt2 = in.has("--tokenizer-type") ? in.text("--tokenizer-type") == "GPT2BPETokenizer"
                                               : in.has("--vocab-file");
  if (!in.has("--vocab-size") && gpt2) rows = 50257;
  std::optional<std::int64_t> padded = in.integer("--padded-vocab-size");
  if (!padded) padded = in.integer("--pad-vocab-size-to");  // Megatron-DeepSpeed
  if (rows < 1 && !padded) {
    return in.error("--vocab-size", "is missing: the size is the tokenizer's, which is not read",
                    "add --vocab-size, for example 128256");
  }
  if (padded && *padded < rows) {
    return in.error("--padded-vocab-size",
                    fmt::format("{} is less than --vocab-size {}", *padded, rows));
  }
  constexpr std::int64_t kMost = 1 << 24;
  const std::int64_t all = padded.value_or((rows + multiple - 1) / multiple * multiple);
  m.vocab_size = static_cast<int>(std::clamp<std::int64_t>(all, 0, kMost));
}

// Of torchrun, before the script, or Slurm's world; 0: not said. What a variable says may be left
// to the caller.
std::int64_t ranks_of(Importer& in, bool caller_says) {
  std::int64_t ranks = 0;
  for (const char* key : {"--nproc-per-node", "--nnodes", "--world-size"}) {
    const std::optional<std::string> text = in.text(key);
    if (!text || (caller_says && text->find('$') != std::string::npos)) continue;
    const std::int64_t size = in.integer(key).value_or(0);
    ranks = ranks == 0 || key == std::string_view("--world-size") ? size : ranks * size;
  }
  return in.has("--nproc-per-node") || in.has("--world-size") ? ranks : 0;
}

void read_batches(Importer& in, const ImportOptions& options) {
  RunSpec& spec = in.spec();
  TrainingConfig& t = spec.training;
  const std::int64_t ranks = ranks_of(in, options.num_gpus > 0);
  share_out_ranks(in, "--tensor-model-parallel-size", ranks, options.num_gpus);
  if (!in.has("--global-batch-size"))
    t.global_batch_size = spec.layout.micro_batch_size * spec.layout.data_parallel_size;
  const std::int64_t batch = std::max(1, t.global_batch_size);
  const auto steps_of = [batch](std::int64_t samples) { return (samples + batch - 1) / batch; };
  if (const auto samples = in.integer("--train-samples")) {
    if (in.has("--train-iters"))
      in.error("--train-samples", "contradicts --train-iters: both say how long the run is",
               "remove one of them");
    t.num_steps = steps_of(*samples);
  }
  if (const auto samples = in.integer("--lr-warmup-samples")) t.warmup_steps = steps_of(*samples);
  std::int64_t decay = in.integer("--lr-decay-iters").value_or(t.num_steps);
  if (const auto samples = in.integer("--lr-decay-samples")) decay = steps_of(*samples);
  if (const auto share = in.number("--lr-warmup-fraction")) {
    if (in.has("--lr-warmup-iters") || in.has("--lr-warmup-samples"))
      in.error("--lr-warmup-fraction", "contradicts the steps of warmup: only one of them can hold",
               "remove one of them");
    t.warmup_steps =
        static_cast<std::int64_t>(std::clamp(*share, 0.0, 1.0) * static_cast<double>(decay));
  }
  if (const auto samples = in.integer("--lr-wsd-decay-samples")) t.decay_steps = steps_of(*samples);
  if (decay != t.num_steps) {
    in.leave_out(
        in.has("--lr-decay-samples") ? "--lr-decay-samples" : "--lr-decay-iters",
        fmt::format("the learning rate decays to the end of the run here: {} steps", t.num_steps));
  }
  if (const auto ramp = in.text("--rampup-batch-size")) {
    std::array<std::int64_t, 3> sizes{};
    if (std::sscanf(ramp->c_str(), "%ld %ld %ld", &sizes[0], &sizes[1], &sizes[2]) != 3 ||
        sizes[0] < 1 || sizes[1] < 1 || sizes[2] < 1 || sizes[0] > batch) {
      return in.error("--rampup-batch-size",
                      fmt::format("got '{}', expected first batch, increment and samples", *ramp),
                      "for example 32 32 5859375");
    }
    t.rampup_batch_size = static_cast<int>(sizes[0]);
    t.rampup_increment = static_cast<int>(std::min<std::int64_t>(sizes[1], 1 << 24));
    t.rampup_tokens = sizes[2] * t.seq_length;
  }
}

void read_memory(Importer& in) {
  ParallelLayout& layout = in.spec().layout;
  layout.zero_stage = in.flag("--use-distributed-optimizer") ? 1 : 0;
  const bool fsdp = in.flag("--use-megatron-fsdp") || in.flag("--use-custom-fsdp");
  if (const auto stage = in.word("--data-parallel-sharding-strategy", kSharding); stage && fsdp)
    layout.zero_stage = stage->front() - '0';
  if (in.flag("--use-torch-fsdp2")) layout.zero_stage = 3;
  read_megatron_software(in);
  read_megatron_states(in);
}

}  // namespace

void import_megatron(const std::vector<ConfigFile>& files,
                     const ImportOptions& options,
                     ImportedConfig& out) {
  SettingList settings;
  for (std::size_t i = 0; i < files.size(); ++i) {
    for (Setting& setting : read_arguments(files[i], out.findings)) {
      setting.file = i;
      settings.push_back(std::move(setting));
    }
  }
  if (settings.empty()) return;
  Importer in(megatron_mapping(), std::move(settings), out);
  in.spec().model = {};
  in.spec().model.init_method = InitMethod::scaled_normal;
  in.spec().layout.zero_replicas = 1;  // its row speaks of sharded states, which come later
  in.read_rows();
  read_attention(in);
  read_positions(in);
  read_feed_forward(in);
  read_experts(in);
  read_vocabulary(in);
  read_megatron_chunks(in);
  read_memory(in);
  read_batches(in, options);
  if (in.ok() && in.spec().training.seq_length > in.spec().model.max_position_embeddings) {
    in.error("--seq-length",
             fmt::format("{} is more than --max-position-embeddings {}",
                         in.spec().training.seq_length, in.spec().model.max_position_embeddings));
  }
  in.report_unused();
  if (in.ok()) in.validate_result();
}

}  // namespace tera::spec
