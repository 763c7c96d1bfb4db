#include "core/spec/interchange/torchtitan_flavors.h"

namespace tera::spec {
namespace {

struct Decoder {
  std::string_view flavor;
  int num_layers, hidden_size, heads, key_value_heads, ffn;
  bool tied;
};

// torchtitan/models/llama3: widths follow from ffn_dim_multiplier and multiple_of there.
constexpr Decoder kLlama3[] = {{"8B", 32, 4096, 32, 8, 14336, false},
                               {"70B", 80, 8192, 64, 8, 28672, false},
                               {"405B", 126, 16384, 128, 8, 53248, false}};
// torchtitan of 2024, torchtitan/models/llama: llama2.
constexpr Decoder kLlama2[] = {{"7B", 32, 4096, 32, 32, 11008, false},
                               {"13B", 40, 5120, 40, 40, 13824, false},
                               {"70B", 80, 8192, 64, 8, 28672, false}};
// torchtitan/models/qwen3.
constexpr Decoder kQwen3[] = {
    {"0.6B", 28, 1024, 16, 8, 3072, true},  {"1.7B", 28, 2048, 16, 8, 6144, true},
    {"4B", 36, 2560, 32, 8, 9728, true},    {"8B", 36, 4096, 32, 8, 12288, false},
    {"14B", 40, 5120, 40, 8, 17408, false}, {"32B", 64, 5120, 64, 8, 25600, false}};

ModelConfig decoder(const Decoder& d, int head_dim, int vocab_size, int positions) {
  ModelConfig m;
  m.num_layers = d.num_layers;
  m.hidden_size = d.hidden_size;
  m.num_attention_heads = d.heads;
  m.num_key_value_heads = d.key_value_heads;
  m.head_dim = head_dim;
  m.ffn_hidden_size = d.ffn;
  m.vocab_size = vocab_size;
  m.max_position_embeddings = positions;
  m.tie_embeddings = d.tied;
  return m;
}

// torchtitan/models/deepseek_v3.
ModelConfig deepseek(int layers, int hidden, int heads, int q_rank, int dense_width) {
  ModelConfig m;
  m.num_layers = layers;
  m.hidden_size = hidden;
  m.num_attention_heads = m.num_key_value_heads = heads;
  m.attention = AttentionKind::latent;
  m.q_lora_rank = q_rank;
  m.kv_lora_rank = 512;
  m.qk_nope_head_dim = 128;
  m.qk_rope_head_dim = 64;
  m.v_head_dim = m.head_dim = 128;
  m.ffn_hidden_size = dense_width;
  m.vocab_size = 102400;
  m.max_position_embeddings = 4096;
  m.num_dense_layers = 1;
  m.aux_loss_coeff = 0;
  m.expert_bias_update_rate = 0.001;
  return m;
}

struct Experts {
  int count, top_k, shared, width;
};

void add_experts(ModelConfig& m, const Experts& experts) {
  m.num_experts = experts.count;
  m.router_top_k = experts.top_k;
  m.num_shared_experts = experts.shared;
  m.moe_ffn_hidden_size = experts.width;
}

std::vector<TitanFlavor> make_flavors() {
  std::vector<TitanFlavor> flavors;
  for (const Decoder& d : kLlama3) {
    ModelConfig m = decoder(d, d.hidden_size / d.heads, 128256, 131072);
    m.rope_theta = 500000;
    flavors.push_back({"llama3", d.flavor, m});
  }
  for (const Decoder& d : kLlama2)
    flavors.push_back({"llama2", d.flavor, decoder(d, d.hidden_size / d.heads, 32000, 4096)});
  for (const Decoder& d : kQwen3) {
    ModelConfig m = decoder(d, 128, 151936, 40960);
    m.rope_theta = 1e6;
    m.norm_eps = 1e-6;
    m.qk_norm = QkNormKind::per_head;
    flavors.push_back({"qwen3", d.flavor, m});
  }
  ModelConfig lite = deepseek(27, 2048, 16, 0, 10944);
  add_experts(lite, {.count = 64, .top_k = 6, .shared = 2, .width = 1408});
  flavors.push_back({"deepseek_v3", "16B", lite});
  ModelConfig v2 = deepseek(60, 5120, 128, 1536, 12288);
  add_experts(v2, {.count = 160, .top_k = 6, .shared = 2, .width = 1536});
  v2.router_num_groups = 8;
  v2.router_top_groups = 3;
  v2.routed_scaling_factor = 16;
  flavors.push_back({"deepseek_v3", "236B", v2});
  ModelConfig v3 = deepseek(61, 7168, 128, 1536, 18432);
  add_experts(v3, {.count = 256, .top_k = 8, .shared = 1, .width = 2048});
  v3.num_dense_layers = 3;
  v3.vocab_size = 129280;
  v3.router_score = RouterScore::sigmoid;
  v3.router_renormalize = true;
  v3.router_num_groups = 8;
  v3.router_top_groups = 4;
  v3.routed_scaling_factor = 2.5;
  flavors.push_back({"deepseek_v3", "671B", v3});
  return flavors;
}

}  // namespace

const std::vector<TitanFlavor>& titan_flavors() {
  static const std::vector<TitanFlavor> kFlavors = make_flavors();
  return kFlavors;
}

const TitanFlavor* find_flavor(const ModelConfig& model) {
  for (const TitanFlavor& flavor : titan_flavors()) {
    ModelConfig other = flavor.model;  // what a flavor does not fix is the model's
    other.max_position_embeddings = model.max_position_embeddings;
    other.init_method = model.init_method;
    other.init_std = model.init_std;
    other.aux_loss_coeff = model.aux_loss_coeff;
    other.aux_loss_scope = model.aux_loss_scope;
    other.z_loss_coeff = model.z_loss_coeff;
    other.expert_bias_update_rate = model.expert_bias_update_rate;
    if (other == model) return &flavor;
  }
  return nullptr;
}

}  // namespace tera::spec
