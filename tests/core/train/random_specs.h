// Specs drawn at random, of models small enough to train for a step at once.
#pragma once
#include <initializer_list>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/spec/run_spec.h"
#include "core/spec/validate.h"
#include "tests/core/plan/schedules.h"

namespace tera::train::test {

inline int one_of(std::mt19937& random, std::initializer_list<int> choices) {
  return *(choices.begin() +
           std::uniform_int_distribution<std::ptrdiff_t>(0, std::ssize(choices) - 1)(random));
}

// Of every shape the engine trains, for one rank.
inline spec::RunSpec random_spec(std::mt19937& random) {
  const auto pick = [&random](std::initializer_list<int> choices) {
    return one_of(random, choices);
  };
  spec::RunSpec spec;
  spec::ModelConfig& m = spec.model;
  m.num_layers = pick({1, 2, 3});
  m.head_dim = pick({8, 16, 24});
  m.num_key_value_heads = pick({1, 2, 3});
  m.num_attention_heads = m.num_key_value_heads * pick({1, 2, 4});
  m.hidden_size = pick({24, 40, 64});
  m.vocab_size = pick({61, 128, 301});
  m.max_position_embeddings = 64;
  m.position = pick({0, 1}) == 0 ? spec::PositionKind::rotary : spec::PositionKind::learned;
  m.norm = pick({0, 1}) == 0 ? spec::NormKind::rms : spec::NormKind::layer;
  m.activation = static_cast<spec::ActivationKind>(pick({0, 1, 2, 3, 4, 5}));
  m.qk_norm = static_cast<spec::QkNormKind>(pick({0, 1, 2}));
  m.attention_bias = static_cast<spec::AttentionBias>(pick({0, 1, 2}));
  m.ffn_bias = pick({0, 1}) == 1;
  m.norm_placement = static_cast<spec::NormPlacement>(pick({0, 1, 2}));
  m.parallel_residual = pick({0, 1}) == 1;
  m.sliding_window = pick({0, 5});
  m.attention_scale = pick({0, 1}) * 0.25;
  m.attention_softcap = pick({0, 30});
  m.embedding_multiplier = pick({1, 3});
  m.logit_multiplier = pick({1, 2}) * 0.5;
  if (m.position == spec::PositionKind::rotary) {
    m.rotary_fraction = pick({1, 2, 4}) * 0.25;
    m.rope_scaling = static_cast<spec::RopeScaling>(pick({0, 1, 2, 3}));
    m.rope_factor = m.rope_scaling == spec::RopeScaling::none ? 1 : 4;
    m.rope_original_max_position = 16;
  }
  if (pick({0, 1, 2}) == 0) {
    m.attention = spec::AttentionKind::latent;
    m.qk_norm = spec::QkNormKind::none;
    m.attention_bias = spec::AttentionBias::none;
    m.rotary_fraction = 1;
    m.q_lora_rank = pick({0, 14});
    m.kv_lora_rank = pick({10, 24});
    m.qk_nope_head_dim = pick({6, 16});
    m.qk_rope_head_dim = pick({4, 8});
    m.v_head_dim = pick({5, 12});
  }
  m.tie_embeddings = pick({0, 1}) == 1;
  m.num_mtp_layers = pick({0, 0, 1, 2});
  m.num_experts = pick({0, 3, 8});
  m.ffn_hidden_size = 48;
  if (m.num_experts > 0) {
    m.router_top_k = pick({1, 2, 3});
    m.moe_ffn_hidden_size = pick({16, 40});
    m.num_shared_experts = pick({0, 1, 2});
    m.shared_expert_gate = m.num_shared_experts > 0 && pick({0, 1}) == 1;
    m.num_dense_layers = m.num_layers > 1 ? pick({0, 1}) : 0;
    m.moe_layer_interval = pick({1, 1, 2});  // 2 may leave no layer with experts
    m.router_score = pick({0, 1}) == 0 ? spec::RouterScore::softmax : spec::RouterScore::sigmoid;
    m.z_loss_coeff = pick({0, 1}) * 0.001;
    m.router_jitter = pick({0, 1}) * 0.01;
    m.expert_capacity_factor = 0.25 * pick({0, 0, 2, 5});
    m.router_choice = pick({0, 0, 1}) == 0 ? spec::RouterChoice::token : spec::RouterChoice::expert;
    if (m.router_choice == spec::RouterChoice::token) {
      m.router_renormalize = pick({0, 1}) == 1;
      m.expert_bias_update_rate = pick({0, 1}) * 0.001;
      m.aux_loss_coeff = pick({0, 1}) * 0.01;
      m.aux_loss_scope = static_cast<spec::AuxLossScope>(pick({0, 1, 2}));
      m.capacity_policy = static_cast<spec::CapacityPolicy>(pick({0, 1}));
      m.capacity_pad = m.expert_capacity_factor > 0 && pick({0, 1}) == 1;
      if (m.num_experts == 8) m.router_num_groups = pick({1, 2});  // 4 experts in a group
    }
  }
  spec.data.datasets.emplace_back().path = "unused";  // tokens are synthetic
  spec.training.precision = static_cast<spec::Precision>(pick({0, 1, 2, 3}));
  spec.training.ema_decay = pick({0, 1}) * 0.9;
  spec.training.optimizer = static_cast<spec::OptimizerKind>(pick({0, 1, 2, 3, 4}));
  spec.training.seq_length = pick({7, 16, 33});
  spec.layout.recompute = static_cast<spec::RecomputeKind>(pick({0, 1, 2}));
  spec.layout.micro_batch_size = pick({1, 2, 3});
  spec.training.global_batch_size = spec.layout.micro_batch_size * pick({1, 2});
  return spec;
}

// Adapters on everything the model has, or on some of it.
inline void add_adapters(spec::RunSpec& spec, std::mt19937& random) {
  spec.lora.rank = 1 + static_cast<int>(random() % 4);
  spec.training.init_from = "unused";  // weights are random
  for (const std::string_view target : spec::kLoraTargets) {
    if (random() % 3 == 0) continue;
    spec.lora.target_modules.emplace_back(target);
    for (const Diagnostic& found : spec::validate(spec)) {
      if (found.field.starts_with("lora.target_modules[")) {  // the model lacks it
        spec.lora.target_modules.pop_back();
        break;
      }
    }
  }
  if (!spec.lora.enabled()) spec.lora.target_modules = {"attention.out"};
}

// A layout for it over at most `most_ranks`, and what of the model and its training the layout asks
// to be otherwise. It may still be none that the engine trains.
inline void add_layout(spec::RunSpec& spec, int most_ranks, std::mt19937& random) {
  const auto pick = [&random](std::initializer_list<int> choices) {
    return one_of(random, choices);
  };
  spec::ParallelLayout& l = spec.layout;
  spec::ModelConfig& m = spec.model;
  l.tensor_parallel_size = pick({1, 1, 2, 4});
  l.pipeline_parallel_size = pick({1, 1, 2, 3});
  l.context_parallel_size = pick({1, 1, 1, 2, 4});
  l.context_parallel_method = static_cast<spec::ContextMethod>(pick({0, 1}));
  if (l.context_parallel_size > 1) spec.training.seq_length = pick({8, 16, 32});
  do {
    l.data_parallel_size = pick({1, 2, 3, 4, 8});
  } while (l.world_size() > most_ranks && l.data_parallel_size > 1);
  l.zero_stage = pick({0, 1, 2, 3});
  l.zero_replicas = pick({1, 1, 1, 2, 2, 3, 4});
  l.rank_order = static_cast<spec::RankOrder>(pick({0, 0, 1}));
  if (m.num_experts > 0) {
    l.expert_parallel_size = pick({1, 2, 3, 4, 8});
    l.expert_tensor_parallel_size = pick({1, 1, 2, 4});
    l.expert_load_percentile = pick({0, 50, 90, 99});
    l.expert_dispatcher = static_cast<spec::ExpertDispatcher>(pick({0, 0, 1}));
  }
  if (l.pipeline_parallel_size > 1) {
    l.zero_stage = pick({0, 1});
    l.schedule = plan::kScheduleKinds[static_cast<std::size_t>(pick({0, 1, 2, 3, 4, 5, 6}))];
    l.virtual_stages = plan::default_chunks(l.schedule);
    l.ends_count_as_layers = l.virtual_stages > 1 || pick({0, 1}) == 1;
  }
  if (l.tensor_parallel_size > 1) {
    m.num_attention_heads = 4 * pick({1, 2});
    m.num_key_value_heads = pick({1, 2, 4});
    l.sequence_parallel = m.num_experts > 0 || pick({0, 1}) == 1;
    spec.training.seq_length = pick({8, 16, 32});
  }
  spec.training.reproducible_sums = pick({0, 0, 0, 1}) == 1;
  const bool splits = l.tensor_parallel_size * l.expert_tensor_parallel_size > 1;
  if (splits || l.zero_stage > 0)
    spec.training.optimizer = static_cast<spec::OptimizerKind>(pick({0, 2, 4}));
  spec.training.global_batch_size =
      l.micro_batch_size * l.data_parallel_size * pick({1, 2, 3, 4, 6});
  spec.software.expert_overlap = m.num_experts > 0 && pick({0, 0, 1}) == 1;
}

// One that the engine trains.
inline spec::RunSpec random_run(int most_ranks, std::mt19937& random) {
  for (;;) {
    spec::RunSpec spec = random_spec(random);
    add_layout(spec, most_ranks, random);
    if (one_of(random, {0, 0, 0, 1}) == 1) add_adapters(spec, random);
    std::vector<Diagnostic> found = spec::validate(spec);
    for (const Diagnostic& more : spec::validate_for_engine(spec))
      found.push_back(more);
    if (!has_errors(found) && spec.layout.world_size() > 1 &&
        spec.layout.world_size() <= most_ranks) {
      return spec;
    }
  }
}

inline std::string layout_text(const spec::RunSpec& spec) {
  const spec::ParallelLayout& l = spec.layout;
  return fmt::format(
      "tp {}{} cp {} {} pp {} {} dp {} zero {} copies {} ep {} etp {} {}, {} x {} sequences of {}, "
      "{}, {}, "
      "recompute {}, "
      "{} layers, {} experts, {} for prediction, {} adapters{}{}",
      l.tensor_parallel_size, l.sequence_parallel ? " sequence parallel" : "",
      l.context_parallel_size, enum_name(l.context_parallel_method), l.pipeline_parallel_size,
      enum_name(l.schedule), l.data_parallel_size, l.zero_stage, l.zero_replicas,
      l.expert_parallel_size, l.expert_tensor_parallel_size, enum_name(l.expert_dispatcher),
      spec.num_micro_batches(), l.micro_batch_size, spec.training.seq_length,
      enum_name(spec.training.precision), enum_name(spec.training.optimizer),
      enum_name(l.recompute), spec.model.num_layers, spec.model.num_experts,
      spec.model.num_mtp_layers, spec.lora.target_modules.size(),
      spec.training.reproducible_sums ? ", reproducible sums" : "",
      spec.overlaps_experts() ? ", in turns" : "");
}

}  // namespace tera::train::test
