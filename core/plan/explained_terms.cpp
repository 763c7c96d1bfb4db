#include "core/plan/explained_terms.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"

namespace tera::plan {
namespace {

using spec::ModelConfig;
using spec::RunSpec;

Term count_term(const char* label, std::int64_t count, std::string formula, std::string source) {
  return leaf_term(label, static_cast<double>(count), "parameters", std::move(formula),
                   std::move(source));
}

std::string in_layers(std::int64_t layers, const std::string& each) {
  return fmt::format("{} layer{} x {}", layers, layers == 1 ? "" : "s", each);
}

std::string attention_formula(const ModelConfig& m, std::int64_t of_all) {
  const std::string heads =
      m.attention == spec::AttentionKind::latent
          ? fmt::format("{} heads of {} + {} and {}, latent vectors of {} and {}",
                        m.num_attention_heads, m.qk_nope_head_dim, m.qk_rope_head_dim, m.v_head_dim,
                        m.q_lora_rank, m.kv_lora_rank)
          : fmt::format("{} heads for queries and {} for keys and values, of {}",
                        m.num_attention_heads, m.num_key_value_heads, m.head_dim);
  const auto each = static_cast<double>(of_all) / m.num_all_layers();
  return in_layers(m.num_all_layers(),
                   fmt::format("{}: {}, hidden {}", format_count(each), heads, m.hidden_size));
}

// Matrices of a feed-forward layer or an expert.
std::string matrices(const ModelConfig& m, int width) {
  return fmt::format("{} matrices of {} x {}", m.gated() ? 3 : 2, m.hidden_size, width);
}

std::string embedding_formula(const ModelConfig& m) {
  std::string text = fmt::format("{} words x {}", m.vocab_size, m.hidden_size);
  if (m.position == spec::PositionKind::learned)
    text += fmt::format(" + {} positions x {}", m.max_position_embeddings, m.hidden_size);
  return text;
}

std::string head_formula(const ModelConfig& m) {
  std::string text = m.tie_embeddings ? "the embedding's own"
                                      : fmt::format("{} words x {}", m.vocab_size, m.hidden_size);
  if (m.num_mtp_layers > 0)
    text += fmt::format(" + {} predictions x 2 x {} squared", m.num_mtp_layers, m.hidden_size);
  return text;
}

Term total_term(const ModelConfig& m, const ParamCounts& p) {
  const std::int64_t moe = m.num_moe_layers(m.num_all_layers());
  const std::int64_t dense = m.num_all_layers() - moe;
  const std::string biases = m.ffn_bias ? " and their biases" : "";
  std::vector<Term> parts = {
      count_term("embedding", p.embedding, embedding_formula(m),
                 "model.vocab_size, hidden_size; Vaswani et al. 2017, section 3.4"),
      count_term("attention", p.attention, attention_formula(m, p.attention),
                 m.attention == spec::AttentionKind::latent
                     ? "DeepSeek-AI 2024, DeepSeek-V2, section 2.1"
                     : "Vaswani et al. 2017, section 3.2; Ainslie et al. 2023: grouped queries"),
      count_term("dense feed-forward", p.dense_ffn,
                 in_layers(dense, matrices(m, m.ffn_hidden_size)) + biases,
                 m.gated() ? "Shazeer 2020, GLU variants" : "Vaswani et al. 2017, section 3.3"),
      count_term("experts", p.experts,
                 in_layers(moe, fmt::format("{} experts x {}", m.num_experts,
                                            matrices(m, m.moe_ffn_hidden_size))),
                 "Shazeer et al. 2017, section 2"),
      count_term("shared experts", p.shared_experts,
                 in_layers(moe, fmt::format("{} experts x {}{}", m.num_shared_experts,
                                            matrices(m, m.moe_ffn_hidden_size),
                                            m.shared_expert_gate ? ", a gate" : "")),
                 "Dai et al. 2024, DeepSeekMoE, section 3.2"),
      count_term("router", p.router,
                 in_layers(moe, fmt::format("{} experts x {}", m.num_experts, m.hidden_size)),
                 "Shazeer et al. 2017, section 2.1"),
      count_term("norms", p.norms,
                 fmt::format("{} layers, the last norm{}: vectors of {}", m.num_all_layers(),
                             m.num_mtp_layers > 0 ? ", those of predictions" : "", m.hidden_size),
                 "model.norm, qk_norm; Zhang and Sennrich 2019, Ba et al. 2016"),
      count_term("head", p.head, head_formula(m),
                 "model.tie_embeddings: Press and Wolf 2017; num_mtp_layers: DeepSeek-AI 2024, "
                 "DeepSeek-V3, section 2.2")};
  std::erase_if(parts, [](const Term& part) { return part.value == 0; });
  return sum_term("total parameters", "parameters", std::move(parts));
}

}  // namespace

Term model_terms(const RunSpec& spec, const Estimate& e) {
  const ModelConfig& m = spec.model;
  const ParamCounts& p = e.params;
  const auto count = [](std::int64_t params) { return format_count(static_cast<double>(params)); };
  Term active = count_term(
      "active parameters", p.active,
      m.num_experts > 0
          ? fmt::format("{} less {} of experts, of which a token uses {:.3g} of {}", count(p.total),
                        count(p.experts), m.experts_per_token(), m.num_experts)
          : fmt::format("all {}", count(p.active)),
      "what a token meets when the trained model runs; predictions of training left out");
  Term trainable = count_term(
      "trainable parameters", e.trainable_params,
      spec.lora.enabled() ? fmt::format("matrices of rank {} beside those adapted; the {} of the "
                                        "model are frozen",
                                        spec.lora.rank, count(p.total))
                          : fmt::format("all {}", count(p.total)),
      spec.lora.enabled() ? "Hu et al. 2021, LoRA, section 4.1" : "nothing is frozen");
  Term flops = leaf_term(
      "flops per token", e.train_flops_per_token, "flop",
      fmt::format("6 x parameters in products{} + 6 x {} layers x {} heads x tokens seen x dims of "
                  "a score and a value, {} tokens (causal)",
                  spec.lora.enabled() ? ", 4 where frozen," : "", m.num_all_layers(),
                  m.num_attention_heads, spec.training.seq_length),
      "Chowdhery et al. 2022, PaLM, appendix B, with causal attention halved");
  Term root = leaf_term("model", static_cast<double>(p.total), "parameters", "total parameters",
                        "the sum below; beside it, what a token uses and what is trained");
  root.children = {total_term(m, p), std::move(active), std::move(trainable), std::move(flops)};
  return root;
}

Term explained_terms(const RunSpec& spec, const Estimate& e) {
  Term memory = e.stages[static_cast<std::size_t>(e.worst_stage)].memory;
  memory.label = "memory";
  memory.source = fmt::format("stage {} needs most", e.worst_stage);
  Term root;
  root.label = "plan";
  root.children = {std::move(memory), e.step_time, e.cost.terms, model_terms(spec, e)};
  for (const StageMemory& stage : e.stages)
    root.children.push_back(stage.memory);
  return root;
}

}  // namespace tera::plan
