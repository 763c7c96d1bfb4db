// Low-rank adaptation: which projections of trained weights get adapters, and of what rank. A
// projection W then computes y = W x + scale B A x with W frozen and A [rank, in], B [out, rank]
// trained; B starts from zeros. Source: Hu et al. 2022, LoRA.
#pragma once
#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fields.h"

namespace tera::spec {

// What target_modules may name. experts: one adapter per routed expert. A matrix that holds gate
// and up has one adapter for both; q, k and v have one each, though they are stored as one matrix.
inline constexpr std::array<std::string_view, 15> kLoraTargets = {
    "attention.q",    "attention.k",       "attention.v",     "attention.out", "attention.q_down",
    "attention.q_up", "attention.kv_down", "attention.kv_up", "ffn.in",        "ffn.out",
    "experts.in",     "experts.out",       "shared.in",       "shared.out",    "head"};

struct LoraConfig {
  int rank = 0;  // 0 with no target: every weight is trained
  double alpha = 16;
  bool use_rslora = false;
  std::vector<std::string> target_modules = {};
  bool operator==(const LoraConfig&) const = default;

  bool enabled() const { return rank > 0 && !target_modules.empty(); }
  double scale() const { return alpha / (use_rslora ? std::sqrt(double{1} * rank) : rank); }

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "rank",
                .min = 0,
                .max = 1 << 16,
                .help = "Rank of the adapters; 0 trains all weights instead.",
                .source = "Hu et al. 2022, LoRA"},
          self.rank);
    visit(Field{.name = "alpha",
                .min = 0,
                .max = 1e6,
                .help = "Adapters are multiplied by alpha / rank.",
                .source = "Hu et al. 2022, LoRA, section 4.1"},
          self.alpha);
    visit(Field{.name = "use_rslora",
                .help = "Multiply by alpha / sqrt(rank) instead.",
                .source = "Kalajdzievski 2023, rank-stabilized LoRA"},
          self.use_rslora);
    visit(Field{.name = "target_modules",
                .help = "Projections with adapters: attention.q, .k, .v, .out (latent: .q_down, "
                        ".q_up, .kv_down, .kv_up), ffn.in, .out, experts.in, .out, shared.in, "
                        ".out, head."},
          self.target_modules);
  }
};

}  // namespace tera::spec
