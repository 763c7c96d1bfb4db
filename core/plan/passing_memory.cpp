#include "core/plan/passing_memory.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/context_exchange.h"
#include "core/plan/placement.h"
#include "core/plan/rank_extents.h"

namespace tera::plan {
namespace {

using spec::Framework;
using spec::RunSpec;

double element_bytes(const RunSpec& spec) {
  return static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision)));
}
double vocab_rows(const RunSpec& spec) {
  return double{1} * spec.model.vocab_size / spec.layout.tensor_parallel_size;
}

// Tokens whose logits are there at once, and bytes for each word of one.
double logit_tokens(const RunSpec& spec) {
  const double tokens = local_tokens(spec);
  const bool chunks = spec.software.framework == Framework::teragpt;
  return chunks ? std::min(tokens, static_cast<double>(kLogitsChunkTokens)) : tokens;
}
double bytes_per_logit(const RunSpec& spec) {
  const double word = element_bytes(spec);
  switch (spec.software.framework) {
    case Framework::teragpt:  // f32, and the gradient where it is of another type
      return word < 4 ? 4 + word : 4;
    case Framework::torchtitan:
      // Not compiled, of three in f32 (probabilities, the gradient at them and at the logits) none
      // fits into the memory of the logits; with a loss split over tensor ranks the exponentials
      // are a fourth (PyTorch, aten.nll_loss_backward and distributed.tensor.parallel.loss).
      if (spec.software.fused_cross_entropy) return 2 * word;
      return word + (spec.layout.tensor_parallel_size > 1 ? 16 : 12);
    case Framework::megatron_lm:
    case Framework::deepspeed:
      break;
  }
  // The gradient takes the logits' place; else probabilities are there in f32.
  return spec.software.fused_cross_entropy ? word : word + 4;
}

// Of the tokens of one rank that go to experts, in one direction, at even load.
double dispatched_rows(const RunSpec& spec) {
  const spec::ParallelLayout& layout = spec.layout;
  const std::int64_t micro_batch = std::int64_t{layout.micro_batch_size} * spec.training.seq_length;
  return static_cast<double>(spec.model.routed_rows(micro_batch)) / layout.context_parallel_size *
         (layout.sequence_parallel ? 1.0 / layout.tensor_parallel_size : 1);
}

// What a rank has of tokens and of their sums on their way: rows, or all tokens and their sums of
// all ranks that share experts out.
double dispatched_tokens(const RunSpec& spec) {
  const spec::ParallelLayout& layout = spec.layout;
  if (layout.expert_dispatcher != spec::ExpertDispatcher::all_gather) return dispatched_rows(spec);
  const RankExtents extents = rank_extents(spec);
  return 2 * static_cast<double>(extents.own_tokens * extents.expert_ranks);
}

// Weights of a stage on one rank: of one layer, and of embedding and head.
struct Split {
  double layer = 0;
  double ends = 0;
};
Split split_of(const StageParts& parts, const ParamGroups& groups) {
  double all = 0;
  for (const ParamGroup& group : groups)
    all += group.local;
  const double ends = groups.front().local + groups.back().local;
  return {(all - ends) / std::max(1, parts.layers.dense + parts.layers.moe), ends};
}

// Of a layer, once its replicas have them.
bool drops_gradients(const RunSpec& spec) {
  return spec.software.framework == Framework::teragpt && spec.layout.zero_stage >= 2 &&
         !keeps_whole_gradients(spec);
}

// Gradients that are whole at once, of what is shared out: of two parts that follow each other. A
// matrix that both ends share is whole from the loss on.
double whole_gradient_bytes(const RunSpec& spec,
                            const StageParts& parts,
                            const ParamGroups& groups) {
  const auto of = [](const ParamGroup& group) {
    return group.shards > 1 ? group.state[static_cast<std::size_t>(StateItem::gradients)] : 0;
  };
  double all = 0;
  for (const ParamGroup& group : groups)
    all += of(group);
  const double ends = of(groups.front()) + of(groups.back());
  const double layer = (all - ends) / std::max(1, parts.layers.dense + parts.layers.moe);
  if (spec.model.tie_embeddings) return ends + 2 * layer;
  return layer + std::max({layer, of(groups.front()), of(groups.back())});
}

