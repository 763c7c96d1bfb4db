// Small models of every kind, with random weights and a batch of several documents.
#pragma once
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "core/base/rng.h"
#include "core/base/thread_pool.h"
#include "core/nn/model.h"
#include "core/plan/adapter_table.h"
#include "core/tensor/cpu_backend.h"

namespace tera::nn::test {

// What a test varies; the rest of the shape is fixed small.
inline spec::ModelConfig small_config() {
  spec::ModelConfig c;
  c.num_layers = 2;
  c.hidden_size = 12;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 4;
  c.vocab_size = 17;
  c.max_position_embeddings = 16;
  c.ffn_hidden_size = 10;
  c.init_std = 0.3;
  return c;
}

inline spec::ModelConfig gpt2_config() {
  spec::ModelConfig c = small_config();
  c.num_key_value_heads = 4;
  c.position = spec::PositionKind::learned;
  c.norm = spec::NormKind::layer;
  c.activation = spec::ActivationKind::gelu;
  c.attention_bias = spec::AttentionBias::all;
  c.ffn_bias = true;
  c.tie_embeddings = true;
  return c;
}

inline spec::ModelConfig llama_config() {
  return small_config();
}

inline spec::ModelConfig moe_config() {
  spec::ModelConfig c = small_config();
  c.num_experts = 5;
  c.router_top_k = 2;
  c.moe_ffn_hidden_size = 6;
  c.aux_loss_coeff = 0.02;
  c.z_loss_coeff = 0.003;
  return c;
}

inline spec::ModelConfig sigmoid_moe_config() {
  spec::ModelConfig c = moe_config();
  c.router_score = spec::RouterScore::sigmoid;
  c.router_renormalize = true;
  c.routed_scaling_factor = 1.7;
  c.z_loss_coeff = 0;
  c.num_shared_experts = 2;
  c.num_dense_layers = 1;
  c.expert_bias_update_rate = 0.01;
  return c;
}

inline spec::ModelConfig neox_config() {
  spec::ModelConfig c = gpt2_config();
  c.position = spec::PositionKind::rotary;
  c.rotary_fraction = 0.5;
  c.activation = spec::ActivationKind::gelu_exact;
  c.parallel_residual = true;
  c.tie_embeddings = false;
  return c;
}

// Rotary positions stretched from 8 tokens to 16, so that pairs fall on both sides of each bound.
inline spec::ModelConfig stretched_config(spec::RopeScaling scaling) {
  spec::ModelConfig c = small_config();
  c.head_dim = 8;
  c.rope_scaling = scaling;
  c.rope_factor = 2;
  c.rope_original_max_position = 8;
  c.rope_theta = 40;
  c.rope_low_freq_factor = 0.2;
  c.rope_high_freq_factor = 0.8;
  c.rope_beta_fast = 1;
  c.rope_beta_slow = 0.1;
  return c;
}

inline spec::ModelConfig mistral_config() {
  spec::ModelConfig c = small_config();
  c.sliding_window = 3;
  return c;
}

inline spec::ModelConfig olmo2_config() {
  spec::ModelConfig c = small_config();
  c.norm_placement = spec::NormPlacement::post;
  c.qk_norm = spec::QkNormKind::full;
  return c;
}

inline spec::ModelConfig grok_config() {
  spec::ModelConfig c = moe_config();
  c.activation = spec::ActivationKind::geglu;
  c.norm_placement = spec::NormPlacement::sandwich;
  c.attention_scale = 0.08838834764831845;
  c.attention_softcap = 0.1;  // of scores that are about as large
  c.embedding_multiplier = 7.5;
  c.logit_multiplier = 0.5773502691896257;
  c.tie_embeddings = true;
  return c;
}

// DeepSeek-V3's router, a gate on the shared experts as Qwen2-MoE, experts in every second layer.
inline spec::ModelConfig grouped_moe_config() {
  spec::ModelConfig c = sigmoid_moe_config();
  c.num_experts = 6;
  c.router_num_groups = 3;
  c.router_top_groups = 2;
  c.z_loss_coeff = 0.003;
  c.aux_loss_scope = spec::AuxLossScope::sequence;
  c.shared_expert_gate = true;
  c.num_dense_layers = 0;
  c.moe_layer_interval = 2;
  return c;
}

// No two of the dims and ranks equal, so that none can be taken for another.
inline spec::ModelConfig latent_config() {
  spec::ModelConfig c = small_config();
  c.attention = spec::AttentionKind::latent;
  c.q_lora_rank = 9;
  c.kv_lora_rank = 7;
  c.qk_nope_head_dim = 5;
  c.qk_rope_head_dim = 4;
  c.v_head_dim = 3;
  return c;
}

// DeepSeek-V2-Lite's queries straight of the input, rotary positions and scores of YaRN.
inline spec::ModelConfig latent_moe_config() {
  spec::ModelConfig c = latent_config();
  const spec::ModelConfig rotary = stretched_config(spec::RopeScaling::yarn);
  c.q_lora_rank = 0;
  c.qk_rope_head_dim = 8;
  c.v_head_dim = 11;
  c.rope_scaling = rotary.rope_scaling;
  c.rope_factor = rotary.rope_factor;
  c.rope_original_max_position = rotary.rope_original_max_position;
  c.rope_theta = rotary.rope_theta;
  c.rope_beta_fast = rotary.rope_beta_fast;
  c.rope_beta_slow = rotary.rope_beta_slow;
  c.rope_attention_factor = 1;
  c.attention_scale = 0.4;
  c.num_experts = 5;
  c.router_top_k = 2;
  c.moe_ffn_hidden_size = 6;
  c.num_shared_experts = 1;
  c.num_dense_layers = 1;
  c.aux_loss_coeff = 0.02;
  return c;
}

struct NamedConfig {
  std::string name;
  spec::ModelConfig config;
  friend std::ostream& operator<<(std::ostream& out, const NamedConfig& named) {
    return out << named.name;
  }
};

inline std::vector<NamedConfig> all_configs() {
  std::vector<NamedConfig> all = {
      {"gpt2", gpt2_config()}, {"llama", llama_config()}, {"sigmoid_moe", sigmoid_moe_config()}};
  spec::ModelConfig c = llama_config();
  c.qk_norm = spec::QkNormKind::per_head;
  all.push_back({"qk_norm_per_head", c});
  c.qk_norm = spec::QkNormKind::full;
  c.activation = spec::ActivationKind::relu;
  all.push_back({"qk_norm_full_relu", c});
  c = moe_config();
  all.push_back({"moe", c});
  c.router_renormalize = true;
  c.qk_norm = spec::QkNormKind::per_head;
  c.position = spec::PositionKind::learned;
  all.push_back({"moe_renormalised_learned_positions", c});
  c = moe_config();
  c.num_shared_experts = 1;
  c.tie_embeddings = true;
  c.activation = spec::ActivationKind::gelu;
  all.push_back({"moe_shared_gelu_tied", c});
  all.push_back({"neox", neox_config()});
  all.push_back({"linear", stretched_config(spec::RopeScaling::linear)});
  all.push_back({"llama3", stretched_config(spec::RopeScaling::llama3)});
  c = stretched_config(spec::RopeScaling::yarn);
  c.attention_bias = spec::AttentionBias::qkv;
  all.push_back({"yarn_qkv_bias", c});
  all.push_back({"mistral", mistral_config()});
  all.push_back({"olmo2", olmo2_config()});
  all.push_back({"grok", grok_config()});
  c = sigmoid_moe_config();
  c.parallel_residual = true;
  c.norm_placement = spec::NormPlacement::post;
  c.norm = spec::NormKind::layer;
  c.activation = spec::ActivationKind::relu_squared;
  c.position = spec::PositionKind::learned;
  c.embedding_multiplier = 0.5;
  c.sliding_window = 2;
  all.push_back({"parallel_post_moe", c});
  c = neox_config();
  c.norm_placement = spec::NormPlacement::sandwich;
  c.ffn_bias = false;
  all.push_back({"parallel_sandwich", c});
  all.push_back({"grouped_moe", grouped_moe_config()});
  all.push_back({"latent", latent_config()});
  all.push_back({"latent_moe", latent_moe_config()});
  c = latent_config();
  c.sliding_window = 3;
  c.attention_softcap = 0.5;
  c.norm_placement = spec::NormPlacement::sandwich;
  all.push_back({"latent_window_softcap", c});
  c = llama_config();
  c.num_mtp_layers = 1;
  all.push_back({"mtp", c});
  c = latent_moe_config();
  c.num_layers = 1;
  c.num_dense_layers = 0;
  c.router_score = spec::RouterScore::sigmoid;
  c.expert_bias_update_rate = 0.01;
  c.num_mtp_layers = 2;
  c.mtp_loss_coeff = 0.8;
  c.tie_embeddings = true;
  c.embedding_multiplier = 0.5;
  c.logit_multiplier = 0.7;
  all.push_back({"latent_moe_mtp", c});
  return all;
}

// Models whose tokens or micro-batches are not independent of each other, or whose training differs
// from evaluation.
inline std::vector<NamedConfig> training_configs() {
  std::vector<NamedConfig> all;
  spec::ModelConfig c = moe_config();
  c.expert_capacity_factor = 0.8;
  c.router_jitter = 0.1;
  c.aux_loss_scope = spec::AuxLossScope::global_batch;
  all.push_back({"capacity_jitter_global_balance", c});
  c.capacity_policy = spec::CapacityPolicy::position;
  c.router_score = spec::RouterScore::sigmoid;
  c.router_renormalize = true;
  c.expert_capacity_factor = 1.25;
  c.router_jitter = 0;
  all.push_back({"capacity_by_position", c});
  c.capacity_pad = true;
  all.push_back({"capacity_padded", c});
  c = moe_config();
  c.router_choice = spec::RouterChoice::expert;
  c.aux_loss_coeff = 0;
  c.expert_capacity_factor = 0.7;
  c.num_shared_experts = 1;
  c.shared_expert_gate = true;
  all.push_back({"expert_choice", c});
  return all;
}

inline std::vector<NamedConfig> all_and_training_configs() {
  std::vector<NamedConfig> all = all_configs();
  for (NamedConfig& named : training_configs())
    all.push_back(std::move(named));
  return all;
}

inline std::uint64_t hash_at(std::uint64_t seed, std::uint64_t index) {
  return Philox(seed, RngPurpose::test).words(1, index)[0];
}

// Token ids, targets (some without loss), and documents that restart at random places.
inline Batch random_batch(
    Backend& backend, int batch_size, int seq_length, int vocab, std::uint64_t seed) {
  const std::int64_t tokens = std::int64_t{batch_size} * seq_length;
  const auto ids = [&](std::initializer_list<std::int64_t> shape) {
    return Tensor::zeros(backend, shape, DType::i32, MemoryKind::workspace);
  };
  Batch batch{.batch_size = batch_size,
              .seq_length = seq_length,
              .tokens = ids({tokens}),
              .targets = ids({tokens}),
              .positions = ids({tokens}),
              .first_key = ids({batch_size, seq_length})};
  std::int32_t start = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    const auto place = static_cast<std::int32_t>(t % seq_length);
    if (place == 0 || hash_at(seed, static_cast<std::uint64_t>(4 * t)) % 4 == 0) start = place;
    const auto word = [&](std::uint64_t i) {
      return static_cast<std::int32_t>(hash_at(seed, static_cast<std::uint64_t>(4 * t) + i) %
                                       static_cast<std::uint64_t>(vocab));
    };
    batch.tokens.data<std::int32_t>()[t] = word(1);
    batch.targets.data<std::int32_t>()[t] = t % 5 == 3 ? -1 : word(2);
    batch.positions.data<std::int32_t>()[t] = place - start;
    batch.first_key.data<std::int32_t>()[t] = start;
  }
  return batch;
}

