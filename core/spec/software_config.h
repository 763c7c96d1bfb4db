// The software that trains the run, as far as it changes bytes and time. What TeraGPT's own engine
// does is fixed; of other frameworks these are the switches their users know.
#pragma once
#include <cstdint>

#include "core/base/fields.h"

namespace tera::spec {

enum class Framework : std::uint8_t { teragpt, megatron_lm, deepspeed, torchtitan };

// What is recorded once and started without the host: nothing; router and preparation of the
// dispatch; attention too, but not the experts, whose rows vary; the whole step.
enum class GraphScope : std::uint8_t { none, routing, layers, full };

struct SoftwareConfig {
  Framework framework = Framework::teragpt;
  bool fused_attention = true;      // never stores scores; else each [seq, seq] matrix is kept
  bool fused_cross_entropy = true;  // one copy of the logits, or chunks of them
  bool dropout = false;             // masks of 1 B are kept for backward
  bool compiled = true;             // neighbouring elementwise operations run as one
  GraphScope cuda_graphs = GraphScope::none;
  bool tensor_overlap = false;       // messages of tensor ranks travel beside products, in pieces
  bool gradient_overlap = true;      // sums of gradients, gathers of weights travel beside passes
  bool token_deduplication = false;  // one copy of a token to each rank that has experts of it
  bool expert_overlap = false;  // exchange with experts travels beside another micro-batch's work
  bool fused_experts = false;   // activation and casts run inside the experts' products
  double attention_share = 1;   // of the speed of the device's best 16-bit attention kernel
  bool operator==(const SoftwareConfig&) const = default;

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(
        Field{.name = "framework",
              .help = "What trains the run: teragpt, megatron_lm, deepspeed or torchtitan (FSDP). "
                      "All are planned; this engine trains as teragpt."},
        self.framework);
    visit(Field{.name = "fused_attention",
                .help = "Attention works in tiles and never stores scores; false: scores and "
                        "probabilities of every head are written to memory.",
                .source = "Dao et al. 2022, FlashAttention; Korthikanti et al. 2022, section 4"},
          self.fused_attention);
    visit(Field{.name = "fused_cross_entropy",
                .help = "The loss makes the gradient of the logits in their place; false: one more "
                        "f32 copy of them."},
          self.fused_cross_entropy);
    visit(
        Field{.name = "dropout",
              .help = "Dropout on residuals and probabilities, whose masks are kept for backward.",
              .source = "Korthikanti et al. 2022, section 4"},
        self.dropout);
    visit(Field{.name = "compiled",
                .help = "Neighbouring elementwise operations run as one kernel (a compiler, fused "
                        "layers); false: each reads and writes memory by itself."},
          self.compiled);
    visit(Field{.name = "cuda_graphs",
                .help = "What is recorded once and starts without the host: none, routing "
                        "(router and preparation of the dispatch), layers (attention too, not the "
                        "experts) or full (the step). The host starts the rest, which bounds small "
                        "layers.",
                .source = "Megatron-LM, --cuda-graph-impl and --cuda-graph-scope"},
          self.cuda_graphs);
    visit(Field{.name = "tensor_overlap",
                .help = "Messages of tensor-parallel ranks are cut into pieces that travel beside "
                        "products (--tp-comm-overlap, asynchronous tensor parallelism)."},
          self.tensor_overlap);
    visit(Field{.name = "gradient_overlap",
                .help = "Gradients are summed, and weights gathered, beside the passes "
                        "(--overlap-grad-reduce, --overlap-param-gather, FSDP); false: between "
                        "them."},
          self.gradient_overlap);
    visit(Field{.name = "token_deduplication",
                .help = "A token crosses to each rank, and to each node, once, however many of its "
                        "experts are there; false: once for each of its experts.",
                .source = "DeepSeek-AI 2024, section 3.2.2, DeepEP; Megatron-LM, "
                          "--moe-flex-dispatcher-backend"},
          self.token_deduplication);
    visit(Field{.name = "expert_overlap",
                .help = "Dispatch and combine travel beside the work of another micro-batch: 1f1b "
                        "then runs further ahead, and keeps more.",
                .source = "DeepSeek-AI 2024, section 3.2.1, DualPipe; Megatron-LM, "
                          "--overlap-moe-expert-parallel-comm"},
          self.expert_overlap);
    visit(Field{.name = "fused_experts",
                .help = "Activation and casts to 8 or 4 bits run inside the grouped products of "
                        "the experts; false: as passes over memory of their own."},
          self.fused_experts);
    visit(Field{.name = "attention_share",
                .min = 0.05,
                .max = 2,
                .step = 0.05,
                .help = "Speed of the attention kernel over cluster.device.attention_efficiency, "
                        "which is of the best 16-bit kernel: below 1 for older ones, above for "
                        "those of 8 bits."},
          self.attention_share);
  }
};

}  // namespace tera::spec

namespace tera {
template <>
struct EnumNames<spec::GraphScope> {
  static constexpr std::array<std::string_view, 4> value = {"none", "routing", "layers", "full"};
};
template <>
struct EnumNames<spec::Framework> {
  static constexpr std::array<std::string_view, 4> value = {"teragpt", "megatron_lm", "deepspeed",
                                                            "torchtitan"};
};
}  // namespace tera