double gathered_bytes(const RunSpec& spec, const StageParts& parts, const ParamGroups& groups) {
  const Split weights = split_of(parts, groups);
  switch (spec.software.framework) {
    case Framework::torchtitan:  // two layers, and gradients in bf16 and f32
      return (2 * product_bytes(spec.training.precision) + 6) * weights.layer + 2 * weights.ends;
    case Framework::deepspeed: {
      const double all = weights.ends + weights.layer * (parts.layers.dense + parts.layers.moe);
      return 2 * (std::min(all, std::max(kMaxLiveParams.value, weights.layer)) +
                  std::min(all, kGradientBucket.value));
    }
    case Framework::teragpt:
    case Framework::megatron_lm:
      break;
  }
  double bytes = drops_gradients(spec) ? whole_gradient_bytes(spec, parts, groups) : 0;
  if (spec.layout.zero_stage < 3) return bytes;
  double weight_bytes = 0;
  for (const ParamGroup& group : groups) {
    if (group.shards <= 1) continue;  // there already
    weight_bytes += group.state[static_cast<std::size_t>(StateItem::weights)];
    weight_bytes += group.state[static_cast<std::size_t>(StateItem::weight_copies)];
  }
  return bytes + 2 * weight_bytes / std::max(1, parts.layers.dense + parts.layers.moe);
}

std::string gathered_formula(const RunSpec& spec,
                             const StageParts& parts,
                             const ParamGroups& groups,
                             double bytes) {
  const Split weights = split_of(parts, groups);
  switch (spec.software.framework) {
    case Framework::torchtitan:
      return fmt::format(
          "(2 layers x {:.3g} B + gradients of one x 6 B) x {} + 2 B x {} of the ends",
          product_bytes(spec.training.precision), format_count(weights.layer),
          format_count(weights.ends));
    case Framework::deepspeed:
      return fmt::format("2 B x (live parameters, at most {} or a layer of {}, + a bucket of {})",
                         format_count(kMaxLiveParams.value), format_count(weights.layer),
                         format_count(kGradientBucket.value));
    case Framework::teragpt:
    case Framework::megatron_lm:
      break;
  }
  const char* what = "weights and gradients";
  if (!drops_gradients(spec)) what = "weights";
  if (spec.layout.zero_stage < 3) what = "gradients";
  return fmt::format("{} of the part that runs and the next one in full: {}", what,
                     format_bytes(bytes));
}

// Transformer Engine's placeholders: one for each shape of a weight, so for one layer, one expert
// and the head, none for embeddings.
double placeholder_bytes(const RunSpec& spec, const StageParts& parts, const ParamGroups& groups) {
  const bool bf16 = compute_dtype(spec.training.precision) == DType::bf16;
  const bool engine = spec.software.framework == Framework::megatron_lm && spec.software.compiled;
  if (!engine || !bf16) return 0;
  const double experts = groups[kExpertGroup].local;
  const double layers = std::max(1, parts.layers.dense + parts.layers.moe);
  const double dense = split_of(parts, groups).layer - experts / layers;
  const double here =
      std::max(1.0, double{1} * spec.model.num_experts / spec.layout.expert_parallel_size);
  const double own_head = groups.back().local;  // none where it reads the embedding matrix
  const double head = !parts.has_head ? 0 : own_head > 0 ? own_head : groups.front().local;
  return 2 * (dense + experts / std::max(1, parts.layers.moe) / here + head);
}

