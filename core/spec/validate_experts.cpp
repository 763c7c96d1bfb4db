// Rules of Mixture-of-Experts layers and their routers.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/spec/findings.h"
#include "core/spec/scalars.h"

namespace tera::spec {
namespace {

// Sizes of experts and dense feed-forwards, and which layers have which.
void check_sizes(const ModelConfig& m, Findings& findings) {
  const int moe_layers = m.num_moe_layers(m.num_layers);
  const int layers = m.num_all_layers();
  if (m.num_moe_layers(layers) < layers && m.ffn_hidden_size < 1) {
    std::string message = "0, but a model without experts needs it";
    if (m.num_experts > 0 && m.moe_layer_interval == 1) {
      message = fmt::format("0, but {} leading layers are dense", m.num_dense_layers);
    } else if (m.num_experts > 0) {
      message = fmt::format("0, but {} of {} layers are dense", layers - m.num_moe_layers(layers),
                            layers);
    }
    findings.error(
        "model.ffn_hidden_size", std::move(message),
        fmt::format("use about {}",
                    (m.gated() ? 8 * m.hidden_size / 3 + 63 : 4 * m.hidden_size) / 64 * 64));
  }
  if (m.num_experts == 0) {
    if (m.router_top_k > 0 || m.num_shared_experts > 0 || m.moe_ffn_hidden_size > 0) {
      findings.warning("model.num_experts",
                       "0 makes every layer dense; the settings of experts have no effect",
                       "set model.num_experts, or remove router_top_k, moe_ffn_hidden_size and "
                       "num_shared_experts");
    }
    return;
  }
  if (m.router_top_k < 1) {
    findings.error("model.router_top_k",
                   fmt::format("0, but the model has {} experts", m.num_experts),
                   fmt::format("use {}", std::min(m.num_experts, 2)));
  } else if (m.router_top_k > m.num_experts) {
    findings.error(
        "model.router_top_k",
        fmt::format("{} is more than model.num_experts = {}", m.router_top_k, m.num_experts),
        fmt::format("use at most {}", m.num_experts));
  }
  if (m.moe_ffn_hidden_size < 1) {
    findings.error("model.moe_ffn_hidden_size",
                   fmt::format("0, but the model has {} experts", m.num_experts),
                   fmt::format("use about {}", std::max(64, m.hidden_size / 64 * 64)));
  }
  if (m.num_dense_layers >= m.num_layers) {
    findings.error("model.num_dense_layers",
                   fmt::format("{} leaves none of the {} layers with experts", m.num_dense_layers,
                               m.num_layers),
                   fmt::format("use at most {}, or num_experts 0", m.num_layers - 1));
  } else if (moe_layers == 0) {
    const int behind = m.num_layers - m.num_dense_layers;
    findings.error("model.moe_layer_interval",
                   fmt::format("{} leaves none of the {} layers behind the leading dense ones with "
                               "experts",
                               m.moe_layer_interval, behind),
                   fmt::format("use at most {}, or num_experts 0", behind));
  }
  if (m.shared_expert_gate && m.num_shared_experts == 0) {
    findings.error("model.shared_expert_gate", "true, but model.num_shared_experts is 0",
                   "use false, or num_shared_experts 1");
  }
}

void check_groups(const ModelConfig& m, Findings& findings) {
  if (m.num_experts % m.router_num_groups != 0) {
    findings.error("model.router_num_groups",
                   fmt::format("{} does not divide model.num_experts = {}", m.router_num_groups,
                               m.num_experts),
                   nearest_divisors(m.num_experts, m.router_num_groups));
    return;
  }
  if (m.router_top_groups > m.router_num_groups) {
    findings.error("model.router_top_groups",
                   fmt::format("{} is more than model.router_num_groups = {}", m.router_top_groups,
                               m.router_num_groups),
                   fmt::format("use at most {}", m.router_num_groups));
    return;
  }
  const int per_group = m.num_experts / m.router_num_groups;
  const int reachable = m.router_top_groups * per_group;
  if (m.router_top_k > reachable && m.router_top_k <= m.num_experts) {
    findings.error(
        "model.router_top_groups",
        fmt::format("{} of {} groups have {} experts, fewer than model.router_top_k = {}",
                    m.router_top_groups, m.router_num_groups, reachable, m.router_top_k),
        fmt::format("use at least {}", (m.router_top_k + per_group - 1) / per_group));
  }
}

// Experts take their best tokens: nothing is left for the rules that steer tokens.
void check_expert_choice(const ModelConfig& m, Findings& findings) {
  const auto refuse = [&findings](const char* field, const char* why, const char* hint) {
    findings.error(field, fmt::format("{}, but model.router_choice is expert", why), hint);
  };
  if (m.router_renormalize) {
    refuse("model.router_renormalize", "the gates of a token do not belong together", "use false");
  }
  if (m.router_num_groups > 1)
    refuse("model.router_num_groups", "tokens choose within groups", "use 1");
  if (m.aux_loss_coeff > 0) refuse("model.aux_loss_coeff", "every load is equal", "use 0");
  if (m.expert_bias_update_rate > 0)
    refuse("model.expert_bias_update_rate", "every load is equal", "use 0");
  if (m.capacity_policy == CapacityPolicy::position)
    refuse("model.capacity_policy", "position ignores the scores", "use probability");
  if (m.capacity_pad) refuse("model.capacity_pad", "every expert is full", "use false");
  findings.note("model.router_choice",
                "experts choose among all tokens of a micro-batch, later ones too: losses are not "
                "those of a causal model, and it cannot generate",
                "use token for a model that generates");
}

void check_balance(const ModelConfig& m, Findings& findings) {
  if (m.aux_loss_coeff == 0 && m.expert_bias_update_rate == 0 && m.num_experts > m.router_top_k) {
    findings.warning("model.aux_loss_coeff", "nothing balances the experts: some may never be used",
                     "use aux_loss_coeff 0.01, or expert_bias_update_rate 0.001");
  }
  if (m.expert_capacity_factor > 0 && m.expert_capacity_factor < 1) {
    findings.warning(
        "model.expert_capacity_factor",
        fmt::format("{} drops at least {:.0f} % of the choices even at perfect balance",
                    scalar_text(m.expert_capacity_factor), 100 * (1 - m.expert_capacity_factor)),
        "use 1.25");
  }
  if (m.capacity_pad && m.expert_capacity_factor == 0) {
    findings.error("model.capacity_pad",
                   "true, but model.expert_capacity_factor = 0 serves every choice: there is no "
                   "capacity to fill up to",
                   "use false, or expert_capacity_factor 1.25");
  }
}

}  // namespace

void check_experts(const ModelConfig& m, Findings& findings) {
  check_sizes(m, findings);
  if (m.num_experts == 0) return;
  check_groups(m, findings);
  if (m.router_choice == RouterChoice::expert) {
    check_expert_choice(m, findings);
  } else {
    check_balance(m, findings);
  }
  if (m.ffn_bias) {
    findings.note("model.ffn_bias", "experts have no biases; dense layers do", "");
  }
}

}  // namespace tera::spec
