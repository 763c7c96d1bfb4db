// The architecture of a decoder language model, dense or Mixture-of-Experts.
// Symbols in comments: H hidden, A heads, D head dim, F ffn width, E experts, K top-k, V
// vocabulary.
#pragma once
#include <cstdint>
#include <string>

#include "core/base/fields.h"

namespace tera::spec {

enum class AttentionKind : std::uint8_t { grouped_query, latent };
enum class PositionKind : std::uint8_t { rotary, learned };
enum class NormKind : std::uint8_t { rms, layer };
enum class ActivationKind : std::uint8_t { swiglu, gelu, relu };
enum class QkNormKind : std::uint8_t { none, per_head, full };
enum class RouterScore : std::uint8_t { softmax, sigmoid };

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
  PositionKind position = PositionKind::rotary;
  double rope_theta = 10000.0;
  NormKind norm = NormKind::rms;
  double norm_eps = 1e-5;
  ActivationKind activation = ActivationKind::swiglu;
  bool use_bias = false;
  bool tie_embeddings = false;
  int ffn_hidden_size = 0;  // dense layers
  int num_experts = 0;      // 0 = dense model
  int router_top_k = 0;
  int moe_ffn_hidden_size = 0;  // per expert
  int num_shared_experts = 0;   // each as wide as a routed expert
  int num_dense_layers = 0;     // leading layers without experts
  RouterScore router_score = RouterScore::softmax;
  bool router_renormalize = false;
  double routed_scaling_factor = 1.0;
  double aux_loss_coeff = 0.0;
  double z_loss_coeff = 0.0;
  double expert_bias_update_rate = 0.0;  // 0 = no expert bias
  double init_std = 0.02;
  bool operator==(const ModelConfig&) const = default;

  bool is_moe_layer(int layer) const { return num_experts > 0 && layer >= num_dense_layers; }
  bool gated() const { return activation == ActivationKind::swiglu; }

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
    visit(Field{.name = "position", .help = "rotary, or learned (a table added to the embedding)."},
          self.position);
    visit(Field{.name = "rope_theta",
                .min = 1,
                .max = 1e12,
                .step = 10000,
                .help = "Base of the rotary frequencies.",
                .source = "Su et al. 2021, RoFormer"},
          self.rope_theta);
    visit(Field{.name = "norm", .help = "rms (RMSNorm) or layer (LayerNorm with bias)."},
          self.norm);
    visit(Field{.name = "norm_eps",
                .min = 0,
                .max = 1,
                .step = 1e-6,
                .help = "Added to the variance inside the norms."},
          self.norm_eps);
    visit(Field{.name = "activation",
                .help = "swiglu (gated, three matrices), gelu or relu (two matrices)."},
          self.activation);
    visit(Field{.name = "use_bias",
                .help = "Bias in the linear layers of attention and feed-forward."},
          self.use_bias);
    visit(Field{.name = "tie_embeddings", .help = "Output head shares the embedding matrix."},
          self.tie_embeddings);
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
    visit(
        Field{
            .name = "router_top_k", .min = 0, .max = 64, .help = "Experts each token is sent to."},
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
    visit(Field{.name = "num_dense_layers",
                .min = 0,
                .max = 10000,
                .help = "Leading layers with a dense feed-forward instead of experts."},
          self.num_dense_layers);
    visit(Field{.name = "router_score", .help = "softmax over all experts, or sigmoid of each."},
          self.router_score);
    visit(Field{.name = "router_renormalize", .help = "Divide the chosen scores by their sum."},
          self.router_renormalize);
    visit(Field{.name = "routed_scaling_factor",
                .min = 0,
                .max = 1000,
                .step = 0.1,
                .help = "Factor on the output of the routed experts."},
          self.routed_scaling_factor);
    visit(Field{.name = "aux_loss_coeff",
                .min = 0,
                .max = 100,
                .step = 0.001,
                .help = "Weight of the load-balance loss.",
                .source = "Fedus et al. 2021, Switch Transformers, eq. 4"},
          self.aux_loss_coeff);
    visit(Field{.name = "z_loss_coeff",
                .min = 0,
                .max = 100,
                .step = 0.001,
                .help = "Weight of the router z-loss.",
                .source = "Zoph et al. 2022, ST-MoE, eq. 5"},
          self.z_loss_coeff);
    visit(Field{.name = "expert_bias_update_rate",
                .min = 0,
                .max = 1,
                .step = 0.001,
                .help = "Step of the aux-loss-free expert bias; 0 switches it off.",
                .source = "Wang et al. 2024, Auxiliary-Loss-Free Load Balancing"},
          self.expert_bias_update_rate);
    visit(Field{.name = "init_std",
                .min = 0,
                .max = 10,
                .step = 0.001,
                .help = "Standard deviation of the normal initialisation."},
          self.init_std);
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
struct EnumNames<spec::NormKind> {
  static constexpr std::array<std::string_view, 2> value = {"rms", "layer"};
};
template <>
struct EnumNames<spec::ActivationKind> {
  static constexpr std::array<std::string_view, 3> value = {"swiglu", "gelu", "relu"};
};
template <>
struct EnumNames<spec::QkNormKind> {
  static constexpr std::array<std::string_view, 3> value = {"none", "per_head", "full"};
};
template <>
struct EnumNames<spec::RouterScore> {
  static constexpr std::array<std::string_view, 2> value = {"softmax", "sigmoid"};
};
}  // namespace tera