struct Sources {
  std::string_view gradients, logits, gathered;
};
Sources sources_of(const spec::SoftwareConfig& software) {
  constexpr std::string_view kHalf =
      "a kept tensor goes when its gradient is made: half of a layer's at most, as on 34 runs of "
      "Megatron-LM (MooreThreads SimuMax 2026, B200 summary)";
  const std::string_view logits =
      software.fused_cross_entropy ? "the gradient takes the place of the logits"
                                   : "logits in the compute type; probabilities, gradient in f32";
  switch (software.framework) {
    case Framework::teragpt:
      break;
    case Framework::megatron_lm:
      return {kHalf, logits, "Rajbhandari et al. 2020, ZeRO, section 3"};
    case Framework::deepspeed:
      return {kHalf, logits, kMaxLiveParams.source};
    case Framework::torchtitan:
      return {kHalf, logits,
              "PyTorch FSDP2: the layer that runs and the next, its gradients in bf16 and, to be "
              "reduced, in f32; embedding and head"};
  }
  return {"upper bound: each kept tensor has a gradient while its layer runs backward",
          "the head works through the micro-batch in chunks: f32 logits, and their gradient where "
          "it is bf16",
          "Rajbhandari et al. 2020, ZeRO, section 3"};
}

std::string_view in_pair(const RunSpec& spec) {
  return spec.overlaps_experts() ? "2 micro-batches x " : "";
}

Term workspace_term(const RunSpec& spec,
                    const ActivationBytes& activation,
                    const PassingBytes& bytes) {
  std::vector<Term> children;
  const auto add = [&children](const char* label, double value, std::string formula,
                               std::string source) {
    if (value > 0)
      children.push_back(leaf_term(label, value, "B", std::move(formula), std::move(source)));
  };
  const std::string layer =
      format_bytes(std::max(activation.dense.everything, activation.moe.everything));
  add("gradients of one layer", bytes.layer_gradients,
      spec.software.framework == Framework::teragpt
          ? fmt::format("as large as what one layer keeps: {}", layer)
          : fmt::format("half of what one layer keeps: {} / 2", layer),
      std::string(sources_of(spec.software).gradients));
  add("recomputed layer", bytes.recomputed_layer,
      fmt::format("{}of {} that one layer keeps without recomputation, what it does not keep",
                  in_pair(spec), layer),
      "Chen et al. 2016, training with sublinear memory");
  add("placeholders of weight gradients", bytes.placeholders,
      fmt::format("2 B x {} weights: of one layer, one expert and the head",
                  format_count(bytes.placeholders / 2)),
      "NVIDIA Transformer Engine 2.8: gradients are added to their sums within the product, and "
      "autograd gets an empty tensor of each shape; Megatron-LM, tensor_parallel/layers.py: of "
      "the head's too");
  const bool ring = spec.layout.context_parallel_method == spec::ContextMethod::ring;
  add("attention over context ranks", bytes.context,
      ring ? "2 x keys and values, 2 x their gradients in f32, gradients of queries in f32"
           : "sent, arrived and in order: queries, keys, values, results and their gradients",
      ring ? "Liu et al. 2023, Ring Attention" : "Jacobs et al. 2023, DeepSpeed-Ulysses");
  const bool muon = spec.training.optimizer == spec::OptimizerKind::muon;
  add("update of the largest tensor", bytes.update,
      muon
          ? fmt::format("4 B x {} numbers: 2 x rows x columns + 2 x the smaller of both squared, "
                        "of the largest matrix",
                        format_count(bytes.update / 4))
          : fmt::format("{} of elements updated at a time, 4 B each, 6 B where they are rounded by "
                        "chance",
                        format_bytes(bytes.update)),
      muon ? "buffers of the Newton-Schulz iteration: Jordan et al. 2024, Muon"
           : "a piece of the weight in f32; by chance: and 16 random bits for each element");
  return sum_term("workspace", "B", std::move(children));
}

}  // namespace