inline std::int64_t num_targets(const Batch& batch) {
  std::int64_t count = 0;
  for (std::int64_t t = 0; t < batch.targets.num_elements(); ++t)
    count += batch.targets.data<std::int32_t>()[t] >= 0;
  return count;
}

inline double value_at(const Tensor& tensor, std::int64_t i) {
  if (tensor.dtype() == DType::f64) return tensor.data<double>()[i];
  return static_cast<double>(tensor.data<float>()[i]);
}

inline std::vector<double> values_of(const Tensor& tensor) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < tensor.num_elements(); ++i)
    values.push_back(value_at(tensor, i));
  return values;
}

// The elements that a rank holds of a tensor.
inline std::vector<double> part_of(const std::vector<double>& whole,
                                   const plan::ParamSlice& slice) {
  std::vector<double> part(static_cast<std::size_t>(slice.num_elements()), 0.0);
  slice.for_each([&](std::int64_t global, std::int64_t local, std::int64_t count, bool) {
    for (std::int64_t i = 0; i < count; ++i)
      part[static_cast<std::size_t>(local + i)] = whole[static_cast<std::size_t>(global + i)];
  });
  return part;
}

// A model with its backend and weights: init_params, then norms, biases and expert biases moved off
// their symmetric start, equal in every dtype up to rounding.
struct TinyModel {
  explicit TinyModel(const spec::ModelConfig& model_config,
                     DType compute = DType::f64,
                     CpuOps ops = CpuOps::reference,
                     int num_threads = 1,
                     const spec::LoraConfig& lora = {})
      : config(model_config),
        pool(num_threads),
        backend(make_cpu_backend(pool, ops)),
        params(*backend,
               plan::with_adapters(plan::make_param_table(config), lora),
               {.compute = compute}),
        model(config, params) {
    init_params(params, config, 7);
    for (const Param& param : params.params()) {
      if (param.spec.init != plan::ParamInit::ones && param.spec.init != plan::ParamInit::zeros) {
        continue;
      }
      const Philox random(11, RngPurpose::test, name_hash(param.spec.name));
      const Tensor values =
          Tensor::empty(*backend, param.value.shape(), DType::f32, MemoryKind::workspace);
      const float base = param.spec.init == plan::ParamInit::ones ? 1.0F : 0.0F;
      for (std::int64_t i = 0; i < values.num_elements(); ++i) {
        values.data<float>()[i] =
            base + 0.4F * (random.uniform(0, static_cast<std::uint64_t>(i)) - 0.5F);
      }
      if (compute == DType::f64) {
        for (std::int64_t i = 0; i < values.num_elements(); ++i)
          param.value.data<double>()[i] = static_cast<double>(values.data<float>()[i]);
      } else {
        backend->ops().copy(backend->context(), values, param.value);
      }
    }
  }

