// The architecture of a decoder language model, dense or Mixture-of-Experts.
// Symbols in comments: H hidden, A heads, D head dim, F ffn width, E experts, K top-k, V
// vocabulary.
#pragma once
#include <cmath>
#include <cstdint>
#include <string>

#include "core/base/fields.h"

namespace tera::spec {

enum class AttentionKind : std::uint8_t { grouped_query, latent };
enum class PositionKind : std::uint8_t { rotary, learned };
enum class RopeScaling : std::uint8_t { none, linear, llama3, yarn };
enum class NormKind : std::uint8_t { rms, layer };
enum class NormPlacement : std::uint8_t { pre, post, sandwich };
enum class ActivationKind : std::uint8_t { swiglu, gelu, relu, gelu_exact, relu_squared, geglu };
enum class QkNormKind : std::uint8_t { none, per_head, full };
enum class AttentionBias : std::uint8_t { none, qkv, all };
enum class RouterScore : std::uint8_t { softmax, sigmoid };
enum class RouterChoice : std::uint8_t { token, expert };
enum class CapacityPolicy : std::uint8_t { probability, position };
enum class AuxLossScope : std::uint8_t { micro_batch, sequence, global_batch };
// Spread of the normal initial values: normal has init_std everywhere; scaled_normal divides it by
// sqrt(2 L) in the matrices that write into the residual stream; small_init has sqrt(2 / (5 H)), and
// 2 / (L sqrt(H)) in those matrices.
enum class InitMethod : std::uint8_t { normal, scaled_normal, small_init };

struct ModelConfig {
  int num_layers = 4;
  int hidden_size = 256;
  int num_attention_heads = 4;
  int num_key_value_heads = 4;
  int head_dim = 64;
  int vocab_size = 4096;
  int max_position_embeddings = 4096;
  AttentionKind attention = AttentionKind::grouped_query;
  int q_lora_rank = 0;  // latent attention only; 0 = query projected directly
  int kv_lora_rank = 0;
  int qk_nope_head_dim = 0;
  int qk_rope_head_dim = 0;
  int v_head_dim = 0;
  QkNormKind qk_norm = QkNormKind::none;
  AttentionBias attention_bias = AttentionBias::none;
  double attention_scale = 0;    // on q . k; 0 = 1 / sqrt(query-key head dim)
  double attention_softcap = 0;  // 0 = off
  int sliding_window = 0;        // tokens a token sees, itself counted; 0 = all before it
  PositionKind position = PositionKind::rotary;
  double rope_theta = 10000.0;
  double rotary_fraction = 1.0;  // of head_dim; latent attention rotates qk_rope_head_dim
  RopeScaling rope_scaling = RopeScaling::none;
  double rope_factor = 1.0;
  int rope_original_max_position = 0;
  double rope_low_freq_factor = 1.0;   // llama3
  double rope_high_freq_factor = 4.0;  // llama3
  double rope_beta_fast = 32.0;        // yarn
  double rope_beta_slow = 1.0;         // yarn
  double rope_attention_factor = 0;    // yarn; 0 = 0.1 ln(rope_factor) + 1
  NormKind norm = NormKind::rms;
  double norm_eps = 1e-5;
  NormPlacement norm_placement = NormPlacement::pre;
  bool parallel_residual = false;
  ActivationKind activation = ActivationKind::swiglu;
  bool ffn_bias = false;
  bool tie_embeddings = false;
  double embedding_multiplier = 1.0;
  double logit_multiplier = 1.0;
  int ffn_hidden_size = 0;  // dense layers
  int num_experts = 0;      // 0 = dense model
  int router_top_k = 0;
  int moe_ffn_hidden_size = 0;  // per expert
  int num_shared_experts = 0;   // each as wide as a routed expert
  bool shared_expert_gate = false;
  int num_dense_layers = 0;    // leading layers without experts
  int moe_layer_interval = 1;  // of the layers behind them, every so many-th has experts
  RouterScore router_score = RouterScore::softmax;
  RouterChoice router_choice = RouterChoice::token;
  bool router_renormalize = false;
  double routed_scaling_factor = 1.0;
  int router_num_groups = 1;  // groups of neighbouring experts
  int router_top_groups = 1;
  int router_group_best = 2;            // selection scores that make a group's score
  double expert_capacity_factor = 0.0;  // 0 = dropless
  CapacityPolicy capacity_policy = CapacityPolicy::probability;
  bool capacity_pad = false;  // every expert computes as many rows as its capacity
  double aux_loss_coeff = 0.0;
  AuxLossScope aux_loss_scope = AuxLossScope::micro_batch;
  double z_loss_coeff = 0.0;
  double expert_bias_update_rate = 0.0;  // 0 = no expert bias
  double router_jitter = 0.0;
  int num_mtp_layers = 0;       // of multi-token prediction, behind the others
  double mtp_loss_coeff = 0.3;  // over all of them
  InitMethod init_method = InitMethod::scaled_normal;
  double init_std = 0.02;
  int mup_base_hidden_size = 0;  // 0 = no maximal update parametrization
  bool operator==(const ModelConfig&) const = default;