PassingBytes passing_bytes(const RunSpec& spec,
                           const ActivationBytes& bytes,
                           const StageParts& parts,
                           const ParamGroups& groups) {
  const spec::ParallelLayout& layout = spec.layout;
  const bool own = spec.software.framework == Framework::teragpt;
  const auto largest = [&](const auto& of_layer) {
    return std::max(parts.layers.dense > 0 ? of_layer(bytes.dense) : 0,
                    parts.layers.moe > 0 ? of_layer(bytes.moe) : 0);
  };
  const double layer = largest([](const LayerBytes& kept) { return kept.everything; });
  PassingBytes passing;
  passing.layer_gradients = own ? layer : layer / 2;
  passing.recomputed_layer = largest([](const LayerBytes& kept) { return kept.recomputed(); });
  if (parts.has_head)
    passing.logits = logit_tokens(spec) * vocab_rows(spec) * bytes_per_logit(spec);
  const bool exchanges =
      std::int64_t{layout.expert_parallel_size} * layout.expert_tensor_parallel_size > 1;
  if (exchanges && parts.layers.moe > 0) {
    passing.dispatch = (dispatched_tokens(spec) + bytes.expert_load * dispatched_rows(spec)) *
                       spec.model.hidden_size * element_bytes(spec);
  }
  if (spec.overlaps_experts()) {  // a forward beside a backward
    passing.recomputed_layer *= 2;
    passing.dispatch *= 2;
  }
  if (!own) {  // all logits of a micro-batch: they are gone when layers run backward
    const double layers = passing.layer_gradients + passing.recomputed_layer + passing.dispatch;
    if (passing.logits > layers) {
      passing.layer_gradients = passing.recomputed_layer = passing.dispatch = 0;
    } else {
      passing.logits = 0;
    }
  }
  passing.placeholders = placeholder_bytes(spec, parts, groups);
  if (own) passing.context = static_cast<double>(context_passing_bytes(spec));
  if (layout.zero_stage >= 3 || drops_gradients(spec))
    passing.gathered_layers = gathered_bytes(spec, parts, groups);
  double update = 0;
  for (const ParamGroup& group : groups)
    update = std::max(update, group.update_workspace);
  if (update <= passing.total()) return passing;
  return {.update = update};
}

std::vector<Term> passing_terms(const RunSpec& spec,
                                const ActivationBytes& activation,
                                const StageParts& parts,
                                const ParamGroups& groups,
                                const PassingBytes& bytes) {
  const Sources sources = sources_of(spec.software);
  const auto term = [](const char* label, double value, std::string formula,
                       std::string_view source) {
    return leaf_term(label, value, "B",
                     value > 0 ? std::move(formula) : "none at the fullest moment",
                     std::string(source));
  };
  std::vector<Term> terms;
  terms.push_back(term("logits", bytes.logits,
                       fmt::format("{:.0f} tokens at a time x {:.0f} words x {:.0f} B",
                                   logit_tokens(spec), vocab_rows(spec), bytes_per_logit(spec)),
                       sources.logits));
  const std::string received = fmt::format("{:.2f} x", activation.expert_load);
  const std::string rows = format_count(dispatched_rows(spec));
  const bool gathers = spec.layout.expert_dispatcher == spec::ExpertDispatcher::all_gather;
  terms.push_back(term(
      "dispatch", bytes.dispatch,
      fmt::format("{}{} x {} x {:.0f} B", in_pair(spec),
                  gathers ? fmt::format("({} tokens of all ranks and their sums, {} {} rows "
                                        "computed on the busiest rank)",
                                        format_count(dispatched_tokens(spec)), received, rows)
                          : fmt::format("{} rows sent, {} as many received on the busiest rank,",
                                        rows, received),
                  spec.model.hidden_size, element_bytes(spec)),
      gathers ? "all-gather and reduce-scatter; load at layout.expert_load_percentile (Wang et al. "
                "2024)"
              : "buffers of the all-to-all; load at layout.expert_load_percentile (Wang et al. "
                "2024)"));
  terms.push_back(term("gathered layers", bytes.gathered_layers,
                       gathered_formula(spec, parts, groups, bytes.gathered_layers),
                       sources.gathered));
  terms.push_back(workspace_term(spec, activation, bytes));
  return terms;
}

}  // namespace tera::plan