  // Loss per target plus the auxiliary losses; gradients of it are added to the store.
  double train(const Batch& batch, double loss_scale, double batch_share = 1.0) {
    Stash stash(*backend);
    std::vector<RouterStats> stats(static_cast<std::size_t>(config.num_all_layers()));
    PredictionStats prediction;
    Pass pass{.batch = batch,
              .stash = stash,
              .loss_scale = loss_scale,
              .batch_share = batch_share,
              .router_stats = &stats,
              .prediction_stats = &prediction,
              .training = place,
              .recompute = recompute};
    const double loss = loss_scale * model.forward(pass, true);
    model.backward(pass);
    return loss + loss_scale * weighted(prediction) + auxiliary(stats);
  }

  double evaluate(const Batch& batch, double loss_scale, double batch_share = 1.0) {
    Stash stash(*backend);
    std::vector<RouterStats> stats(static_cast<std::size_t>(config.num_all_layers()));
    PredictionStats prediction;
    Pass pass{.batch = batch,
              .stash = stash,
              .batch_share = batch_share,
              .router_stats = &stats,
              .prediction_stats = &prediction,
              .training = place};
    const double loss = loss_scale * model.forward(pass, false);
    return loss + loss_scale * weighted(prediction) + auxiliary(stats);
  }

  double weighted(const PredictionStats& stats) const {
    return config.mtp_loss_coeff * stats.loss_sum / std::max(1, config.num_mtp_layers);
  }

  static double auxiliary(const std::vector<RouterStats>& stats) {
    double sum = 0;
    for (const RouterStats& layer : stats)
      sum += layer.balance_loss + layer.z_loss;
    return sum;
  }

  spec::ModelConfig config;
  TrainingPlace place = {};  // of train and evaluate
  spec::RecomputeKind recompute = spec::RecomputeKind::none;
  ThreadPool pool;
  std::unique_ptr<Backend> backend;
  ParamStore params;
  Model model;
};

}  // namespace tera::nn::test