  // With those of multi-token prediction, which follow the others: layer num_layers + k - 1
  // predicts the token k places further than the model.
  int num_all_layers() const { return num_layers + num_mtp_layers; }
  bool is_moe_layer(int layer) const;
  int num_moe_layers(int end) const;  // among layers [0, end)
  // Experts a token may be sent to: K, or E when experts choose.
  int router_slots() const;
  // Rows an expert serves at most of so many tokens, expert_capacity_factor x K / E of them rounded
  // up, at least 1; 0 = no limit. Experts that choose have it always, with factor 1 for 0.
  std::int64_t expert_capacity(std::int64_t num_tokens) const;
  // Rows of the expert buffers for so many tokens: an upper bound that no imbalance exceeds; padded
  // ones are all computed.
  std::int64_t routed_rows(std::int64_t num_tokens) const;
  // Experts that compute for one token, on average and at most.
  double experts_per_token() const;
  // Rows that experts compute for one token: with padding more than experts_per_token().
  double rows_per_token() const;
  bool gated() const {
    return activation == ActivationKind::swiglu || activation == ActivationKind::geglu;
  }
  bool has_pre_norm() const { return norm_placement != NormPlacement::post; }
  bool has_post_norm() const { return norm_placement != NormPlacement::pre; }
  // Dims that queries and keys are compared in, per head.
  int qk_head_dim() const {
    return attention == AttentionKind::latent ? qk_nope_head_dim + qk_rope_head_dim : head_dim;
  }
  // Dims of a head that rotary positions turn, in pairs.
  int rotary_dims() const {
    return attention == AttentionKind::latent
               ? qk_rope_head_dim
               : 2 * static_cast<int>(std::lround(rotary_fraction * head_dim / 2));
  }
  // Factor on q . k: maximal update parametrization has 1 / d in place of 1 / sqrt(d).
  double score_scale() const {
    if (attention_scale > 0) return attention_scale;
    const double dims = qk_head_dim();
    return mup_base_hidden_size > 0 ? 1.0 / dims : 1.0 / std::sqrt(dims);
  }
  // Width over the width the settings were found at.
  double mup_width_multiplier() const {
    return mup_base_hidden_size > 0 ? double{1} * hidden_size / mup_base_hidden_size : 1.0;
  }
  // Factor on the input of the output head.
  double output_multiplier() const { return logit_multiplier / mup_width_multiplier(); }

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    constexpr double kBig = 1 << 24;
    visit(Field{.name = "num_layers",
                .min = 1,
                .max = 10000,
                .help = "Transformer layers.",
                .required = true},
          self.num_layers);
    visit(Field{.name = "hidden_size",
                .min = 1,
                .max = kBig,
                .step = 128,
                .help = "Width of the residual stream.",
                .required = true},
          self.hidden_size);
    visit(Field{.name = "num_attention_heads",
                .min = 1,
                .max = 65536,
                .help = "Query heads per layer.",
                .required = true},
          self.num_attention_heads);
    visit(Field{.name = "num_key_value_heads",
                .min = 1,
                .max = 65536,
                .help = "Key and value heads; fewer than query heads is grouped-query attention.",
                .source = "Ainslie et al. 2023, GQA"},
          self.num_key_value_heads);
    visit(Field{.name = "head_dim",
                .min = 1,
                .max = 4096,
                .step = 16,
                .help = "Width of one attention head."},
          self.head_dim);
    visit(Field{.name = "vocab_size",
                .min = 1,
                .max = kBig,
                .step = 128,
                .help = "Rows of the embedding and of the output head.",
                .required = true},
          self.vocab_size);
    visit(
        Field{
            .name = "max_position_embeddings",
            .unit = "tokens",
            .min = 1,
            .max = 1 << 30,
            .step = 1024,
            .help =
                "Longest sequence the model is made for; size of the table of learned positions."},
        self.max_position_embeddings);
    visit(Field{.name = "attention",
                .help = "grouped_query, or latent (multi-head latent attention).",
                .source = "DeepSeek-V2, 2024, section 2.1"},
          self.attention);
    visit(
        Field{.name = "q_lora_rank",
              .min = 0,
              .max = kBig,
              .step = 128,
              .help =
                  "Latent attention: rank of the query compression; 0 projects queries directly."},
        self.q_lora_rank);
    visit(Field{.name = "kv_lora_rank",
                .min = 0,
                .max = kBig,
                .step = 128,
                .help = "Latent attention: rank of the joint key and value compression."},
          self.kv_lora_rank);
    visit(Field{.name = "qk_nope_head_dim",
                .min = 0,
                .max = 4096,
                .step = 16,
                .help =
                    "Latent attention: head dim of the part of queries and keys without position."},
          self.qk_nope_head_dim);
    visit(Field{.name = "qk_rope_head_dim",
                .min = 0,
                .max = 4096,
                .step = 16,
                .help = "Latent attention: head dim of the rotary part of queries and keys."},
          self.qk_rope_head_dim);
    visit(Field{.name = "v_head_dim",
                .min = 0,
                .max = 4096,
                .step = 16,
                .help = "Latent attention: head dim of values."},
          self.v_head_dim);
    visit(Field{.name = "qk_norm",
                .help = "Normalise queries and keys: none, per_head (over head_dim), full (over "
                        "all heads)."},
          self.qk_norm);
    visit(Field{.name = "attention_bias",
                .help = "Biases of attention: none, qkv (of queries, keys and values), all (of the "
                        "output too).",
                .source = "Radford et al. 2019, GPT-2: all; Qwen Team 2024, Qwen2: qkv"},
          self.attention_bias);
    visit(Field{.name = "attention_scale",
                .min = 0,
                .max = 1000,
                .step = 0.01,
                .help = "Factor on the product of a query and a key; 0 is 1 / sqrt of the head dim "
                        "they are compared in.",
                .source = "Vaswani et al. 2017, section 3.2.1"},
          self.attention_scale);
    visit(Field{.name = "attention_softcap",
                .min = 0,
                .max = 1e6,
                .step = 10,
                .help = "Attention scores s become cap tanh(s / cap); 0 leaves them.",
                .source = "xAI 2024, Grok-1: 30"},
          self.attention_softcap);
    visit(Field{.name = "sliding_window",
                .unit = "tokens",
                .min = 0,
                .max = 1 << 30,
                .step = 1024,
                .help = "Tokens a token attends to, itself and those before it; 0 is all.",
                .source = "Jiang et al. 2023, Mistral 7B, section 2"},
          self.sliding_window);
    visit(Field{.name = "position", .help = "rotary, or learned (a table added to the embedding)."},
          self.position);
    visit(Field{.name = "rope_theta",
                .min = 1,
                .max = 1e12,
                .step = 10000,
                .help = "Base of the rotary frequencies.",
                .source = "Su et al. 2021, RoFormer"},
          self.rope_theta);
    visit(Field{.name = "rotary_fraction",
                .min = 0,
                .max = 1,
                .step = 0.25,
                .help = "Share of each head's dims, from the first, that rotary positions turn.",
                .source = "Black et al. 2022, GPT-NeoX-20B, section 2.1: 0.25"},
          self.rotary_fraction);
    visit(Field{.name = "rope_scaling",
                .help = "Stretch of rotary positions for longer contexts: none, linear, llama3 "
                        "(only low frequencies) or yarn (a ramp between them, and softer scores).",
                .source = "Chen et al. 2023; Llama Team 2024; Peng et al. 2023, YaRN"},
          self.rope_scaling);
    visit(Field{.name = "rope_factor",
                .min = 1,
                .max = 1e6,
                .step = 1,
                .help = "How many times longer rope_scaling makes the context."},
          self.rope_factor);
    visit(Field{.name = "rope_original_max_position",
                .unit = "tokens",
                .min = 0,
                .max = 1 << 30,
                .step = 1024,
                .help = "Context before it was stretched; llama3 and yarn need it."},
          self.rope_original_max_position);
    visit(Field{.name = "rope_low_freq_factor",
                .min = 0.001,
                .max = 1e6,
                .step = 1,
                .help = "llama3: waves longer than the original context over this are stretched "
                        "whole.",
                .source = "huggingface.co/meta-llama/Llama-3.1-8B, config.json: 1"},
          self.rope_low_freq_factor);
    visit(Field{.name = "rope_high_freq_factor",
                .min = 0.001,
                .max = 1e6,
                .step = 1,
                .help = "llama3: waves shorter than the original context over this are kept.",
                .source = "huggingface.co/meta-llama/Llama-3.1-8B, config.json: 4"},
          self.rope_high_freq_factor);
    visit(Field{.name = "rope_beta_fast",
                .min = 0.001,
                .max = 1e6,
                .step = 1,
                .help = "yarn: dims that turn more often than this in the original context are "
                        "kept.",
                .source = "Peng et al. 2023, YaRN, section 3.2: 32"},
          self.rope_beta_fast);
    visit(Field{.name = "rope_beta_slow",
                .min = 0.001,
                .max = 1e6,
                .step = 1,
                .help = "yarn: dims that turn less often than this in the original context are "
                        "stretched whole.",
                .source = "Peng et al. 2023, YaRN, section 3.2: 1"},
          self.rope_beta_slow);
    visit(Field{.name = "rope_attention_factor",
                .min = 0,
                .max = 1000,
                .step = 0.1,
                .help = "yarn: factor on the rotated queries and keys; 0 is 0.1 ln(rope_factor) + "
                        "1.",
                .source = "Peng et al. 2023, YaRN, section 3.4"},
          self.rope_attention_factor);
    visit(Field{.name = "norm", .help = "rms (RMSNorm) or layer (LayerNorm with bias)."},
          self.norm);
    visit(Field{.name = "norm_eps",
                .min = 0,
                .max = 1,
                .step = 1e-6,
                .help = "Added to the variance inside the norms."},
          self.norm_eps);
    visit(Field{.name = "norm_placement",
                .help = "Norms of a residual branch f: pre, x + f(n(x)); post, x + n(f(x)); "
                        "sandwich, x + n2(f(n1(x))).",
                .source = "Xiong et al. 2020; OLMo Team 2024, OLMo 2: post; xAI 2024, Grok-1: "
                          "sandwich"},
          self.norm_placement);
    visit(Field{.name = "parallel_residual",
                .help = "Attention and feed-forward both read the input of the layer and are added "
                        "to it together.",
                .source = "Black et al. 2022, GPT-NeoX-20B, section 2.1"},
          self.parallel_residual);
    visit(Field{.name = "activation",
                .help = "swiglu, geglu (gated, three matrices); gelu (by tanh), gelu_exact (by "
                        "erf), relu, relu_squared (two matrices).",
                .source = "Shazeer 2020, GLU variants; Hendrycks and Gimpel 2016; So et al. 2021"},
          self.activation);
    visit(Field{.name = "ffn_bias", .help = "Biases in dense feed-forward layers."}, self.ffn_bias);
    visit(Field{.name = "tie_embeddings", .help = "Output head shares the embedding matrix."},
          self.tie_embeddings);
    visit(Field{.name = "embedding_multiplier",
                .min = 1e-6,
                .max = 1e6,
                .step = 1,
                .help = "Factor on the embedding of a token.",
                .source = "xAI 2024, Grok-1: 78.38367176906169"},
          self.embedding_multiplier);
    visit(Field{.name = "logit_multiplier",
                .min = 1e-6,
                .max = 1e6,
                .step = 0.1,
                .help = "Factor on the logits.",
                .source = "xAI 2024, Grok-1: 0.5773502691896257"},
          self.logit_multiplier);
    visit(Field{.name = "ffn_hidden_size",
                .min = 0,
                .max = kBig,
                .step = 128,
                .help = "Inner width of dense feed-forward layers."},
          self.ffn_hidden_size);
    visit(Field{.name = "num_experts",
                .min = 0,
                .max = 65536,
                .help = "Routed experts per MoE layer; 0 makes every layer dense."},
          self.num_experts);
    visit(Field{.name = "router_top_k",
                .min = 0,
                .max = 64,
                .help = "Experts each token is sent to; on average where experts choose."},
          self.router_top_k);
    visit(Field{.name = "moe_ffn_hidden_size",
                .min = 0,
                .max = kBig,
                .step = 128,
                .help = "Inner width of one expert."},
          self.moe_ffn_hidden_size);
    visit(Field{.name = "num_shared_experts",
                .min = 0,
                .max = 64,
                .help = "Experts that see every token, each as wide as a routed one."},
          self.num_shared_experts);
    visit(Field{.name = "shared_expert_gate",
                .help = "Multiply the output of the shared experts by a sigmoid gate of the token.",
                .source = "Qwen2-MoE, shared_expert_gate"},
          self.shared_expert_gate);
    visit(Field{.name = "num_dense_layers",
                .min = 0,
                .max = 10000,
                .help = "Leading layers with a dense feed-forward instead of experts."},
          self.num_dense_layers);
    visit(Field{.name = "moe_layer_interval",
                .unit = "layers",
                .min = 1,
                .max = 10000,
                .help = "Of the layers behind the leading dense ones, every so many-th has "
                        "experts; 1 is each."},
          self.moe_layer_interval);
    visit(Field{.name = "router_score", .help = "softmax over all experts, or sigmoid of each."},
          self.router_score);
    visit(Field{.name = "router_choice",
                .help = "token: each token takes its best experts. expert: each expert takes its "
                        "best tokens of the micro-batch; it sees later tokens, so such a model "
                        "cannot generate.",
                .source = "Zhou et al. 2022, Expert Choice Routing"},
          self.router_choice);
    visit(Field{.name = "router_renormalize",
                .help = "Divide the chosen scores by their sum; with softmax scores this is the "
                        "softmax over the chosen logits, taken after top-k."},
          self.router_renormalize);
    visit(Field{.name = "routed_scaling_factor",
                .min = 0,
                .max = 1000,
                .step = 0.1,
                .help = "Factor on the output of the routed experts."},
          self.routed_scaling_factor);
    visit(Field{.name = "router_num_groups",
                .min = 1,
                .max = 65536,
                .help = "Groups of neighbouring experts; a token chooses within the best of them.",
                .source = "DeepSeek-V2, 2024, section 2.2.2; DeepSeek-V3, 2024, section 2.1.2"},
          self.router_num_groups);
    visit(Field{.name = "router_top_groups",
                .min = 1,
                .max = 65536,
                .help = "Groups whose experts a token may choose."},
          self.router_top_groups);
    visit(Field{.name = "router_group_best",
                .min = 1,
                .max = 64,
                .help = "Best selection scores of a group that add up to the group's score: 2 in "
                        "DeepSeek-V3, 1 in DeepSeek-V2."},
          self.router_group_best);
    visit(Field{.name = "expert_capacity_factor",
                .min = 0,
                .max = 1000,
                .step = 0.25,
                .help = "Rows an expert serves in training, over the mean load; what does not fit "
                        "contributes nothing. 0 serves every choice (dropless). Evaluation drops "
                        "nothing.",
                .source = "Fedus et al. 2021, Switch Transformers, eq. 3"},
          self.expert_capacity_factor);
    visit(Field{.name = "capacity_policy",
                .help = "Who is served when an expert is full: the choices with the largest gates "
                        "(probability) or the first tokens (position)."},
          self.capacity_policy);
    visit(Field{.name = "capacity_pad",
                .help = "Fill what an expert has free of its capacity with rows of zeros: every "
                        "expert computes equally many rows, whatever the router chose. The results "
                        "are the same, the work is that of the capacity.",
                .source = "Megatron-LM, --moe-pad-expert-input-to-capacity"},
          self.capacity_pad);
    visit(Field{.name = "aux_loss_coeff",
                .min = 0,
                .max = 100,
                .step = 0.001,
                .help = "Weight of the load-balance loss.",
                .source = "Fedus et al. 2021, Switch Transformers, eq. 4"},
          self.aux_loss_coeff);
    visit(Field{.name = "aux_loss_scope",
                .help = "Tokens over which load is balanced: of a micro_batch, of each sequence, "
                        "or of the step so far over all replicas (global_batch). The last two do "
                        "not depend on micro-batches and replicas.",
                .source = "DeepSeek-V3, 2024, eq. 17; Qiu et al. 2025, Demons in the Detail"},
          self.aux_loss_scope);
    visit(Field{.name = "z_loss_coeff",
                .min = 0,
                .max = 100,
                .step = 0.001,
                .help = "Weight of the router z-loss.",
                .source = "Zoph et al. 2022, ST-MoE, eq. 5"},
          self.z_loss_coeff);
    visit(Field{.name = "router_jitter",
                .min = 0,
                .max = 0.99,
                .step = 0.01,
                .help = "In training the router's input is multiplied by uniform noise in "
                        "[1 - jitter, 1 + jitter].",
                .source = "Fedus et al. 2021, Switch Transformers, section 2.4"},
          self.router_jitter);
    visit(Field{.name = "expert_bias_update_rate",
                .min = 0,
                .max = 1,
                .step = 0.001,
                .help = "Step of the aux-loss-free expert bias; 0 switches it off.",
                .source = "Wang et al. 2024, Auxiliary-Loss-Free Load Balancing"},
          self.expert_bias_update_rate);
    visit(Field{.name = "num_mtp_layers",
                .unit = "layers",
                .min = 0,
                .max = 16,
                .help = "Layers of multi-token prediction: each predicts one token further ahead, "
                        "from the hidden state before it and the token in between, with the "
                        "model's embedding and output head. Used in training only.",
                .source = "DeepSeek-V3, 2024, section 2.2"},
          self.num_mtp_layers);
    visit(Field{.name = "mtp_loss_coeff",
                .min = 0,
                .max = 100,
                .step = 0.1,
                .help = "Weight of the multi-token prediction loss, the mean over its layers.",
                .source = "DeepSeek-V3, 2024, section 4.2: 0.3, then 0.1"},
          self.mtp_loss_coeff);
    visit(Field{.name = "init_method",
                .help = "Spread of the initial values: normal is init_std everywhere; "
                        "scaled_normal divides it by sqrt(2 layers) in matrices that write into "
                        "the residual stream; small_init follows from width and depth alone.",
                .source = "Radford et al. 2019; Nguyen and Salazar 2019; Wang and Komatsuzaki 2021"},
          self.init_method);
    visit(Field{.name = "init_std",
                .min = 0,
                .max = 10,
                .step = 0.001,
                .help = "Standard deviation of the normal initialisation."},
          self.init_std);
    visit(Field{.name = "mup_base_hidden_size",
                .min = 0,
                .max = kBig,
                .step = 64,
                .help = "Hidden size at which learning rate and initialisation were found: maximal "
                        "update parametrization carries them over to this width. 0 is off.",
                .source = "Yang et al. 2022, Tensor Programs V, table 8"},
          self.mup_base_hidden_size);
  }
};

}  // namespace tera::spec

