// Rules of low-rank adapters: what they may be put on, and what they need.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/spec/findings.h"
#include "core/spec/suggest.h"

namespace tera::spec {
namespace {

// Why the model has no such projection; empty: it has one.
std::string lack_of(const ModelConfig& m, std::string_view target) {
  const bool latent = m.attention == AttentionKind::latent;
  if (target == "attention.k" || target == "attention.v")
    return latent ? "latent attention makes keys and values with attention.kv_up" : "";
  if (target == "attention.q")
    return latent && m.q_lora_rank > 0 ? "with model.q_lora_rank the queries are made by q_up" : "";
  if (target == "attention.q_down" || target == "attention.q_up")
    return latent && m.q_lora_rank > 0 ? "" : "it needs latent attention with model.q_lora_rank";
  if (target == "attention.kv_down" || target == "attention.kv_up")
    return latent ? "" : "it needs model.attention latent";
  if (target.starts_with("ffn.")) {
    const int layers = m.num_all_layers();
    return m.num_moe_layers(layers) < layers ? "" : "every layer of the model has experts";
  }
  if (target.starts_with("experts.")) return m.num_experts > 0 ? "" : "model.num_experts is 0";
  if (target.starts_with("shared."))
    return m.num_shared_experts > 0 ? "" : "model.num_shared_experts is 0";
  if (target == "head")
    return m.tie_embeddings ? "model.tie_embeddings makes it the table of embeddings" : "";
  return {};  // attention.out
}

void check_target(const RunSpec& spec, std::size_t index, Findings& findings) {
  const std::vector<std::string>& targets = spec.lora.target_modules;
  const std::string& target = targets[index];
  const std::string at = fmt::format("lora.target_modules[{}]", index);
  const std::vector<std::string_view> known(kLoraTargets.begin(), kLoraTargets.end());
  if (std::find(known.begin(), known.end(), target) == known.end()) {
    const auto nearest = nearest_word(target, known);
    return findings.error(
        at, fmt::format("no projection is called '{}'", target.substr(0, 60)),
        nearest ? fmt::format("did you mean {}?", *nearest) : fmt::format("use {}", one_of(known)));
  }
  const auto here = targets.begin() + static_cast<std::ptrdiff_t>(index);
  if (std::find(targets.begin(), here, target) != here)
    return findings.error(at, fmt::format("{} is named twice", target), "name it once");
  const std::string lack = lack_of(spec.model, target);
  if (lack.empty()) return;
  std::vector<std::string_view> possible;
  for (const std::string_view name : known) {
    if (lack_of(spec.model, name).empty()) possible.push_back(name);
  }
  findings.error(at, fmt::format("the model has no {}: {}", target, lack),
                 fmt::format("use {}", one_of(possible)));
}

}  // namespace

void check_lora(const RunSpec& spec, Findings& findings) {
  const LoraConfig& lora = spec.lora;
  if (lora.rank == 0 && lora.target_modules.empty()) return;
  if (lora.rank == 0) {
    findings.error(
        "lora.rank",
        fmt::format("0, but lora.target_modules names {} projection{}", lora.target_modules.size(),
                    lora.target_modules.size() == 1 ? "" : "s"),
        "use 8, or leave target_modules empty to train all weights");
  }
  if (lora.target_modules.empty()) {
    findings.error("lora.target_modules",
                   fmt::format("empty, but lora.rank is {}: nothing would be trained", lora.rank),
                   spec.model.attention == AttentionKind::latent
                       ? "for example [attention.kv_up, attention.out]"
                       : "for example [attention.q, attention.v]");
  }
  if (lora.alpha == 0)
    findings.error("lora.alpha", "0 switches the adapters off", "use twice lora.rank");
  for (std::size_t i = 0; i < lora.target_modules.size(); ++i)
    check_target(spec, i, findings);
  if (spec.training.init_from.empty()) {
    findings.error("training.init_from", "empty, but adapters (lora.rank) need trained weights",
                   "name a checkpoint: `teragpt convert MODEL --from hugging-face -o DIR` makes "
                   "one, and so does a run");
  }
}

}  // namespace tera::spec