namespace tera {
template <>
struct EnumNames<spec::AttentionKind> {
  static constexpr std::array<std::string_view, 2> value = {"grouped_query", "latent"};
};
template <>
struct EnumNames<spec::PositionKind> {
  static constexpr std::array<std::string_view, 2> value = {"rotary", "learned"};
};
template <>
struct EnumNames<spec::RopeScaling> {
  static constexpr std::array<std::string_view, 4> value = {"none", "linear", "llama3", "yarn"};
};
template <>
struct EnumNames<spec::NormKind> {
  static constexpr std::array<std::string_view, 2> value = {"rms", "layer"};
};
template <>
struct EnumNames<spec::InitMethod> {
  static constexpr std::array<std::string_view, 3> value = {"normal", "scaled_normal",
                                                            "small_init"};
};
template <>
struct EnumNames<spec::NormPlacement> {
  static constexpr std::array<std::string_view, 3> value = {"pre", "post", "sandwich"};
};
template <>
struct EnumNames<spec::ActivationKind> {
  static constexpr std::array<std::string_view, 6> value = {"swiglu",     "gelu",         "relu",
                                                            "gelu_exact", "relu_squared", "geglu"};
};
template <>
struct EnumNames<spec::QkNormKind> {
  static constexpr std::array<std::string_view, 3> value = {"none", "per_head", "full"};
};
template <>
struct EnumNames<spec::AttentionBias> {
  static constexpr std::array<std::string_view, 3> value = {"none", "qkv", "all"};
};
template <>
struct EnumNames<spec::RouterScore> {
  static constexpr std::array<std::string_view, 2> value = {"softmax", "sigmoid"};
};
template <>
struct EnumNames<spec::RouterChoice> {
  static constexpr std::array<std::string_view, 2> value = {"token", "expert"};
};
template <>
struct EnumNames<spec::CapacityPolicy> {
  static constexpr std::array<std::string_view, 2> value = {"probability", "position"};
};
template <>
struct EnumNames<spec::AuxLossScope> {
  static constexpr std::array<std::string_view, 3> value = {"micro_batch", "sequence",
                                                            "global_batch"};
};
}  // namespace tera
